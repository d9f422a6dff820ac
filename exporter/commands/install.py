"""`sutazai-exporter install`: runs by cron or systemd."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.clock import SystemClock
from exporter.commandline.options import config_option
from exporter.commands.uninstall import removal, show_or_do
from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.install.site import Wishes
    from exporter.install.steps import Plan


@click.command()
@config_option
@click.option("--systemd", is_flag=True, help="The daemon as a service; with --timers a timer for each task instead.")
@click.option("--timers", is_flag=True, help="With --systemd: no daemon, but one run at a time by the clock.")
@click.option("--cron", is_flag=True, help="A line for each schedule in your crontab. [default without --systemd]")
@click.option("--system", is_flag=True, help="With --cron: /etc/cron.d/sutazai-exporter instead of a crontab.")
@click.option("--remove", is_flag=True, help="Remove instead: the same as `uninstall`.")
@click.option("--email", metavar="ADDRESS", default="", help="Who is told of problems.")
@click.option(
    "--textfile-directory",
    "textfile",
    metavar="DIR|none",
    default="",
    help="Where node-exporter reads metrics from. [default: found, unless there is a daemon]",
)
@click.option("--user", metavar="NAME", default="", help="Whom it runs as. [default: sutazai; by cron: you, or root]")
@click.option("--force", is_flag=True, help="Replace files of the same name that are not ours; copies are kept.")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Write below DIR; nothing is started.")
@click.option("--prefix", type=click.Path(path_type=Path), help="Write units to PREFIX/lib/systemd/system (packages).")
@click.option("--program", type=click.Path(path_type=Path), help="The program to call. [default: this one]")
@click.option("--dry-run", is_flag=True, help="Print what would be written, removed and run; change nothing.")
def install(dry_run: bool, remove: bool, systemd: bool, timers: bool, cron: bool, system: bool, **given: Any) -> None:
    """Have it run by itself: by cron, or by systemd as a daemon or by timers.

    \b
    Examples:
      sutazai-exporter install --dry-run
      sutazai-exporter install --email admin@example.org
      sudo sutazai-exporter install --systemd
      sudo sutazai-exporter install --systemd --timers
      sudo sutazai-exporter install --cron --system

    The schedules are those of the configuration; install again when they have changed.
    """
    from exporter.install.site import Wishes

    _check(systemd=systemd, timers=timers, cron=cron, system=system, **given)
    wishes = Wishes(**given)
    if remove:
        plan = removal(wishes.root, systemd=systemd, cron=cron, user=wishes.user, prefix=wishes.prefix)
    elif systemd:
        plan = _by_systemd(wishes, timers=timers)
    else:
        plan = _by_cron(wishes, system=system)
    show_or_do(plan, dry_run=dry_run)


def _check(**given: Any) -> None:
    """Raise Failure for what does not go together."""
    wrong = {
        "--systemd and --cron: choose one": given["systemd"] and given["cron"],
        "--timers belongs to --systemd": given["timers"] and not given["systemd"],
        "--system belongs to --cron": given["system"] and given["systemd"],
        "--textfile-directory belongs to --cron and --timers: the daemon's metrics are at /metrics": given["systemd"]
        and not given["timers"]
        and given["textfile"] not in ("", "none"),
        "--prefix belongs to --systemd": given["prefix"] and not given["systemd"],
        "--prefix: an absolute path is needed": given["prefix"] and not given["prefix"].is_absolute(),
        "--program: an absolute path is needed": given["program"] and not given["program"].is_absolute(),
        "--root has no crontab to write to; with --cron it needs --system": given["root"]
        and not (given["systemd"] or given["system"]),
    }
    for message, is_so in wrong.items():
        if is_so:
            raise Failure(message, EXIT_USAGE)
    if given["email"]:
        _check_address(given["email"])


def _check_address(text: str) -> None:
    from pydantic import TypeAdapter, ValidationError

    from exporter.setting_types import MailAddress

    try:
        TypeAdapter(MailAddress).validate_python(text)
    except ValidationError:
        raise Failure(
            f"--email {text[:100]!r}: not one mail address; write it as somebody@example.org", EXIT_USAGE
        ) from None


def _by_systemd(wishes: Wishes, *, timers: bool) -> Plan:
    from exporter.install import systemd_plan
    from exporter.install.accounts import SERVICE_USER
    from exporter.install.site import UNITS, look, need_root

    need_root(wishes, f"units are written to {UNITS}")
    now = SystemClock().now()
    site = look(wishes, os.environ, _existing(wishes) or SERVICE_USER, now, one_shot=timers)
    return systemd_plan.install(site, timers=timers)


def _by_cron(wishes: Wishes, *, system: bool) -> Plan:
    from exporter.install import cron_plan
    from exporter.install.crontab_program import CrontabProgram
    from exporter.install.site import look, need_root
    from exporter.users import user_name

    now = SystemClock().now()
    if system:
        need_root(wishes, f"{cron_plan.CRON_FILE.parent} is the system's")
        return cron_plan.into_directory(look(wishes, os.environ, _existing(wishes) or "root", now, one_shot=True))
    site = look(wishes, os.environ, _existing(wishes) or user_name(), now, one_shot=True)
    return cron_plan.into_crontab(site, CrontabProgram(wishes.user))


def _existing(wishes: Wishes) -> str:
    """The user that was asked for; raise Failure where this machine has none such, or no machine could."""
    from exporter.install.accounts import USER_NAME, account

    if wishes.user and wishes.root is None and account(wishes.user).uid is None:
        raise Failure(
            f"--user {wishes.user!r}: there is no such user; make one (useradd --system NAME), or leave it out",
            EXIT_USAGE,
        )
    if wishes.user and wishes.root and not USER_NAME.fullmatch(wishes.user):
        raise Failure(
            f"--user {wishes.user!r}: no user is called so; letters, digits, '_' and '-' make a name (31 at most)",
            EXIT_USAGE,
        )
    return wishes.user

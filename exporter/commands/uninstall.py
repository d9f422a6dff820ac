"""`sutazai-exporter uninstall`: what `install` has made, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from exporter.install.steps import Plan

STAYS = (
    "what it has measured and made stays: the base directory with its data, reports and backups, the configuration, "
    "the textfile and the system's user"
)


@click.command()
@click.option("--systemd", is_flag=True, help="Only units of systemd.")
@click.option("--cron", is_flag=True, help="Only cron: your crontab and /etc/cron.d.")
@click.option("--user", metavar="NAME", default="", help="Whose crontab. [default: yours]")
@click.option("--root", type=click.Path(path_type=Path, file_okay=False), help="Look below DIR instead of /.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed and run; change nothing.")
def uninstall(dry_run: bool, systemd: bool, cron: bool, user: str, root: Path | None) -> None:
    """Stop running by itself: take our lines and units away, and nothing else.

    \b
    Examples:
      sutazai-exporter uninstall --dry-run
      sudo sutazai-exporter uninstall
    """
    show_or_do(removal(root, systemd=systemd, cron=cron, user=user), dry_run=dry_run)


def removal(root: Path | None, *, systemd: bool, cron: bool, user: str, prefix: Path | None = None) -> Plan:
    """What has to go; with neither `systemd` nor `cron`, whatever there is of both; also below a prefix."""
    from exporter.install import cron_plan, systemd_plan
    from exporter.install.crontab_program import CrontabProgram
    from exporter.install.site import UNITS, systemd_runs
    from exporter.install.steps import Plan

    both, place = systemd == cron, root.absolute() if root else Path("/")
    plans: list[Plan] = []
    if (cron or both) and root is None and (cron or shutil.which("crontab")):
        plans.append(cron_plan.out_of_crontab(CrontabProgram(user)))
    if cron or both:
        plans.append(_with_rights(cron_plan.out_of_directory(place / cron_plan.CRON_FILE.relative_to("/")), root))
    if systemd or both:
        below = [prefix / systemd_plan.BELOW_PREFIX] if prefix else []
        for directory in dict.fromkeys((UNITS, *systemd_plan.PACKAGES, *below)):
            live = root is None and systemd_runs()
            plans.append(_with_rights(systemd_plan.remove(place / directory.relative_to("/"), live=live), root))
    steps = tuple(step for plan in plans for step in plan.steps)
    changes = any(not step.idle for step in steps)
    notes = [note for plan in plans for note in plan.notes]
    return Plan(
        steps,
        (*notes, STAYS) if changes else (*notes, "there is nothing of ours to remove"),
        tuple(line for plan in plans for line in plan.by_hand),
    )


def _with_rights(plan: Plan, root: Path | None) -> Plan:
    """The plan, if this user may carry it out; else only what to do about it."""
    from exporter.install.steps import Plan

    if os.geteuid() == 0 or root is not None or not plan.steps:
        return plan
    names = ", ".join(step.title.partition(": ")[2] for step in plan.steps)
    return Plan((), (*plan.notes, f"left alone: {names}: only root may remove it; run this with sudo"))


def show_or_do(plan: Plan, *, dry_run: bool) -> None:
    """Carry a plan out, or print it; then tell what else there is to know. Raise Failure."""
    lines = plan.preview() if dry_run else plan.carry_out()
    for line in lines:
        click.echo(line)
    for note in plan.notes:
        click.echo(f"note: {note}", err=True)
    if plan.by_hand:
        click.echo("systemd does not run here; where it does, type:", err=True)
        for command in plan.by_hand:
            click.echo(f"  {command}", err=True)

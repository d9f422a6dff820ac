"""Where and for whom is installed: what the command was given, the configuration it leads to, and this machine."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from exporter.config import Configuration, load
from exporter.failure import EXIT_UNAVAILABLE, EXIT_USAGE, Failure
from exporter.install import textfile_directory
from exporter.install.accounts import Account, account, may_write_to
from exporter.install.invocation import (
    ADMIN_EMAIL,
    TEXTFILE_DIRECTORY,
    Invocation,
    invocation,
    secrets_left_out,
)
from jobs.core.cadence import Cadence
from jobs.core.registry import all_jobs

UNITS = Path("/etc/systemd/system")
"""Where the administrator's units are."""
COPIES = Path("backups/automation")
"""Below the base directory: crontabs and units as they were before."""
_BOOTED_BY_SYSTEMD = Path("/run/systemd/system")
"""There, and only there, where systemd is the init system (sd_booted(3))."""


@dataclass(frozen=True)
class Wishes:
    """What the command was given. `root` is a directory that stands for `/`, where files are only staged."""

    config_file: Path | None = None
    email: str = ""
    textfile: str = ""
    user: str = ""
    root: Path | None = None
    prefix: Path | None = None
    program: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class Site:
    """What plans are made from. `notes` are what a person should know of it."""

    wishes: Wishes
    configuration: Configuration
    how: Invocation
    who: Account
    now: datetime
    notes: tuple[str, ...]

    @property
    def base_dir(self) -> Path:
        """The base directory."""
        return self.configuration.settings.base_dir

    @property
    def copies(self) -> Path:
        """Where copies of what was there before are kept."""
        return self.base_dir / COPIES

    @property
    def staged(self) -> bool:
        """Whether files are made for another system: nothing runs, and nothing of this one is looked at."""
        return self.wishes.root is not None

    def on_disk(self, path: Path) -> Path:
        """Where a file of the finished system is written."""
        return (self.wishes.root or Path("/")).absolute() / path.relative_to("/")

    def cadences(self) -> Mapping[str, tuple[Cadence, ...]]:
        """Every task that runs by itself, and when."""
        from exporter.plan import cadences_of

        planned = {task: cadences_of(self.configuration, task) for task in all_jobs()}
        return {task: cadences for task, cadences in planned.items() if cadences}


def look(wishes: Wishes, environment: Mapping[str, str], who: str, now: datetime, *, one_shot: bool) -> Site:
    """Find out what an installation for the user `who` has to do with; raise Failure or ConfigError.

    With `one_shot` there is no daemon to scrape, so node-exporter reads what runs write.
    """
    given = {ADMIN_EMAIL: wishes.email} if wishes.email else {}
    configuration = load(wishes.config_file, {**environment, **given})
    person, notes = account(who), []
    if one_shot:
        directory, told = _textfile(wishes, configuration, person)
        notes += told
        if directory:
            given[TEXTFILE_DIRECTORY] = str(directory)
    how = invocation(configuration, environment, given, wishes.program)
    # What cron or systemd will find, which has not the environment of whoever installs.
    configuration = load(how.config_file, how.environment)
    notes += [*_of_secrets(environment), *_of_mail(configuration, wishes.email)]
    return Site(wishes, configuration, how, person, now, tuple(notes))


def _textfile(wishes: Wishes, configuration: Configuration, who: Account) -> tuple[Path | None, list[str]]:
    configured = configuration.settings.textfile.directory
    if wishes.textfile == "none":
        left = f"textfile.directory ({configured}) is set in the configuration, and still written to"
        return None, [left] if configured else []
    if wishes.textfile:
        directory = Path(wishes.textfile).absolute()
        return directory, [] if wishes.root else _checked(directory, who)
    if configured or wishes.root:
        return None, []
    found = textfile_directory.find()
    if not found:
        return None, ["no node-exporter was found: name its directory with --textfile-directory to have metrics"]
    try:
        trouble = _unwritable(found.directory, who)
    except OSError as error:
        return None, [f"{found.directory}: {found.source}, but {error.strerror}; metrics are not written"]
    if trouble:
        return None, [f"{trouble[0]}; metrics are not written until then"]
    return found.directory, [f"metrics go to {found.directory}/sutazai.prom: {found.source}"]


def _checked(directory: Path, who: Account) -> list[str]:
    try:
        if stat.S_ISDIR(directory.stat().st_mode):
            return _unwritable(directory, who)
        reason = "is no directory"
    except OSError as error:
        reason = error.strerror or str(error)
    raise Failure(f"--textfile-directory {directory}: {reason}", EXIT_USAGE)


def _unwritable(directory: Path, who: Account) -> list[str]:
    if who.uid is None or may_write_to(who, directory):
        return []
    return [
        f"{directory}: {who.name} may not write there; give the directory to a group that it is in "
        f"(chgrp GROUP {directory} && chmod g+w {directory}) and run this again"
    ]


def _of_secrets(environment: Mapping[str, str]) -> list[str]:
    return [
        f"{name} is a secret and was written nowhere: put it into a file of secrets_secure/ in the base directory, "
        "or give it to the units with LoadCredential="
        for name in secrets_left_out(environment)
    ]


def _of_mail(configuration: Configuration, email: str) -> list[str]:
    if not email or configuration.settings.notifications.mail.host:
        return []
    return [
        f"{email} will get no mail: no mail server is named; set notifications.mail.host in the configuration, "
        "then try it: sutazai-exporter notify --test"
    ]


def need_root(wishes: Wishes, what: str) -> None:
    """Raise Failure unless this is root, or only files for another system are made."""
    if os.geteuid() != 0 and wishes.root is None:
        raise Failure(f"{what}: only root may do that; run it with sudo, or use --cron", EXIT_UNAVAILABLE)


def systemd_runs() -> bool:
    """Whether there is a systemd to talk to."""
    return _BOOTED_BY_SYSTEMD.is_dir() and shutil.which("systemctl") is not None


def content_of(path: Path) -> bytes | None:
    """What is in a file, None where there is none; raise Failure where it is something else or cannot be read."""
    from jobs.core.files import UnfitFile, read_small

    try:
        return read_small(path, 1 << 20)
    except FileNotFoundError:
        return None
    except (UnfitFile, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Failure(f"{path}: {reason}; it stays, and nothing was changed", EXIT_UNAVAILABLE) from None

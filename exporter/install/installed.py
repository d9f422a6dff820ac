"""What there is on this machine to run the tasks: lines of cron, whoever wrote them, and units of systemd."""

from __future__ import annotations

from pathlib import Path

from exporter.install.crontab_text import lines_that_start
from exporter.users import user_name
from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError

CRON_PLACES = ("etc/crontab", "etc/cron.d", "etc/cron.hourly", "etc/cron.daily", "var/spool/cron/crontabs")
"""Where cron is told what to start; the last has the crontabs of other users, which root alone may read."""
UNIT_PLACES = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system", "usr/local/lib/systemd/system")
_LISTING_SECONDS = 5.0
_MAX_CRON_BYTES = 1 << 20


def cron_lines(root: Path) -> list[str] | None:
    """Where cron is told to start something of ours; None where its own program cannot be asked."""
    files = [file for place in CRON_PLACES for file in _files(root / place) if file.name != user_name()]
    found = [f"/{file.relative_to(root)}" for file in files if lines_that_start(_content(file))]
    try:
        done = commands.run(["crontab", "-l"], timeout_seconds=_LISTING_SECONDS, check=False)
    except Absent:
        return found
    except ClientError:
        return found or None
    count = len(lines_that_start(done.stdout))
    return [*found, *([f"{count} lines of this user's crontab"] if count else [])]


def unit_names(root: Path, home: str) -> list[str]:
    """The timers and services of ours that systemd knows, each by its name; `home` is that of this user, if any."""
    places = [root / place for place in UNIT_PLACES]
    places += [Path(home, ".config/systemd/user")] if home.startswith("/") else []
    found = {unit.name for place in places for kind in ("service", "timer") for unit in place.glob(f"sutazai*.{kind}")}
    timers = {name for name in found if name.endswith(".timer")}
    # A service that a timer starts is told of by its timer.
    return sorted(timers | {name for name in found if name.removesuffix(".service") + ".timer" not in timers})


def _files(place: Path) -> list[Path]:
    try:
        if place.is_dir():
            return sorted(file for file in place.iterdir() if file.is_file())
        return [place] if place.is_file() else []
    except OSError:
        return []  # closed to us: nothing of it is known, and nothing is claimed


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_CRON_BYTES)
    except OSError:
        return b""  # another user's table: nothing of it is known, and nothing is claimed

"""Plans for cron: lines in somebody's crontab, or a file of /etc/cron.d."""

from __future__ import annotations

import os
from pathlib import Path

from exporter.failure import EXIT_UNAVAILABLE, Failure
from exporter.install import crontab_text
from exporter.install.accounts import may_write_to
from exporter.install.crontab_program import CrontabChange, CrontabProgram
from exporter.install.marker import Whose, marked, whose
from exporter.install.site import UNITS, Site, content_of
from exporter.install.steps import FileChange, Kept, Plan, Step

CRON_FILE = Path("/etc/cron.d/sutazai-exporter")
TOGETHER = "both together do each slot once"
_CRON_NAMES = ("cron", "crond", "anacron", "busybox")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def into_crontab(site: Site, program: CrontabProgram) -> Plan:
    """Our lines into a crontab, in the place of ours that are there."""
    _check_base_dir(site)
    before = program.read()
    lines = [crontab_text.line(task, one, site.how) for task, all_of_it in site.cadences().items() for one in all_of_it]
    after = crontab_text.installed(before or b"", lines)
    change = CrontabChange(program, before, after)
    notes = (*site.notes, *_of_reading(before or b""), *_of_cron(site))
    return Plan(_with_copy(site, change, before, "crontab"), notes)


def out_of_crontab(program: CrontabProgram, copies: Kept | None = None) -> Plan:
    """Our lines out of a crontab, which goes if nothing else is in it."""
    before = program.read()
    after = crontab_text.removed(before or b"") or None
    change = CrontabChange(program, before, before if before == after or not before else after)
    return Plan((*([copies] if copies and not change.idle else []), change), tuple(_left(before or b"")))


def into_directory(site: Site) -> Plan:
    """Our file for /etc/cron.d."""
    if not site.staged:
        _check_base_dir(site)
    path = site.on_disk(CRON_FILE)
    before = content_of(path)
    _refuse_others(site, path, before)
    mail_to = site.wishes.email or "root"
    lines = [
        crontab_text.line(task, one, site.how, site.who.name)
        for task, all_of_it in site.cadences().items()
        for one in all_of_it
    ]
    body = "\n".join(["SHELL=/bin/sh", f"PATH={_PATH}", f"MAILTO={mail_to}", *lines]) + "\n"
    change = FileChange(path, before, marked(body))
    return Plan(_with_copy(site, change, before, CRON_FILE.name), (*site.notes, *_of_cron(site)))


def out_of_directory(path: Path) -> Plan:
    """Our file out of /etc/cron.d, unless somebody has changed it."""
    before = content_of(path)
    state = whose(before)
    if state is Whose.NOBODYS:
        return Plan(())
    if state is Whose.OURS:
        return Plan((FileChange(path, before, None),))
    return Plan((), (f"left alone: {path}: {state.value}; remove it by hand if it is not needed",))


def _refuse_others(site: Site, path: Path, before: bytes | None) -> None:
    state = whose(before)
    if state in (Whose.CHANGED, Whose.OTHERS) and not site.wishes.force:
        raise Failure(
            f"{path}: {state.value}; move it away, or replace it with --force, which keeps a copy", EXIT_UNAVAILABLE
        )


def _with_copy(site: Site, change: Step, before: bytes | None, name: str) -> tuple[Step, ...]:
    if change.idle or before is None or site.staged:
        return (change,)
    return Kept(site.copies, f"{name}_{site.who.name}", before, site.now), change


def _check_base_dir(site: Site) -> None:
    """Raise Failure where the runs could write nothing: better now than in the middle of the night."""
    place = next(path for path in (site.base_dir, *site.base_dir.parents) if path.exists())
    if not may_write_to(site.who, place):
        raise Failure(
            f"{site.base_dir}: {site.who.name} may not write there, so no run would work; "
            "give it to that user, set SUTAZAI_BASE_DIR, or install for root (sudo, or --system)",
            EXIT_UNAVAILABLE,
        )


def _of_reading(before: bytes) -> list[str]:
    found = crontab_text.read(before)
    notes = [f"replaced: a line of the guide's own set-up: {line}" for line in found.guides]
    if found.time_zone:
        notes.append("the crontab sets a time zone: times there and those of the schedule may differ")
    return notes + _left(before)


def _left(before: bytes) -> list[str]:
    return [f"left alone, as it is not one of our lines: {line}" for line in crontab_text.read(before).left_alone]


def _of_cron(site: Site) -> list[str]:
    """Whether anybody will read the lines, and who does the same already."""
    units = [path for path in site.on_disk(UNITS).glob("sutazai-*") if path.suffix in (".service", ".timer")]
    told = f"{UNITS}: has units of ours as well; {TOGETHER}; remove one: uninstall --systemd"
    beside = [told] if units else []
    return beside if site.staged else [*beside, *_of_the_daemon()]


def _of_the_daemon() -> list[str]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                name = Path(entry.path, "comm").read_text().strip()
            except OSError:  # it has ended meanwhile
                continue
            if name in _CRON_NAMES:
                return []
    return ["no cron daemon seems to run: start it (systemctl enable --now cron)"]

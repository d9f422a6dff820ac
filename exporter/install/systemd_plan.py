"""Plans for systemd: which units there are to be, which have to go, and what systemctl is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.failure import EXIT_UNAVAILABLE, Failure
from exporter.install import legacy
from exporter.install.accounts import DOCKER_GROUP, group_exists, may_reach
from exporter.install.cron_plan import CRON_FILE, TOGETHER
from exporter.install.marker import Whose, marked, whose
from exporter.install.site import UNITS, Site, content_of, systemd_runs
from exporter.install.steps import Command, Directory, FileChange, Kept, Plan, Step
from exporter.install.task_units import daemon_units, timer_units
from exporter.install.units import SERVICE

BELOW_PREFIX = Path("lib/systemd/system")
PACKAGES = (Path("/usr/local") / BELOW_PREFIX,)
"""Where else units of ours may be that no package manager looks after."""
_OURS = ("sutazai-*.service", "sutazai-*.timer")


@dataclass
class _Found:
    """The units of our names in a directory, by what they are to us."""

    contents: dict[Path, bytes] = field(default_factory=dict)
    states: dict[Path, Whose] = field(default_factory=dict)

    @classmethod
    def look(cls, directory: Path) -> _Found:
        found = cls()
        for pattern in _OURS:
            for path in sorted(directory.glob(pattern)):
                content = content_of(path)
                if content is not None:
                    found.contents[path] = content
                    found.states[path] = Whose.OURS if legacy.is_guides_unit(path.name, content) else whose(content)
        return found

    def of(self, *states: Whose) -> list[Path]:
        return [path for path, state in self.states.items() if state in states]


def unit_directory(site: Site) -> Path:
    """Where units are written: for the administrator, or below a prefix, for a package."""
    prefix = site.wishes.prefix
    return site.on_disk(prefix / BELOW_PREFIX if prefix else UNITS)


def install(site: Site, *, timers: bool) -> Plan:
    """The daemon's service, or a timer for each task, in the place of the other kind."""
    directory, groups = unit_directory(site), _groups(site)
    wanted = timer_units(site, groups) if timers else daemon_units(site, groups)
    found = _Found.look(directory)
    kept = _spared(site, found, {directory / name for name in wanted})
    changes = [
        FileChange(directory / name, found.contents.get(directory / name), marked(text))
        for name, text in wanted.items()
        if directory / name not in kept
    ]
    gone = [path for path in found.of(Whose.OURS) if path.name not in wanted]
    starts = [name for name in wanted if name.endswith(".timer") or name == SERVICE]
    touched = any(not change.idle for change in changes) or bool(gone)
    steps: list[Step] = [*_for_the_user(site), *_copies(site, found, changes, gone)]
    steps += [*_stop(site, gone), *changes, *(FileChange(path, found.contents[path], None) for path in gone)]
    by_hand: tuple[str, ...] = ()
    if _live(site):
        steps += _start(starts, changes, reload=touched)
    elif not site.staged:
        by_hand = ("systemctl daemon-reload", f"systemctl enable --now {' '.join(starts)}")
    notes = [*site.notes, *_of_conflicts(gone, timers), *_of_cron(site), *_of_kept(kept, found), *_of_reach(site)]
    return Plan(tuple(steps), tuple(notes), by_hand)


def remove(directory: Path, *, live: bool) -> Plan:
    """Every unit that is ours and as we wrote it; drop-ins and whatever was changed by hand stay."""
    found = _Found.look(directory)
    gone = found.of(Whose.OURS)
    steps: list[Step] = []
    if live and gone:
        steps.append(Command(("systemctl", "disable", "--now", *_startable(gone)), may_fail=True))
    steps += [FileChange(path, found.contents[path], None) for path in gone]
    if live and gone:
        steps.append(Command(("systemctl", "daemon-reload")))
    notes = _of_kept(found.of(Whose.CHANGED, Whose.OTHERS), found)
    notes += [f"left alone: {path}/: your own changes to a unit of ours" for path in _drop_ins(directory, found)]
    by_hand = () if live or not gone else ("systemctl daemon-reload", f"systemctl stop {' '.join(_startable(gone))}")
    return Plan(tuple(steps), tuple(notes), by_hand)


def _spared(site: Site, found: _Found, wanted: set[Path]) -> set[Path]:
    """Units that stay though ours have their names; raise Failure where those are somebody else's."""
    if site.wishes.force:
        return set()
    if others := sorted(wanted & set(found.of(Whose.OTHERS))):
        raise Failure(
            f"{others[0]}: {Whose.OTHERS.value}; move it away, or replace it with --force, which keeps a copy",
            EXIT_UNAVAILABLE,
        )
    return wanted & set(found.of(Whose.CHANGED))


def _live(site: Site) -> bool:
    return not site.staged and site.wishes.prefix is None and systemd_runs()


def _groups(site: Site) -> list[str]:
    """Docker's group, for a user that has not root's rights; a group that is not there would stop the unit."""
    return [DOCKER_GROUP] if not site.who.is_root and (site.staged or group_exists(DOCKER_GROUP)) else []


def _for_the_user(site: Site) -> list[Step]:
    """The user, if there is none of that name, and the base directory, in which a unit may then write."""
    if site.staged or site.wishes.prefix:
        return []
    name = site.who.name
    steps: list[Step] = []
    if site.who.uid is None:
        add = ("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(site.base_dir))
        steps.append(Command((*add, "--shell", "/usr/sbin/nologin", name), reverse=("userdel", name)))
    return steps if site.base_dir.is_dir() else [*steps, Directory(site.base_dir, 0o750, name)]


def _copies(site: Site, found: _Found, changes: Iterable[FileChange], gone: Iterable[Path]) -> list[Step]:
    """Copies of what is replaced and was not made by us as it is."""
    if site.staged:
        return []
    replaced = [*(change.path for change in changes if not change.idle and change.before), *gone]
    strange = [path for path in replaced if whose(found.contents[path]) is not Whose.OURS]
    return [Kept(site.copies, path.name, found.contents[path], site.now) for path in strange]


def _stop(site: Site, gone: list[Path]) -> list[Step]:
    names = _startable(gone)
    if not (_live(site) and names):
        return []
    return [Command(("systemctl", "disable", "--now", *names), ("systemctl", "enable", "--now", *names), may_fail=True)]


def _start(names: list[str], changes: Iterable[FileChange], *, reload: bool) -> list[Step]:
    """What runs with another text than before is started again; nothing else is."""
    changed = [change.path.name for change in changes if change.before and not change.idle]
    again = [name for name in names if name in changed]
    return [
        *([Command(("systemctl", "daemon-reload"), ("systemctl", "daemon-reload"))] if reload else []),
        Command(("systemctl", "enable", "--now", *names), ("systemctl", "disable", "--now", *names)),
        *([Command(("systemctl", "restart", *again))] if again else []),
    ]


def _startable(paths: Iterable[Path]) -> list[str]:
    """Of units those that are enabled: timers, and the daemon's service."""
    return [path.name for path in paths if path.suffix == ".timer" or path.name == SERVICE]


def _of_conflicts(gone: list[Path], timers: bool) -> list[str]:
    if timers and any(path.name == SERVICE for path in gone):
        return [
            "the daemon's service is replaced by timers: nothing answers on /metrics or the API any more, agents are "
            "looked at by the clock only, and metrics come by node-exporter (both together would do each slot once)"
        ]
    if not timers and any(path.suffix == ".timer" for path in gone):
        return [
            "the timers are replaced by the daemon, which keeps the same schedule "
            "(both together would do each slot once)"
        ]
    return []


def _of_cron(site: Site) -> list[str]:
    file = site.on_disk(CRON_FILE)
    return [f"{file}: has lines of ours as well; {TOGETHER}; remove one: uninstall --cron"] if file.exists() else []


def _of_kept(kept: Iterable[Path], found: _Found) -> list[str]:
    return [
        f"left alone: {path}: {found.states[path].value}; changes belong in a drop-in (systemctl edit {path.name})"
        for path in sorted(kept)
    ]


def _of_reach(site: Site) -> list[str]:
    """Programs that the unit's user cannot come to: those in somebody's home."""
    if site.staged:
        return []
    missing = [path for path in site.how.paths() if path.exists() and not may_reach(site.who, path)]
    if not missing:
        return []
    return [
        f"{missing[0]}: {site.who.name} cannot come to it; install the program outside of homes (in /opt), "
        "or use --user root"
    ]


def _drop_ins(directory: Path, found: _Found) -> list[Path]:
    known = {path.name for path in found.contents}
    places: Mapping[str, Path] = {path.name.removesuffix(".d"): path for path in directory.glob("sutazai-*.d")}
    return [path for name, path in sorted(places.items()) if name in known or name.startswith("sutazai-")]

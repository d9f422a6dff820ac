"""Checks of the machine: load, memory, file systems."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.clients import Clients
from jobs.core.checks import Answer, Planned, Status, sample
from jobs.core.forecast import seconds_to_full
from jobs.core.model import Family, Observation, Sample
from jobs.core.settings import Thresholds

if TYPE_CHECKING:
    from jobs.clients.host import Disk, Load, Memory, Mount

LOAD = Family(name="sutazai_host_load1_ratio", help="One-minute load average of each core.")
MEMORY = Family(name="sutazai_host_memory_used_ratio", help="Share of memory that programs cannot get any more.")
DISK_SIZE = Family(name="sutazai_filesystem_size_bytes", help="Size of a file system.", labels=("mountpoint",))
DISK_FREE = Family(
    name="sutazai_filesystem_free_bytes", help="What ordinary users can still write.", labels=("mountpoint",)
)
DISK_USED = Family(
    name="sutazai_filesystem_used_ratio", help="Share of a file system in use, as df shows it.", labels=("mountpoint",)
)
INODES_USED = Family(
    name="sutazai_filesystem_inodes_used_ratio",
    help="Share of inodes in use; absent where their number is not fixed.",
    labels=("mountpoint",),
)
DISK_FULL = Family(
    name="sutazai_filesystem_full_seconds",
    help="When a file system will be full at the pace of the last hours; absent where it does not fill.",
    labels=("mountpoint",),
)
THRESHOLD = Family(name="sutazai_threshold_ratio", help="Limits that checks and alerts share.", labels=("threshold",))
THRESHOLD_LOAD = Family(
    name="sutazai_threshold_load_per_core", help="One-minute load of each core beyond which it is a warning."
)
FAMILIES = (
    *(LOAD, MEMORY, DISK_SIZE, DISK_FREE, DISK_USED, INODES_USED, DISK_FULL),
    *(THRESHOLD, THRESHOLD_LOAD),
)


def threshold_samples(limits: Thresholds) -> list[Sample]:
    """The limits themselves, so that an alert rule need not repeat them."""
    percents = {
        "memory_max": limits.max_memory_percent,
        "memory_critical": limits.critical_memory_percent,
        "disk_max": limits.max_disk_percent,
        "disk_critical": limits.critical_disk_percent,
    }
    ratios = [sample(THRESHOLD, percent / 100, threshold=name) for name, percent in percents.items()]
    return [*ratios, sample(THRESHOLD_LOAD, limits.max_load_per_core)]


def load(clients: Clients) -> Planned:
    """The cores keep up."""
    return Planned("load", lambda: clients.host.load(), lambda found: judge_load(found, clients.world.thresholds))


def judge_load(found: Load, limits: Thresholds) -> Answer:
    """More than the limit for each core is a warning."""
    high = found.per_core > limits.max_load_per_core
    averages = ", ".join(f"{average:.2f}" for average in found.averages)
    return Answer(
        Status.WARN if high else Status.PASS,
        f"load {averages} on {found.cores} cores, limit {limits.max_load_per_core:g} per core",
        {"load_average": averages, "cores": found.cores},
        remedy="see what uses the cores: top" if high else "",
        samples=(sample(LOAD, found.per_core),),
    )


def memory(clients: Clients) -> Planned:
    """There is memory left."""
    return Planned("memory", lambda: clients.host.memory(), lambda found: judge_memory(found, clients.world.thresholds))


def judge_memory(found: Memory, limits: Thresholds) -> Answer:
    """The two limits make a warning and a failure."""
    percent = 100 * found.used_ratio
    status = _level(percent, limits.max_memory_percent, limits.critical_memory_percent)
    details = {
        "used_percent": round(percent, 1),
        "total_bytes": found.total_bytes,
        "available_bytes": found.available_bytes,
        "swap_total_bytes": found.swap_total_bytes,
        "swap_used_bytes": found.swap_used_bytes,
    }
    remedy = "" if status is Status.PASS else "see what uses it: ps aux --sort=-rss"
    return Answer(status, f"{percent:.1f} % in use", details, remedy, (sample(MEMORY, found.used_ratio),))


def disks(clients: Clients, window_hours: float, min_hours_to_full: float) -> list[Planned]:
    """One check for each file system: it has bytes and inodes left, and will have for some time."""
    try:
        mounts = clients.host.mounts()
    except (OSError, ValueError) as error:
        failure = error
        return [Planned("disk", lambda: _raise(failure), _never)]
    # Two names that differ only in what cannot be shown are one series.
    return [_disk(clients, m, window_hours, min_hours_to_full) for m in {m.point: m for m in mounts}.values()]


def _disk(clients: Clients, mount: Mount, window_hours: float, min_hours_to_full: float) -> Planned:
    def judge(found: Disk) -> Answer:
        now = clients.clock.now()
        earlier = clients.history.points(disk_series(mount), now - timedelta(hours=window_hours))
        points = [*earlier, (now.timestamp(), float(found.used_bytes))]
        return judge_disk(found, seconds_to_full(points, found.free_bytes), clients.world.thresholds, min_hours_to_full)

    remedy = f"see what it is (findmnt {mount.point}), and whether this user can look at it (df {mount.point})"
    return Planned(f"disk:{mount.point}", lambda: clients.host.disk(mount), judge, remedy=remedy)


def disk_series(mount: Mount) -> str:
    """Under which name the use of a file system is remembered."""
    return f"disk_used_bytes/{mount.point}"


def judge_disk(found: Disk, full_seconds: float | None, limits: Thresholds, min_hours_to_full: float) -> Answer:
    """Bytes and inodes each have two limits; being full soon is a warning."""
    percent, inodes_ratio = 100 * found.used_ratio, found.inodes_used_ratio
    inodes_percent = 100 * (inodes_ratio or 0.0)
    levels = [_level(p, limits.max_disk_percent, limits.critical_disk_percent) for p in (percent, inodes_percent)]
    soon = full_seconds is not None and full_seconds < min_hours_to_full * 3600
    status = max([*levels, Status.WARN if soon else Status.PASS], key=_SEVERITY.index)
    parts = [f"{percent:.1f} % of {found.size_bytes / 1e9:.1f} GB in use"]
    parts += [f"{inodes_percent:.1f} % of inodes in use"] if levels[1] is not Status.PASS else []
    parts += [f"full in {full_seconds / 3600:.1f} h at this pace"] if full_seconds is not None and soon else []
    return Answer(
        status,
        f"{found.mount.point}: {', '.join(parts)}",
        _disk_details(found, full_seconds),
        remedy="" if status is Status.PASS else _disk_remedy(levels[1] is not Status.PASS, found.mount),
        samples=tuple(_disk_samples(found, full_seconds)),
        observations=(Observation(series=disk_series(found.mount), value=found.used_bytes),),
    )


def _disk_details(found: Disk, full_seconds: float | None) -> dict[str, object]:
    return {
        "used_percent": round(100 * found.used_ratio, 1),
        "size_bytes": found.size_bytes,
        "free_bytes": found.free_bytes,
        "inodes_used_percent": None if found.inodes_used_ratio is None else round(100 * found.inodes_used_ratio, 1),
        "hours_to_full": None if full_seconds is None else round(full_seconds / 3600, 1),
        "type": found.mount.kind,
        "read_only": found.mount.read_only,
    }


def _disk_remedy(inodes: bool, mount: Mount) -> str:
    what = "du --inodes -x" if inodes else "du -xh --max-depth=2"
    return f"find what fills it ({what} {mount.point}), remove or move it"


def _disk_samples(found: Disk, full_seconds: float | None) -> list[Sample]:
    values = {
        DISK_SIZE: found.size_bytes,
        DISK_FREE: found.free_bytes,
        DISK_USED: found.used_ratio,
        INODES_USED: found.inodes_used_ratio,
        DISK_FULL: full_seconds,
    }
    return [sample(f, value, mountpoint=found.mount.point) for f, value in values.items() if value is not None]


_SEVERITY = (Status.PASS, Status.WARN, Status.FAIL)


def _level(percent: float, max_percent: float, critical_percent: float) -> Status:
    if percent >= critical_percent:
        return Status.FAIL
    return Status.WARN if percent >= max_percent else Status.PASS


def _raise(error: Exception) -> None:
    raise error


def _never(found: object) -> Answer:
    raise AssertionError(found)

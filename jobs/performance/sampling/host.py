"""Samples this machine: CPU, load, memory, disks, network, pressure."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.clients import host_figures as counted
from jobs.clients.errors import ClientError
from jobs.core.checks import sample
from jobs.performance import series
from jobs.performance.sampling import families
from jobs.performance.sampling.families import figure_of
from jobs.performance.sampling.part import Part, Rates, Reading, Source, per_second, two_readings
from jobs.performance.series import Figure

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.host import Disk, Load, Memory, Mount

SECTION = "system_metrics"
_MAX_MOUNTS = 64
_NOT_USED = ("idle", "iowait")
_KINDS = {
    counted.READ: series.DISK_READ,
    counted.WRITTEN: series.DISK_WRITTEN,
    counted.RECEIVED: series.RECEIVED,
    counted.SENT: series.SENT,
    counted.ERRORS: series.NETWORK_ERRORS,
}
_RATIOS = {counted.BUSY: series.DISK_BUSY, counted.PRESSURE: series.PRESSURE}


def sources(clients: Clients, before: Reading | None) -> list[Source]:
    """The machine, and each of its file systems for itself: a server that is gone holds up only its own."""
    return [Source("host", lambda: measure(clients, before)), *_disks(clients)]


def measure(clients: Clients, before: Reading | None) -> Part:
    """Everything but the use of file systems."""

    def read() -> Reading:
        return Reading(clients.host.uptime_seconds(), clients.host_figures.counters())

    earlier, now = two_readings(before, read, steady)
    rates = per_second(earlier, now)
    load, memory = clients.host.load(), clients.host.memory()
    figures = [*cpu_figures(rates[counted.CPU]), *_now_figures(load, memory), *_rate_figures(rates)]
    return Part(
        figures=tuple(figures),
        samples=tuple(
            sample(families.FULL_PRESSURE, min(1.0, r), resource=n) for n, r in rates[counted.FULL_PRESSURE].items()
        ),
        sections={SECTION: _section(figures, load, memory, now.at_seconds - earlier.at_seconds)},
        reading=now,
    )


def steady(before: Reading, now: Reading) -> bool:
    """Whether the CPU's times have only grown; waiting for disks may shrink a little, as the kernel warns."""
    was, is_now = before.counters.get(counted.CPU, {}), now.counters[counted.CPU]
    return bool(was) and all(value >= was.get(mode, 0.0) for mode, value in is_now.items() if mode != "iowait")


def cpu_figures(rates: Mapping[str, float]) -> list[Figure]:
    """The share of time that all cores together spent in use, and in each mode; none where no time has passed."""
    total = sum(rates.values())
    if not total:
        return []
    shares = {mode: rate / total for mode, rate in rates.items()}
    used = 1 - sum(shares.get(mode, 0.0) for mode in _NOT_USED)
    return [
        figure_of(series.CPU, max(0.0, used)),
        *(figure_of(series.CPU_MODE, share, mode) for mode, share in shares.items()),
    ]


def _now_figures(load: Load, memory: Memory) -> list[Figure]:
    found = [figure_of(series.LOAD, load.per_core), figure_of(series.MEMORY, memory.used_ratio)]
    if memory.swap_total_bytes:
        found.append(figure_of(series.SWAP, memory.swap_used_bytes / memory.swap_total_bytes))
    return found


def _rate_figures(rates: Rates) -> list[Figure]:
    found = [figure_of(kind, rate, name) for key, kind in _KINDS.items() for name, rate in rates[key].items()]
    # A clock tick more than the time that passed is no more than all of it.
    return found + [
        figure_of(kind, min(1.0, rate), name) for key, kind in _RATIOS.items() for name, rate in rates[key].items()
    ]


def _section(figures: list[Figure], load: Load, memory: Memory, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        "measured_over_seconds": round(seconds, 3),
        "cores": load.cores,
        "load_averages": list(load.averages),
        "memory_total_bytes": memory.total_bytes,
        "memory_available_bytes": memory.available_bytes,
        "swap_total_bytes": memory.swap_total_bytes,
        "swap_used_bytes": memory.swap_used_bytes,
    }
    for figure in figures:
        name = figure.kind.name.removeprefix("host_")
        if figure.labels:
            found.setdefault(name, {})[figure.labels[0]] = figure.value
        else:
            found[name] = figure.value
    return found


def _disks(clients: Clients) -> list[Source]:
    try:
        mounts = {mount.point: mount for mount in clients.host.mounts()}
    except (OSError, ValueError) as error:
        return [Source("host/disks", partial(_unknown, str(error)))]
    return [_disk(clients, mount) for mount in list(mounts.values())[:_MAX_MOUNTS]]


def _unknown(reason: str) -> Part:
    raise ClientError(f"which file systems there are cannot be told: {reason}")


def _disk(clients: Clients, mount: Mount) -> Source:
    return Source(f"host/disk {mount.point}", lambda: _disk_part(clients.host.disk(mount)))


def _disk_part(disk: Disk) -> Part:
    figure = figure_of(series.DISK, disk.used_ratio, disk.mount.point)
    about = {"used_ratio": disk.used_ratio, "size_bytes": disk.size_bytes, "free_bytes": disk.free_bytes}
    return Part((figure,), sections={SECTION: {"disks": {figure.labels[0]: about}}})

"""Samples the containers: from their cgroups, else from the engine's own statistics."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.clients.errors import ClientError
from jobs.core.side_by_side import side_by_side
from jobs.performance import series
from jobs.performance.sampling.families import figure_of, shown
from jobs.performance.sampling.part import Part, Rates, Reading, per_second, two_readings
from jobs.performance.sampling.sampled import Gap
from jobs.performance.series import Figure, Kind

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.core.containers import Container
    from jobs.core.usage import Usage

SECTION = "container_metrics"
CPU, READ, WRITTEN = "cpu_seconds", "read_bytes", "written_bytes"
_LIVING = ("running", "paused")
_ENGINE_SECONDS = 15.0
"""For asking the engine about one container after the other: twice for their use, once for their restarts."""
_AT_ONCE = 8

_T = TypeVar("_T")


def measure(clients: Clients, before: Reading | None, max_containers: int) -> Part:
    """All containers, or the first by name; raise Absent or ClientError where the engine does not tell of them."""
    listed = sorted(clients.docker.containers(), key=lambda container: container.name)
    chosen = listed[:max_containers]
    living = [container.id for container in chosen if container.state in _LIVING]
    last: dict[str, Usage | None] = {}

    def read() -> Reading:
        last.clear()
        at = clients.host.uptime_seconds()
        last.update(usage(clients, living))
        return Reading(at, counters(last))

    earlier, now = two_readings(before, read, lambda *_: True) if living else (None, read())
    restarts = _asked([c.id for c in chosen], lambda one: restart_count(clients.docker.inspect(one).raw))
    rates = per_second(earlier, now)
    figures = [figure for c in chosen for figure in container_figures(c, last.get(c.id), rates, restarts.get(c.id))]
    return Part(
        figures=tuple(figures),
        gaps=tuple(_gaps(len(listed) - len(chosen), len(living) - len(last), len(chosen) - len(restarts))),
        sections={SECTION: _section(chosen, listed, figures)},
        reading=now,
    )


def usage(clients: Clients, ids: Sequence[str]) -> dict[str, Usage | None]:
    """What each container uses, by its cgroup; where none is to be seen, by the engine's statistics.

    The engine may be on another machine, or we in a container that sees no groups but its own. None is of a container
    that is gone by now; those that nobody tells of are left out.
    """
    if not ids:
        return {}
    found: dict[str, Usage | None] = {**clients.cgroups.usage(ids)}
    missing = [one for one in ids if one not in found]
    if missing:
        host_bytes = clients.docker.memory_bytes()
        found |= _asked(missing, lambda one: clients.docker.usage(one, host_bytes))
    return found


def _asked(ids: Sequence[str], ask: Callable[[str], _T]) -> dict[str, _T | None]:
    """What the engine says of each container, some at a time: None of one that has gone since it was listed.

    Those that it does not tell of, or not in time, are left out.
    """
    # Not at the top: a job is known without the client that it may never need.
    from jobs.clients.docker import NoSuchContainer

    deadline = time.monotonic() + _ENGINE_SECONDS

    def work(mine: Iterable[str]) -> dict[str, _T | None]:
        found: dict[str, _T | None] = {}
        for one in mine:
            if time.monotonic() > deadline:
                break
            try:
                found[one] = ask(one)
            except NoSuchContainer:
                found[one] = None
            except ClientError:
                continue
        return found

    shares = [list(itertools.islice(ids, start, None, _AT_ONCE)) for start in range(min(_AT_ONCE, len(ids)))]
    told: dict[str, _T | None] = {}
    for ended in side_by_side([partial(work, share) for share in shares], _ENGINE_SECONDS + 1, time.monotonic):
        if ended.error is not None:
            raise ended.error
        told |= ended.value
    return told


def restart_count(inspection: Mapping[str, Any]) -> int:
    """How often the engine has restarted it, by its restart policy; 0 where the engine does not say."""
    count = inspection.get("RestartCount")
    return count if isinstance(count, int) and count >= 0 else 0


def counters(found: Mapping[str, Usage | None]) -> dict[str, dict[str, float]]:
    """What each container's usage counts, for rates."""
    known = {one: used for one, used in found.items() if used is not None}
    values: dict[str, dict[str, float | None]] = {
        CPU: {one: used.cpu_seconds for one, used in known.items()},
        READ: {one: used.read_bytes for one, used in known.items()},
        WRITTEN: {one: used.written_bytes for one, used in known.items()},
    }
    return {key: {one: v for one, v in by_id.items() if v is not None} for key, by_id in values.items()}


def container_figures(container: Container, used: Usage | None, rates: Rates, restarts: int | None) -> list[Figure]:
    """The figures of one container. One that does not run has its restarts, and nothing else."""
    values: dict[Kind, float | None] = {series.CONTAINER_RESTARTS: restarts}
    if used is not None:
        values |= {
            series.CONTAINER_CPU: rates[CPU].get(container.id),
            series.CONTAINER_MEMORY: used.memory_bytes,
            series.CONTAINER_MEMORY_SHARE: used.limit_ratio,
            series.CONTAINER_READ: rates[READ].get(container.id),
            series.CONTAINER_WRITTEN: rates[WRITTEN].get(container.id),
        }
    return [figure_of(kind, value, container.name) for kind, value in values.items() if value is not None]


def _gaps(left_out: int, not_measured: int, not_inspected: int) -> Iterable[Gap]:
    if left_out:
        yield Gap("containers", f"{left_out} containers are not measured; raise max_containers")
    if not_measured > 0:
        yield Gap("containers", f"the engine did not tell what {not_measured} running containers use")
    if not_inspected > 0:
        yield Gap("containers", f"the engine did not tell how often {not_inspected} containers were restarted")


def _section(chosen: Sequence[Container], listed: Sequence[Container], figures: Sequence[Figure]) -> dict[str, Any]:
    by_name: dict[str, dict[str, Any]] = {
        shown(container.name): {"state": container.state, "image": container.image} for container in chosen
    }
    for figure in figures:
        by_name[figure.labels[0]][figure.kind.name.removeprefix("container_")] = figure.value
    running = sum(container.state == "running" for container in listed)
    return {"total": len(listed), "running": running, "containers": by_name}

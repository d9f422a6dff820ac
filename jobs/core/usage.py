"""What a container uses, as its cgroup or the engine's statistics tell it: plain values, in base units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_UNLIMITED_BYTES = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of a page below 2^63."""
_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Usage:
    """CPU time and bytes counted since the container was started, and memory now; None is what could not be told.

    `memory_bytes` leaves out the cache that can be dropped at once, as `docker stats` does. `limit_bytes` is None
    without a limit.
    """

    cpu_seconds: float | None
    memory_bytes: int | None
    limit_bytes: int | None
    read_bytes: int | None
    written_bytes: int | None

    @property
    def limit_ratio(self) -> float | None:
        """The share of its own limit that is in use; None without one."""
        if self.memory_bytes is None or not self.limit_bytes:
            return None
        return self.memory_bytes / self.limit_bytes


def working_set_bytes(usage_bytes: int, inactive_file_bytes: int) -> int:
    """Memory without the file cache that was not used of late.

    The formula is that of `docker stats` (`calculateMemUsageUnixNoCache` in docker/cli's
    cli/command/container/stats_helpers.go).
    """
    return usage_bytes - inactive_file_bytes if inactive_file_bytes < usage_bytes else usage_bytes


def limited(limit_bytes: int, host_bytes: int = _UNLIMITED_BYTES) -> int | None:
    """The limit, None where it is none or more than the machine has: the engine's word for "no limit"."""
    return limit_bytes if 0 < limit_bytes < min(host_bytes, _UNLIMITED_BYTES) else None


def parse_stats(answer: object, host_bytes: int) -> Usage:
    """Given the answer of `GET /containers/ID/stats`, return it; ValueError where it is not one.

    A container that has just ended is answered with zeros and without memory.
    """
    raw = _mapping(answer)
    memory, cpu = _mapping(raw.get("memory_stats")), _mapping(_mapping(raw.get("cpu_stats")).get("cpu_usage"))
    details = _mapping(memory.get("stats"))
    inactive = _number(details.get("total_inactive_file", details.get("inactive_file"))) or 0
    usage, nanoseconds = _number(memory.get("usage")), _number(cpu.get("total_usage"))
    read, written = _transferred(_mapping(raw.get("blkio_stats")).get("io_service_bytes_recursive"))
    return Usage(
        cpu_seconds=None if nanoseconds is None else nanoseconds / _NANOSECONDS,
        memory_bytes=None if usage is None else working_set_bytes(usage, inactive),
        limit_bytes=limited(_number(memory.get("limit")) or 0, host_bytes),
        read_bytes=read,
        written_bytes=written,
    )


def _transferred(entries: object) -> tuple[int, int]:
    """Bytes read and written on all devices; the engine answers null where there were none."""
    totals = {"read": 0, "write": 0}
    for entry in entries if isinstance(entries, list) else []:
        one = _mapping(entry)
        operation = str(one.get("op", "")).lower()
        if operation in totals:
            totals[operation] += _number(one.get("value")) or 0
    return totals["read"], totals["write"]


def _mapping(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"an object expected, found {type(value).__name__}")
    return value


def _number(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError("a number of at least 0 expected")
    return int(value)

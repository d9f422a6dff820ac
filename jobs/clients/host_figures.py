"""What the kernel has counted since this machine was started: CPU time, disk and network traffic, pressure. Linux only.

Formats: proc_stat(5), https://docs.kernel.org/admin-guide/iostats.html, proc_pid_net(5) and
https://docs.kernel.org/accounting/psi.html.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from jobs.clients.errors import ClientError

CPU, PRESSURE, FULL_PRESSURE = "cpu_seconds", "pressure_seconds", "full_pressure_seconds"
READ, WRITTEN, BUSY = "disk_read_bytes", "disk_written_bytes", "disk_busy_seconds"
RECEIVED, SENT, ERRORS = "received_bytes", "sent_bytes", "network_errors"
MAX_DEVICES = 64

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_RESOURCES = ("cpu", "memory", "io")
_SECTOR_BYTES = 512  # in these counters, whatever the disk's own are
_NOT_DISKS = re.compile(r"(loop|ram|zram|fd|sr|nbd)\d+")
# Loopback, and the host's ends of what containers and virtual machines use: their traffic is counted where it leaves.
_NOT_REAL = re.compile(
    r"lo|(veth|docker|virbr|vnet|tap|cni|flannel|cali|kube|lxc|lxdbr|ifb|dummy|tunl|sit|ip6tnl|gre|erspan|nodelocal).*"
    r"|br-[0-9a-f]{12}"
)


class HostFigures:
    """The kernel's counters."""

    def __init__(self, proc: Path = Path("/proc"), block_devices: Path = Path("/sys/block")) -> None:
        self._proc, self._block_devices = proc, block_devices

    def counters(self) -> dict[str, Mapping[str, float]]:
        """All of them; raise ClientError where not even the CPU's are to be had.

        What this kernel does not count (pressure, before 4.20 or where it is switched off) is left out.
        """
        stat = self._content("stat")
        if stat is None:
            raise ClientError(f"{self._proc}/stat cannot be read")
        found: dict[str, Mapping[str, float]] = {CPU: parse_cpu(stat, os.sysconf("SC_CLK_TCK"))}
        found |= parse_diskstats(self._content("diskstats") or "", self._disks())
        found |= parse_net_dev(self._content("net/dev") or "")
        texts = {name: text for name in _RESOURCES if (text := self._content(f"pressure/{name}"))}
        return found | parse_pressure(texts)

    def _disks(self) -> set[str]:
        """Whole devices: a partition's traffic is in its disk's."""
        try:
            return {place.name for place in self._block_devices.iterdir() if not _NOT_DISKS.fullmatch(place.name)}
        except OSError:  # hidden from a sandboxed service
            return set()

    def _content(self, name: str) -> str | None:
        try:
            return (self._proc / name).read_bytes().decode(errors="replace")
        except OSError:  # also EOPNOTSUPP: pressure is not counted
            return None


def parse_cpu(stat: str, ticks_per_second: float) -> dict[str, float]:
    """Given `/proc/stat`, return the seconds that all cores spent in each mode.

    Guests' time is left out: it is part of `user` and `nice`.
    """
    first = stat.partition("\n")[0].split()
    if first[:1] != ["cpu"] or len(first) < 5:
        raise ClientError("/proc/stat does not begin with the CPU's times")
    return {mode: int(ticks) / ticks_per_second for mode, ticks in zip(_MODES, first[1:], strict=False)}


def parse_diskstats(diskstats: str, devices: Collection[str]) -> dict[str, dict[str, float]]:
    """Given `/proc/diskstats`, return bytes read and written and the time in which each of `devices` was busy."""
    found: dict[str, dict[str, float]] = {READ: {}, WRITTEN: {}, BUSY: {}}
    for fields in (line.split() for line in diskstats.splitlines()):
        if len(fields) >= 13 and fields[2] in devices and len(found[READ]) < MAX_DEVICES:
            name = fields[2]
            found[READ][name] = int(fields[5]) * _SECTOR_BYTES
            found[WRITTEN][name] = int(fields[9]) * _SECTOR_BYTES
            found[BUSY][name] = int(fields[12]) / 1000
    return found


def parse_net_dev(net_dev: str) -> dict[str, dict[str, float]]:
    """Given `/proc/net/dev`, return bytes received and sent, and errors and drops, of each real interface."""
    found: dict[str, dict[str, float]] = {RECEIVED: {}, SENT: {}, ERRORS: {}}
    for line in net_dev.splitlines()[2:]:
        name, _, numbers = line.rpartition(":")
        name, fields = name.strip(), [int(number) for number in numbers.split()]
        if len(fields) >= 12 and not _NOT_REAL.fullmatch(name) and len(found[RECEIVED]) < MAX_DEVICES:
            found[RECEIVED][name], found[SENT][name] = fields[0], fields[8]
            found[ERRORS][name] = sum(fields[place] for place in (2, 3, 10, 11))
    return found


def parse_pressure(texts: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Given the files of `/proc/pressure` by their names, return for how long some and all tasks waited for each."""
    found: dict[str, dict[str, float]] = {PRESSURE: {}, FULL_PRESSURE: {}}
    for resource, text in texts.items():
        totals = dict(re.findall(r"^(some|full) .*\btotal=(\d+)$", text, re.MULTILINE))
        for kind, word in ((PRESSURE, "some"), (FULL_PRESSURE, "full")):
            if word in totals:
                found[kind][resource] = int(totals[word]) / 1e6
    return found

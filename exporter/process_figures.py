"""The exporter process's own figures, read from /proc at each scrape.

Names and meanings are those of every Prometheus client library
(https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics); text is prepared, as reading
is all that a scrape waits for.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessFigures:
    """Renders the figures of this process; the file of its state is opened once."""

    def __init__(self) -> None:
        self._stat = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
        started = self._fields()[19]
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        self._start_seconds = int(boot.split()[1]) + int(started) / _TICKS_PER_SECOND
        self._max_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def _fields(self) -> list[bytes]:
        """The fields of proc(5)'s stat after the command name, which may hold blanks: field 3 is at 0."""
        return os.pread(self._stat, 1024, 0).rpartition(b") ")[2].split()

    def text(self) -> bytes:
        """The figures in the text format (OpenMetrics is given the same, with the counter's header in its form)."""
        return self._render("process_cpu_seconds_total")

    def openmetrics(self) -> bytes:
        """The figures in OpenMetrics."""
        return self._render("process_cpu_seconds")

    def _render(self, cpu_family: str) -> bytes:
        fields = self._fields()
        cpu_seconds = (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
        return (
            f"# HELP {cpu_family} User and system CPU time of the exporter.\n"
            f"# TYPE {cpu_family} counter\n"
            f"process_cpu_seconds_total {cpu_seconds}\n"
            "# HELP process_virtual_memory_bytes Virtual memory of the exporter.\n"
            "# TYPE process_virtual_memory_bytes gauge\n"
            f"process_virtual_memory_bytes {int(fields[20])}\n"
            "# HELP process_resident_memory_bytes Resident memory of the exporter.\n"
            "# TYPE process_resident_memory_bytes gauge\n"
            f"process_resident_memory_bytes {int(fields[21]) * _PAGE_BYTES}\n"
            "# HELP process_start_time_seconds When the exporter started, as Unix time.\n"
            "# TYPE process_start_time_seconds gauge\n"
            f"process_start_time_seconds {self._start_seconds}\n"
            "# HELP process_open_fds Open file descriptors of the exporter.\n"
            "# TYPE process_open_fds gauge\n"
            f"process_open_fds {len(os.listdir('/proc/self/fd')) - 1}\n"  # noqa: PTH208 (a list, fast)
            "# HELP process_max_fds Limit of open file descriptors.\n"
            "# TYPE process_max_fds gauge\n"
            f"process_max_fds {self._max_fds}\n"
        ).encode()

"""Which alerts keep which others quiet.

An inhibited alert reaches no receiver at all, the bridge included. Alertmanager takes a label that neither alert has
for equal, so each rule demands of its source the labels that tie it to its targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

WATCHDOG, HOST_DOWN, EXPORTER_DOWN = "Watchdog", "HostDown", "ExporterDown"
PLACE = "host"
"""The label that all alerts of one machine share, whichever of its ports they were scraped from."""


@dataclass(frozen=True)
class Pair:
    """Two rules on one figure, of which the critical one makes the warning superfluous.

    `thing` is the label that names what is measured, besides the host; empty where a host has only one.
    """

    critical: str
    warning: str
    thing: str = ""


PAIRS = (
    Pair("BackupStorageFull", "BackupStorageHigh"),
    Pair("CertificateExpiryImminent", "CertificateExpiring", "certificate"),
    Pair("DiskInodesCritical", "DiskInodesHigh", "mountpoint"),
    Pair("DiskUsageCritical", "DiskUsageHigh", "mountpoint"),
    Pair("HealthScoreCritical", "HealthScoreLow"),
    Pair("MemoryUsageCritical", "MemoryUsageHigh"),
    Pair("PerformanceScoreCritical", "PerformanceScoreLow"),
)
"""Of the bundled rules, those on one figure with two limits."""

THINGS = ("agent", "certificate", "check", "model", "task")
"""Labels that name one thing that is either well or not: what is critical about it explains every warning about it.

A mount point, a database and a server are none of them: each has many figures that have little to do with each other.
"""


def inhibit_rules() -> list[dict[str, Any]]:
    """Alertmanager's `inhibit_rules`."""
    return [*_whole_hosts(), *map(_of_pair, PAIRS), *map(_of_thing, THINGS)]


def _whole_hosts() -> Iterator[dict[str, Any]]:
    """A machine that is gone explains that its exporter is, and an exporter that is gone all that it said last.

    What is kept quiet keeps others quiet all the same: of a machine that is gone only that is told. HostDown alone says
    no more than that node_exporter does not answer, which must not keep from the bridge what the exporter finds.
    """
    for source, targets in (
        (HOST_DOWN, _is("alertname", EXPORTER_DOWN)),
        (EXPORTER_DOWN, f'alertname!~"{EXPORTER_DOWN}|{HOST_DOWN}|{WATCHDOG}"'),
    ):
        yield {
            "source_matchers": [_is("alertname", source), _some(PLACE)],
            "target_matchers": [targets],
            "equal": [PLACE],
        }


def _of_pair(pair: Pair) -> dict[str, Any]:
    labels = [PLACE, *filter(None, [pair.thing])]
    return {
        "source_matchers": [_is("alertname", pair.critical), *map(_some, labels)],
        "target_matchers": [_is("alertname", pair.warning)],
        "equal": labels,
    }


def _of_thing(thing: str) -> dict[str, Any]:
    labels = [PLACE, thing]
    return {
        "source_matchers": [_is("severity", "critical"), *map(_some, labels)],
        "target_matchers": [_is("severity", "warning")],
        "equal": labels,
    }


def _is(label: str, value: str) -> str:
    return f'{label}="{value}"'


def _some(label: str) -> str:
    return f'{label}!=""'

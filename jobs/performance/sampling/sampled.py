"""What one sampling came to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.core.model import Finding, Sample
from jobs.performance.series import Figure


@dataclass(frozen=True)
class Gap:
    """Something that could not be measured. `absent`: nobody has configured it and none is there, so nothing is amiss;

    anything else is unknown, which costs score and is said.
    """

    source: str
    reason: str
    absent: bool = False


@dataclass(frozen=True)
class Sampled:
    """The figures of now, the same as metrics, what is missing, what is to be said, and sections for the report.

    `sections` has the keys of the report (`system_metrics`, `container_metrics`, `agent_metrics`, `database_metrics`,
    `ollama_metrics`), each a JSON-like value with units in the names of its keys.
    """

    figures: tuple[Figure, ...] = ()
    samples: tuple[Sample, ...] = ()
    gaps: tuple[Gap, ...] = ()
    findings: tuple[Finding, ...] = ()
    sections: Mapping[str, Any] = field(default_factory=dict)

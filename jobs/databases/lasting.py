"""The figures of the last maintenance, which the runs that only take statistics go on exporting.

A run replaces every gauge that the job exported before, so what it did not measure must come from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from jobs.core.model import Family, Finding, MetricType, Sample, Severity
from jobs.databases.part import Part
from jobs.databases.state import Corrupt, Memory

Remembered = Mapping[str, tuple[Sample, ...]]
"""Samples by the name of the part that they are of."""


class Lasting:
    """What was remembered, and why it could not be read, if it could not: `finding`."""

    def __init__(self, base_dir: Path, families: Iterable[Family]) -> None:
        self._memory = Memory(base_dir, "lasting")
        self._gauges = {family.name: family for family in families if family.type is MetricType.GAUGE}
        self.finding: Finding | None = None
        self._corrupt = False
        self._remembered = self._read()

    def merged(self, parts: Sequence[Part]) -> dict[str, tuple[Sample, ...]]:
        """Of each part its new figures, else those remembered; parts that are no more are forgotten."""
        return {part.name: part.lasting or self._remembered.get(part.name, ()) for part in parts if not part.absent}

    def save(self, merged: Remembered, now: datetime) -> None:
        """Remember the figures; a file that could not be understood is kept beside. Raises OSError."""
        if self._corrupt:
            self._memory.set_aside(now)
        parts = {name: [sample.model_dump(mode="json") for sample in samples] for name, samples in merged.items()}
        self._memory.save({"version": 1, "parts": parts})

    def _read(self) -> Remembered:
        try:
            parts = self._memory.load().get("parts", {})
            if not isinstance(parts, dict):
                raise Corrupt("it does not hold what it should")
            return {str(name): tuple(self._known(samples)) for name, samples in parts.items()}
        except (Corrupt, OSError, ValidationError, TypeError) as error:
            self._corrupt = not isinstance(error, OSError)
            reason = str(error) if isinstance(error, Corrupt | OSError) else "it does not hold samples"
            self.finding = Finding(
                kind="state_not_read",
                subject="database-maintenance",
                severity=Severity.MEDIUM,
                message=f"the figures of the last maintenance are not known: {self._memory.path.name}: {reason}",
                remedy="nothing is lost: the next maintenance writes it anew",
            )
            return {}

    def _known(self, samples: Any) -> Iterable[Sample]:
        """The samples of families that there still are: an update may have changed them."""
        for sample in (Sample.model_validate(document) for document in samples):
            family = self._gauges.get(sample.family)
            if family and set(family.labels) == set(sample.labels):
                yield sample

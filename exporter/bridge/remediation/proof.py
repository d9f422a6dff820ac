"""Whether a look shows that what an alert told of is mended."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from exporter.bridge.model import Alert
from exporter.bridge.remediation.settings import Proof
from exporter.record import Record
from jobs.core.model import Outcome, Sample


def doubt(proof: Proof, alert: Alert, record: Record | None) -> str:
    """Why the record of a look does not prove that all is well, in one line; empty where it does.

    What could not be looked at is not well: a run that did not work, and a series that is not there.
    """
    if record is None or record.outcome is not Outcome.OK or record.result is None:
        return f"{proof.task} could not look: {record.error or record.outcome if record else 'it was not entered'}"
    samples, wanted = record.result.samples, {name: alert.labels.get(name, "") for name in proof.labels}
    found = list(_values(proof, samples, wanted, record.finished))
    if not found:
        return _absent(proof, samples, wanted)
    bad = [value for value in found if not _within(proof, value)]
    if not bad:
        return ""
    return f"{proof.metric}{_shown(wanted)} is {bad[0]:g}{' from now' if proof.from_now else ''}, {_limits(proof)}"


def _values(proof: Proof, samples: tuple[Sample, ...], wanted: Mapping[str, str], now: datetime) -> Iterator[float]:
    """The value of each series that the proof is about, as its limits mean it."""
    divisors = {_key(sample): sample.value for sample in _matching(samples, proof.per or "", wanted)}
    for sample in _matching(samples, proof.metric, wanted):
        value = sample.value
        if proof.per is not None:
            value = _quotient(value, divisors.get(_key(sample)), proof.negligible)
        yield value - now.timestamp() if proof.from_now else value


def _matching(samples: tuple[Sample, ...], family: str, wanted: Mapping[str, str]) -> list[Sample]:
    return [sample for sample in samples if sample.family == family and wanted.items() <= sample.labels.items()]


def _key(sample: Sample) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(sample.labels.items()))


def _quotient(value: float, divisor: float | None, negligible: float) -> float:
    """Of next to nothing there is no share; NaN, within no limits, where it is not known what to divide by."""
    if divisor is None:
        return math.nan
    if 0 <= value <= negligible:
        return 0.0
    return value / divisor if divisor else math.inf


def _within(proof: Proof, value: float) -> bool:
    least = -math.inf if proof.at_least is None else proof.at_least
    most = math.inf if proof.at_most is None else proof.at_most
    return least <= value <= most


def _absent(proof: Proof, samples: tuple[Sample, ...], wanted: Mapping[str, str]) -> str:
    seen = proof.witness is None or bool(_matching(samples, proof.witness, wanted))
    if proof.or_absent and seen:
        return ""
    return f"{proof.metric}{_shown(wanted)} was not seen by {proof.task}"


def _limits(proof: Proof) -> str:
    limits = (("at least", proof.at_least), ("at most", proof.at_most))
    return " and ".join(f"{word} {limit:g} is well" for word, limit in limits if limit is not None)


def _shown(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""

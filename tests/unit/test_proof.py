"""A look proves a fix only by what it saw: what was not looked at is not well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from exporter.bridge.remediation.proof import doubt
from exporter.bridge.remediation.settings import Proof
from exporter.record import Record
from jobs.core.model import Outcome, Request, Result, Sample
from tests.services.remedial import RULE, alert
from tests.services.trial_jobs import TASK, TrialPackage

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
VALUE, SCORE = "sutazai_trial_value", "sutazai_trial_score"


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[None]:
    with TrialPackage(tmp_path / "package").in_process():
        yield


def seen(*values: tuple[str, str, float], outcome: Outcome = Outcome.OK) -> Record:
    """A look that saw the things with these values, as (family, thing, value)."""
    samples = tuple(
        Sample(family=family, value=value, labels={"thing": thing} if thing else {}) for family, thing, value in values
    )
    return Record(
        run_id=1,
        request=Request(task=TASK, mode="light"),
        outcome=outcome,
        started=NOON,
        finished=NOON,
        duration_seconds=1,
        error="" if outcome is Outcome.OK else "no route",
        result=Result(status="GOOD", samples=samples) if outcome is Outcome.OK else None,
    )


def judged(record: Record | None, **changes: Any) -> str:
    return doubt(Proof.model_validate({**RULE["proof"], **changes}), alert(), record)


def test_a_series_within_its_limit_is_proof() -> None:
    assert judged(seen((VALUE, "door", 1))) == ""


def test_a_series_beyond_its_limit_is_none_and_is_named() -> None:
    assert judged(seen((VALUE, "door", 0))) == 'sutazai_trial_value{thing="door"} is 0, at least 1 is well'


def test_series_of_other_things_do_not_count() -> None:
    assert judged(seen((VALUE, "window", 1))) == 'sutazai_trial_value{thing="door"} was not seen by trial-work'
    assert judged(seen((VALUE, "window", 0), (VALUE, "door", 1))) == ""


def test_of_several_series_each_must_be_well() -> None:
    both = seen((VALUE, "window", 0), (VALUE, "door", 1))
    assert "is 0" in judged(both, labels=[])


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.OK])
def test_a_look_that_did_not_work_is_no_proof(outcome: Outcome) -> None:
    assert judged(seen(outcome=outcome), or_absent=True) == "trial-work could not look: no route"


def test_a_look_that_was_not_entered_is_no_proof() -> None:
    assert "could not look" in judged(None, or_absent=True)


def test_an_absent_series_is_proof_only_where_that_is_said_and_the_run_looked_there() -> None:
    nothing = seen((SCORE, "", 5))
    assert judged(nothing) != ""
    assert judged(nothing, or_absent=True) == ""
    assert judged(nothing, or_absent=True, labels=[], witness=SCORE) == ""
    assert judged(seen(), or_absent=True, labels=[], witness=SCORE) != ""


def test_a_share_is_judged_by_what_it_is_a_share_of() -> None:
    quotient: dict[str, Any] = {"labels": [], "metric": SCORE, "per": SCORE, "at_least": None, "at_most": 1}
    assert judged(seen((SCORE, "", 5)), **quotient) == ""
    shares: dict[str, Any] = {"per": VALUE, "at_least": None, "at_most": 0.5}
    assert judged(seen((VALUE, "door", 4)), **shares) != ""
    assert judged(seen((VALUE, "door", 0)), **shares) == ""


@pytest.mark.parametrize(("value", "well"), [(3, True), (4, False)])
def test_of_what_is_negligible_no_share_is_too_large(value: float, well: bool) -> None:
    shares: dict[str, Any] = {"per": VALUE, "at_least": None, "at_most": 0.5, "negligible": 3}
    assert (judged(seen((VALUE, "door", value)), **shares) == "") is well


def test_a_share_of_what_was_not_seen_is_no_proof() -> None:
    unknown: dict[str, Any] = {"labels": [], "per": SCORE, "at_least": None, "at_most": 9}
    for negligible in (0, 100):
        assert "is nan" in judged(seen((VALUE, "door", 1), (SCORE, "", 5)), negligible=negligible, **unknown)


@pytest.mark.parametrize(("ahead", "well"), [(3600, True), (3599, False)])
def test_a_time_is_judged_by_how_far_it_is_ahead(ahead: float, well: bool) -> None:
    found = judged(seen((VALUE, "door", NOON.timestamp() + ahead)), from_now=True, at_least=3600)
    assert (found == "") is well


def test_a_time_may_not_be_longer_ago_than_the_limit() -> None:
    old = seen((VALUE, "door", NOON.timestamp() - 100))
    assert judged(old, from_now=True, at_least=-100) == ""
    assert judged(old, from_now=True, at_least=-99) == (
        'sutazai_trial_value{thing="door"} is -100 from now, at least -99 is well'
    )

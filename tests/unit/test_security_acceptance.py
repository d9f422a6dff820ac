"""Risks that are accepted for a time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.security.settings import Settings
from tests.services.security_runs import (
    SecurityRuns,
    kinds,
    reported,
    scanner,
    standings,
    values,
    weakness,
)


@pytest.fixture
def runs(tmp_path: Path) -> SecurityRuns:
    return SecurityRuns(tmp_path)


ACCEPTED = {"rule": "weak", "subject": "th*", "reason": "behind a wall", "until": "2026-03-03"}


def test_an_accepted_risk_is_listed_apart_and_not_scored(runs: SecurityRuns) -> None:
    result = runs.scan(scanner(told=[weakness(), weakness("strong")]), accepted_risks=[ACCEPTED])
    assert result.score == 90
    assert set(reported(result)) == {"strong thing"}
    assert result.report is not None
    (one,) = result.report["accepted_risks"]["findings"]
    assert (one["rule"], one["reason"], one["until"]) == ("weak", "behind a wall", "2026-03-03")
    assert values(result, "accepted_findings") == {(): 1}
    assert values(result, "expired_acceptances") == {(): 0}
    assert ("weak", "thing") not in kinds(result)


def test_an_acceptance_holds_through_its_last_day_and_no_longer(runs: SecurityRuns) -> None:
    scores = [runs.scan(scanner(told=[weakness()]), accepted_risks=[ACCEPTED]) for _ in range(3)]
    assert [result.score for result in scores] == [100, 100, 90]
    last = scores[-1]
    assert standings(last) == {"thing": "known"}
    messages = {one.kind: one.message for one in last.findings}
    assert "accepted until 2026-03-03, which has passed" in messages["weak"]
    assert "accepted until 2026-03-03, which has passed" in messages["acceptance_expired"]
    assert values(last, "expired_acceptances") == {(): 1}


def test_of_several_entries_one_that_holds_is_enough(runs: SecurityRuns) -> None:
    entries = [ACCEPTED, {**ACCEPTED, "rule": "*", "until": "2027-01-01"}]
    runs.clock.wall += timedelta(days=10)
    result = runs.scan(scanner(told=[weakness()]), accepted_risks=entries)
    assert (result.score, values(result, "expired_acceptances")) == (100, {(): 0})


def test_an_acceptance_of_nothing_is_told(runs: SecurityRuns) -> None:
    result = runs.scan(scanner(), accepted_risks=[ACCEPTED])
    (told,) = result.findings
    assert (told.kind, told.severity) == ("acceptance_unused", "info")
    assert "weak of th*" in told.message


def test_a_subject_with_brackets_can_be_accepted_as_it_is(runs: SecurityRuns) -> None:
    entry = {**ACCEPTED, "rule": "open_port", "subject": "tcp/[::]:80"}
    result = runs.scan(scanner(told=[weakness("open_port", "tcp/[::]:80")]), accepted_risks=[entry])
    assert values(result, "accepted_findings") == {(): 1}


@pytest.mark.parametrize(
    ("entry", "place"),
    [
        ({**ACCEPTED, "reason": ""}, ("accepted_risks", 0, "reason")),
        ({**ACCEPTED, "reason": " "}, ("accepted_risks", 0, "reason")),
        ({**ACCEPTED, "until": "soon"}, ("accepted_risks", 0, "until")),
        ({**ACCEPTED, "rule": ""}, ("accepted_risks", 0, "rule")),
        ({"rule": "x", "reason": "y"}, ("accepted_risks", 0, "until")),
        ({**ACCEPTED, "severity": "low"}, ("accepted_risks", 0, "severity")),
        ({**ACCEPTED, "rule": "*", "subject": "*"}, ("accepted_risks", 0)),
    ],
    ids=["no-reason", "blank-reason", "no-date", "no-rule", "no-until", "unknown-key", "everything"],
)
def test_a_wrong_entry_is_refused_with_its_place(entry: dict[str, str], place: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"accepted_risks": [entry]})
    assert caught.value.errors()[0]["loc"] == place

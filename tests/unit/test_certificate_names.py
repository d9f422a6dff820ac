"""Whom a certificate is for, and when it is time to renew it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.core.certificates import covers, renewal_time
from tests.services.clocks import FakeClock

NOON = FakeClock().now()


@pytest.mark.parametrize(
    ("names", "domain", "covered"),
    [
        (["a.org"], "a.org", True),
        (["A.org"], "a.ORG", True),
        (["a.org."], "a.org", True),
        (["*.a.org"], "b.a.org", True),
        (["*.a.org"], "a.org", False),
        (["*.a.org"], "c.b.a.org", False),
        (["*.a.org"], "*.a.org", True),
        (["127.0.0.1"], "127.0.0.1", True),
        (["::1"], "0:0:0:0:0:0:0:1", True),
        (["*.0.0.1"], "127.0.0.1", False),
        (["xa.org"], "a.org", False),
        ([], "a.org", False),
    ],
)
def test_a_wildcard_stands_for_one_label(names: list[str], domain: str, covered: bool) -> None:
    assert covers(names, domain) is covered


@pytest.mark.parametrize(
    ("life_days", "due_before_end_days"),
    [(365, 30), (90, 30), (89, 89 / 3), (60, 20), (6, 2), (1, 1 / 3), (3650, 30)],
)
def test_a_long_life_is_renewed_by_days_and_a_short_one_by_its_last_third(
    life_days: float, due_before_end_days: float
) -> None:
    end = NOON + timedelta(days=life_days)
    due = renewal_time(NOON, end, 30)
    assert (end - due).total_seconds() == pytest.approx(due_before_end_days * 86400)

"""The metrics of certificate renewal."""

from __future__ import annotations

from enum import StrEnum

from jobs.core.model import Family, MetricType


class Problem(StrEnum):
    """What can be wrong with a certificate, its key, or the server that serves it."""

    MISSING = "missing"
    UNREADABLE = "unreadable"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    WRONG_NAME = "wrong_name"
    UNTRUSTED = "untrusted"
    WEAK = "weak"
    KEY_MISMATCH = "key_mismatch"
    KEY_UNUSABLE = "key_unusable"
    KEY_EXPOSED = "key_exposed"


UNUSABLE = frozenset(Problem) - {Problem.MISSING, Problem.WEAK, Problem.KEY_EXPOSED}
"""With one of these, clients will refuse the certificate or servers cannot serve it."""


class Outcome(StrEnum):
    """What came of an attempt to renew."""

    RENEWED = "renewed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


def _family(name: str, text: str, *labels: str, type: MetricType = MetricType.GAUGE) -> Family:
    return Family(name=f"sutazai_certificate_{name}", help=text, labels=labels, type=type)


EXPIRY = _family(
    "expiry_timestamp_seconds", "Unix time at which a certificate of the inventory expires.", "certificate"
)
NOT_BEFORE = _family("not_before_timestamp_seconds", "Unix time from which a certificate is valid.", "certificate")
LIFETIME = _family("lifetime_seconds", "How long a certificate is valid from its beginning to its end.", "certificate")
VALID = _family(
    "valid",
    "1 if a certificate can be used now: dates, names, key, and CA where one is given; absent if it is not known.",
    "certificate",
)
PROBLEM = _family("problem", "1 for what is wrong with a certificate, 0 for what is not.", "certificate", "problem")
DUE = _family("renewal_due", "Whether it is time to renew a certificate.", "certificate")
ENDPOINT_UP = _family("endpoint_up", "Whether a server served a certificate when it was asked.", "endpoint")
SERVED_MATCHES = _family(
    "served_matches", "Whether a server serves the certificate that is on disk; absent if it was not seen.", "endpoint"
)
RENEWALS = _family(
    "renewals_total",
    "Attempts to renew a certificate, by what came of them (renewed, rolled_back, failed).",
    "result",
    type=MetricType.COUNTER,
)
LAST_RENEWAL = _family("last_renewal_timestamp_seconds", "When a certificate was last renewed.")
RENEWAL_OK = _family(
    "renewal_successful", "0 if a renewal failed in the last run that renews, else 1; absent before the first."
)

FAMILIES = (
    EXPIRY, NOT_BEFORE, LIFETIME, VALID, PROBLEM, DUE, ENDPOINT_UP, SERVED_MATCHES, RENEWALS, LAST_RENEWAL, RENEWAL_OK,
)  # fmt: skip

"""What is said of certificates that were found, in files and behind endpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.certificates.judging import (
    certificate_samples,
    endpoint_findings,
    endpoint_samples,
    findings,
    judge_endpoint,
    judge_file,
)
from jobs.certificates.metrics import Problem
from jobs.certificates.reading import EndpointReading, FileReading, label_of
from jobs.certificates.settings import CertificateFile, Endpoint
from jobs.clients.certificates import CertificateFacts, KeyFacts
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.tls import Served
from jobs.core.model import Severity
from tests.services.clocks import FakeClock

NOON = FakeClock().now()
FACTS = CertificateFacts(
    NOON - timedelta(days=100), NOON + timedelta(days=100), ("a.org",), fingerprint="f1", key_digest="k1"
)
KEY = KeyFacts("k1", 0o600, 0, 0)


def file(**values: Any) -> FileReading:
    entry = CertificateFile(path=Path("c.pem"), key=Path("k.pem"))
    return FileReading("c.pem", entry, Path("/nonexistent/c.pem"), **values)


def endpoint(address: str = "a.org:443", **values: Any) -> Endpoint:
    return Endpoint(address=address, **values)


@pytest.mark.parametrize(
    ("reading", "expected", "valid"),
    [
        (file(facts=FACTS, key=KEY), [], True),
        (file(facts=FACTS, key=replace(KEY, key_digest="k2")), ["key_mismatch"], False),
        (file(facts=FACTS, key=replace(KEY, mode=0o640)), ["key_exposed"], True),
        (file(facts=FACTS, key_error=ClientError("no key")), ["key_unusable"], False),
        (file(facts=FACTS, key_error=Absent("no key")), ["key_unusable"], False),
        (file(facts=FACTS, key_error=Refused("no")), [], True),
        (file(error=ClientError("garbage")), ["unreadable"], False),
        (file(error=Absent("none")), ["missing"], None),
        (file(error=Refused("no")), [], None),
        (file(facts=replace(FACTS, names=("b.org",)), key=KEY), ["wrong_name"], False),
        (file(facts=replace(FACTS, not_after=NOON), key=KEY), ["expired"], False),
        (file(facts=replace(FACTS, weaknesses=("small",)), key=KEY), ["weak"], True),
    ],
)
def test_a_file_is_judged(reading: FileReading, expected: list[str], valid: bool | None) -> None:
    judged = judge_file(reading, ["a.org"], 30, NOON)
    assert [trouble.problem.value for trouble in judged.troubles] == expected
    assert judged.valid is valid
    assert (not judged.doubts) == (not isinstance(reading.error or reading.key_error, Refused))
    values = {sample.family for sample in certificate_samples(judged)}
    assert ("sutazai_certificate_valid" in values) == (valid is not None)
    assert ("sutazai_certificate_expiry_timestamp_seconds" in values) == (reading.facts is not None)


def test_what_could_not_be_looked_at_is_a_finding() -> None:
    [finding] = findings(judge_file(file(error=Refused("c.pem may not be read")), [], 30, NOON))
    assert (finding.kind, finding.severity) == ("unknown", Severity.MEDIUM)


def test_every_problem_is_a_series_so_that_a_mended_one_goes_to_zero() -> None:
    judged = judge_file(file(facts=FACTS, key=KEY), [], 30, NOON)
    found = {s.labels["problem"]: s.value for s in certificate_samples(judged) if "problem" in s.labels}
    assert found == dict.fromkeys((problem.value for problem in Problem), 0)


def test_an_endpoint_must_be_good_for_its_host_or_the_name_that_it_is_asked_for() -> None:
    served = Served(FACTS, "self-signed certificate", "TLSv1.3")
    for one, expected in (
        (endpoint(), []),
        (endpoint("b.org:443"), ["wrong_name"]),
        (endpoint("b.org:443", server_name="a.org"), []),
        (endpoint("127.0.0.1:443"), []),
        (endpoint("127.0.0.1:443", server_name="b.org"), ["wrong_name"]),
        (endpoint(ca_file=Path("ca.pem")), ["untrusted"]),
    ):
        judged = judge_endpoint(EndpointReading(one, served), 30, NOON)
        assert judged is not None
        assert [trouble.problem.value for trouble in judged.troubles] == expected, one


def test_an_endpoint_that_was_not_seen_says_nothing_of_its_certificate() -> None:
    reading = EndpointReading(endpoint(), None, "a.org:443 is down", FACTS)
    assert judge_endpoint(reading, 30, NOON) is None
    assert [(s.family, s.value) for s in endpoint_samples(reading)] == [("sutazai_certificate_endpoint_up", 0)]
    assert [finding.kind for finding in endpoint_findings(reading)] == ["endpoint_down"]


def test_an_endpoint_is_compared_with_its_file() -> None:
    one, served = endpoint(certificate=Path("c.pem")), Served(FACTS, "", "TLSv1.3")
    same = EndpointReading(one, served, "", FACTS)
    other = EndpointReading(one, served, "", replace(FACTS, fingerprint="f2"))
    unknown = EndpointReading(one, served, "", None)
    assert [r.matches for r in (same, other, unknown)] == [True, False, None]
    assert [[f.kind for f in endpoint_findings(r)] for r in (same, other, unknown)] == [[], ["not_served"], ["unknown"]]


def test_a_label_is_the_path_below_the_base_directory() -> None:
    base = Path("/opt/sutazaiapp")
    assert label_of(base / "ssl/cert.pem", base) == "ssl/cert.pem"
    assert label_of(Path("/etc/ssl/a\n.pem"), base) == "/etc/ssl/a?.pem"

"""What is to be said of what was found: problems, whether a renewal is due, and the findings and metrics of both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.certificates.metrics import (
    DUE,
    ENDPOINT_UP,
    EXPIRY,
    LIFETIME,
    NOT_BEFORE,
    PROBLEM,
    SERVED_MATCHES,
    UNUSABLE,
    VALID,
    Problem,
)
from jobs.certificates.reading import EndpointReading, FileReading, is_unknown
from jobs.clients.certificates import CertificateFacts
from jobs.clients.errors import Refused
from jobs.clients.trust import Chain
from jobs.core.certificates import covers, is_address, renewal_time
from jobs.core.model import Family, Finding, Sample, Severity

RENEW = "sutazai-exporter run certificate-renewal"
_SEVERITIES = {
    Problem.EXPIRED: Severity.CRITICAL,
    Problem.KEY_MISMATCH: Severity.CRITICAL,
    Problem.WEAK: Severity.MEDIUM,
    # Of our own, the next run that renews makes one; it is a finding until then.
    Problem.MISSING: Severity.MEDIUM,
}


@dataclass(frozen=True)
class Trouble:
    """One problem, told: the message names the certificate and the reason."""

    problem: Problem
    message: str
    remedy: str


@dataclass(frozen=True)
class Judged:
    """A certificate with what is wrong with it. `doubts` could not be found out."""

    label: str
    facts: CertificateFacts | None
    troubles: tuple[Trouble, ...]
    doubts: tuple[str, ...] = ()
    due: bool = False

    @property
    def valid(self) -> bool | None:
        """Whether it can be used now; None where there is none, or nobody could tell."""
        if any(trouble.problem in UNUSABLE for trouble in self.troubles):
            return False
        return None if self.facts is None else True


def judge_file(reading: FileReading, wanted_names: Sequence[str], threshold_days: int, now: datetime) -> Judged:
    """A certificate in a file, which must be for `wanted_names`."""
    troubles = [*_about_file(reading), *_about_key(reading)]
    due = False
    if reading.facts is not None:
        troubles += about_certificate(reading.label, reading.facts, wanted_names, now)
        due = now >= renewal_time(reading.facts.not_before, reading.facts.not_after, threshold_days)
    return Judged(reading.label, reading.facts, tuple(troubles), tuple(_doubts(reading)), due)


def judge_endpoint(reading: EndpointReading, threshold_days: int, now: datetime) -> Judged | None:
    """The certificate that an endpoint serves; None where it was not seen."""
    if reading.served is None:
        return None
    endpoint, facts = reading.endpoint, reading.served.facts
    name = endpoint.server_name or ("" if is_address(endpoint.host) else endpoint.host)
    label = f"{endpoint.address}"
    troubles = list(about_certificate(label, facts, [name] if name else [], now))
    if endpoint.ca_file and reading.served.distrust and not _ends(troubles):
        message = f"{label} serves a certificate that does not lead to {endpoint.ca_file}: {reading.served.distrust}"
        troubles.append(Trouble(Problem.UNTRUSTED, message, "serve the whole chain, or set ca_file to its CA"))
    due = now >= renewal_time(facts.not_before, facts.not_after, threshold_days)
    return Judged(label, facts, tuple(troubles), (), due)


def about_certificate(
    label: str, facts: CertificateFacts, wanted_names: Sequence[str], now: datetime
) -> Iterator[Trouble]:
    """What is wrong with a certificate that could be read."""
    if now >= facts.not_after:
        yield Trouble(Problem.EXPIRED, f"{label} expired on {facts.not_after:%Y-%m-%d %H:%M} UTC", f"renew it: {RENEW}")
    if now < facts.not_before:
        message = f"{label} is not valid before {facts.not_before:%Y-%m-%d %H:%M} UTC"
        yield Trouble(Problem.NOT_YET_VALID, message, "see whether the clock is right")
    missing = [name for name in wanted_names if not covers(facts.names, name)]
    if missing:
        message = f"{label} is not for {', '.join(missing[:5])} but for {', '.join(facts.names[:5]) or 'no name'}"
        yield Trouble(Problem.WRONG_NAME, message, "renew it with these names, or mend the names in the settings")
    if facts.weaknesses:
        message = f"{label} is weak: {'; '.join(facts.weaknesses)}"
        yield Trouble(Problem.WEAK, message, "renew it with an RSA key of 2048 bits or more, or ECDSA, and SHA-256")


def findings(judged: Judged) -> Iterator[Finding]:
    """What a person should know of one certificate; what is merely due is told by whoever renews."""
    subject = f"certificate/{judged.label}"
    for trouble in judged.troubles:
        severity = _SEVERITIES.get(trouble.problem, Severity.HIGH)
        yield Finding(
            kind=trouble.problem, subject=subject, severity=severity, message=trouble.message, remedy=trouble.remedy
        )
    for doubt in judged.doubts:
        yield Finding(kind="unknown", subject=subject, severity=Severity.MEDIUM, message=doubt)


def endpoint_findings(reading: EndpointReading) -> Iterator[Finding]:
    """Whether an endpoint answers, and serves what it should."""
    address = reading.endpoint.address
    subject = f"endpoint/{address}"
    if reading.served is None:
        message = f"the certificate of {address} could not be seen: {reading.error}"
        yield Finding(kind="endpoint_down", subject=subject, severity=Severity.HIGH, message=message)
    if reading.matches is False and reading.served and reading.on_disk:
        message = (
            f"{address} serves another certificate than {reading.endpoint.certificate}: "
            f"SHA-256 {reading.served.facts.fingerprint[:16]}… until {reading.served.facts.not_after:%Y-%m-%d}, "
            f"on disk {reading.on_disk.fingerprint[:16]}… until {reading.on_disk.not_after:%Y-%m-%d}"
        )
        remedy = "reload the service, and list it in jobs.certificate_renewal.services"
        yield Finding(kind="not_served", subject=subject, severity=Severity.HIGH, message=message, remedy=remedy)
    if reading.endpoint.certificate and reading.served and reading.on_disk is None:
        message = f"{address} cannot be compared with {reading.endpoint.certificate}, which cannot be read"
        yield Finding(kind="unknown", subject=subject, severity=Severity.MEDIUM, message=message)


def certificate_samples(judged: Judged) -> Iterator[Sample]:
    """The series of one certificate; a key alone has only its problems."""
    facts, label = judged.facts, judged.label
    if facts is not None:
        yield _of(EXPIRY, facts.not_after.timestamp(), label)
        yield _of(NOT_BEFORE, facts.not_before.timestamp(), label)
        yield _of(LIFETIME, (facts.not_after - facts.not_before).total_seconds(), label)
        yield _of(DUE, judged.due, label)
    if judged.valid is not None:
        yield _of(VALID, judged.valid, label)
    if facts is not None or judged.troubles:
        there = {trouble.problem for trouble in judged.troubles}
        for problem in Problem:
            labels = {"certificate": label, "problem": problem.value}
            yield Sample(family=PROBLEM.name, labels=labels, value=problem in there)


def endpoint_samples(reading: EndpointReading) -> Iterator[Sample]:
    """The series of one endpoint."""
    labels = {"endpoint": reading.endpoint.address}
    yield Sample(family=ENDPOINT_UP.name, labels=labels, value=reading.served is not None)
    if reading.matches is not None:
        yield Sample(family=SERVED_MATCHES.name, labels=labels, value=reading.matches)


def _of(family: Family, value: float, label: str) -> Sample:
    return Sample(family=family.name, labels={"certificate": label}, value=value)


def _about_file(reading: FileReading) -> Iterator[Trouble]:
    if reading.error is not None and not is_unknown(reading):
        kind = Problem.MISSING if reading.missing else Problem.UNREADABLE
        yield Trouble(kind, str(reading.error), f"bring it back from a backup, or renew it: {RENEW}")
    wants_authority = reading.facts is not None and reading.entry.ca_file is not None
    if wants_authority and reading.leads_to not in (Chain.TRUSTED, None):
        message = f"{reading.label} does not lead to {reading.entry.ca_file}: its issuer is {_issuer(reading)}"
        yield Trouble(Problem.UNTRUSTED, message, "put the whole chain into the file, or set ca_file to its CA")


def _about_key(reading: FileReading) -> Iterator[Trouble]:
    key, error = reading.key, reading.key_error
    if key is not None and key.mode & 0o077:
        message = f"the private key of {reading.label} has the mode {key.mode:04o}: others than its owner may read it"
        yield Trouble(Problem.KEY_EXPOSED, message, "chmod 600 it, and renew the certificate with a new key")
    if reading.facts is not None and key is not None and key.key_digest not in ("", reading.facts.key_digest):
        message = f"{reading.entry.key} is not the private key of {reading.label}"
        yield Trouble(Problem.KEY_MISMATCH, message, "bring back the pair from backups/certificates, or renew it")
    if error is not None and not isinstance(error, Refused) and not reading.missing:
        message = f"the private key of {reading.label} cannot be used: {error}"
        yield Trouble(Problem.KEY_UNUSABLE, message, "bring back the pair from backups/certificates, or renew it")


def _doubts(reading: FileReading) -> Iterator[str]:
    if is_unknown(reading):
        yield f"{reading.label} could not be looked at: {reading.error}"
    if isinstance(reading.key_error, Refused):
        yield f"the private key of {reading.label} could not be looked at: {reading.key_error}"
    if reading.trust_error is not None:
        yield f"the chain of {reading.label} could not be followed: {reading.trust_error}"


def _issuer(reading: FileReading) -> str:
    if reading.facts is None:
        return "unknown"
    return "itself" if reading.signed_by_itself else reading.facts.issuer


def _ends(troubles: Sequence[Trouble]) -> bool:
    return any(trouble.problem in (Problem.EXPIRED, Problem.NOT_YET_VALID) for trouble in troubles)

"""Whose ssl/cert.pem is, and what is to be done about it. What somebody else issued is never replaced by ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from jobs.certificates.issue import Authority
from jobs.certificates.judging import Judged
from jobs.certificates.metrics import Problem
from jobs.certificates.reading import FileReading, is_unknown
from jobs.certificates.state import State
from jobs.clients.errors import Absent
from jobs.clients.trust import is_signed_by


class Owner(StrEnum):
    """Who made a pair. Nobody: there is none. Unknown: it may not be looked at."""

    NOBODY = "nobody"
    OURS = "ours"
    OTHERS = "others"
    UNKNOWN = "unknown"


def owner_of(reading: FileReading, state: State, authority: Authority | None, *, adopts: bool) -> Owner:
    """Whose pair it is, by what is proven: our record of it, or the signature of our CA.

    Where the certificate cannot be read its key may still prove it, as a key that was made here is in the record.
    """
    if is_unknown(reading):
        return Owner.UNKNOWN
    if reading.facts is None:
        if reading.missing and isinstance(reading.key_error, Absent):
            return Owner.NOBODY
        proven = reading.key is not None and state.made_key(reading.key.key_digest)
        return Owner.OURS if proven else Owner.OTHERS
    if authority is not None and is_signed_by(reading.chain[0], authority.certificate):
        return Owner.OURS
    mine = reading.signed_by_itself and (adopts or state.made(reading.facts.fingerprint))
    return Owner.OURS if mine else Owner.OTHERS


def reason_to_renew(
    reading: FileReading, judged: Judged, authority: Authority | None, now: datetime, *, forced: bool
) -> str:
    """Why our own pair is to be made anew, empty where it is not."""
    if reading.facts is None:
        return "there is none yet" if reading.missing else f"it cannot be read ({reading.error})"
    wrong = {trouble.problem: trouble.message for trouble in judged.troubles}
    for problem in (Problem.EXPIRED, Problem.KEY_MISMATCH, Problem.KEY_UNUSABLE, Problem.WRONG_NAME, Problem.WEAK):
        if problem in wrong:
            return wrong[problem]
    if judged.due:
        left = (reading.facts.not_after - now).total_seconds() / 86400
        return f"it expires in {left:.1f} days"
    if authority is not None and not is_signed_by(reading.chain[0], authority.certificate):
        return "it is not signed by the configured CA"
    return "it was asked for" if forced else ""


@dataclass(frozen=True)
class Blocked:
    """Why a pair that is due is not renewed, and what a person should do."""

    kind: str
    message: str
    remedy: str


def blocked(reading: FileReading, owner: Owner) -> Blocked:
    """What to say of a pair that is not ours to make, and that nobody has said how to renew."""
    if owner is Owner.UNKNOWN:
        return Blocked("unknown", f"{reading.label} is not renewed: {reading.error}", "let this user read ssl/")
    if reading.facts is None:
        message = f"{reading.label} is not replaced: it cannot be read, and nothing proves that it was made here"
        return Blocked("unproven", message, "bring it back from a backup, or move cert.pem and key.pem away")
    by = "itself, and not here" if reading.signed_by_itself else reading.facts.issuer
    message = f"{reading.label} was issued by {by}: it is not replaced by one of our own"
    remedy = "set renewal_command for it in jobs.certificate_renewal.files (certbot, lego, step), or renew it by hand"
    if reading.signed_by_itself:
        remedy = "set jobs.certificate_renewal.adopt_self_signed to have it replaced, or move it away"
    return Blocked("not_ours", message, remedy)


def needs_other(judged: Judged) -> Sequence[Problem]:
    """The problems of somebody else's certificate that only a new one mends."""
    mended = (
        Problem.MISSING,
        Problem.UNREADABLE,
        Problem.EXPIRED,
        Problem.WRONG_NAME,
        Problem.KEY_MISMATCH,
        Problem.KEY_UNUSABLE,
    )
    return [trouble.problem for trouble in judged.troubles if trouble.problem in mended]

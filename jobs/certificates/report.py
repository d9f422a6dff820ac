"""The report of a run, in the shape of the script that it replaces and with everything that was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jobs.certificates.inventory import Inventory
from jobs.certificates.judging import Judged
from jobs.certificates.notes import Notes
from jobs.certificates.reading import EndpointReading, FileReading
from jobs.certificates.settings import Settings
from jobs.core.settings import CertificateSettings


def report(
    inventory: Inventory,
    judged: Sequence[Judged],
    notes: Notes,
    settings: Settings,
    wanted: CertificateSettings,
    mode: str,
    now: datetime,
    next_check: datetime,
) -> dict[str, Any]:
    """The document; `judged` are the certificates of the files, in their order."""
    own = judged[0]
    return {
        "timestamp": now.isoformat(timespec="seconds"),
        "renewal_type": mode,
        "force_renew": mode == "force",
        "certificate": _own(own, wanted),
        "renewal_threshold_days": wanted.renewal_threshold_days,
        "results": [outcome.value for outcome in notes.outcomes],
        "actions": [action.model_dump() for action in notes.actions],
        "certificates": [_certificate(*pair, now) for pair in zip(inventory.files, judged, strict=True)],
        "endpoints": [_endpoint(reading) for reading in inventory.endpoints],
        "not_looked_at": list(inventory.left_out),
        "next_check": next_check.isoformat(timespec="seconds"),
    }


def _own(own: Judged, wanted: CertificateSettings) -> dict[str, Any]:
    facts = own.facts
    return {
        "domain": wanted.domain,
        "subject": facts.subject if facts else None,
        "expiry_date": facts.not_after.isoformat() if facts else None,
        "fingerprint": facts.fingerprint if facts else None,
        "validity_days": (facts.not_after - facts.not_before).days if facts else None,
        "key_size": facts.key_bits if facts else None,
    }


def _certificate(reading: FileReading, judged: Judged, now: datetime) -> dict[str, Any]:
    facts = judged.facts
    said = {
        "file": judged.label,
        "valid": judged.valid,
        "due": judged.due,
        "problems": [trouble.problem.value for trouble in judged.troubles],
        "unknown": list(judged.doubts),
        "chain": reading.leads_to.value if reading.leads_to else None,
        "key_mode": f"{reading.key.mode:04o}" if reading.key else None,
    }
    if facts is None:
        return said
    return said | {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": list(facts.names[:50]),
        "expiry_date": facts.not_after.isoformat(),
        "days_left": round((facts.not_after - now).total_seconds() / 86400, 2),
        "fingerprint": facts.fingerprint,
        "key": facts.key,
        "signature_hash": facts.signature_hash,
    }


def _endpoint(reading: EndpointReading) -> dict[str, Any]:
    served = reading.served
    return {
        "endpoint": reading.endpoint.address,
        "protocol": reading.endpoint.protocol,
        "up": served is not None,
        "error": reading.error,
        "tls_version": served.version if served else None,
        "fingerprint": served.facts.fingerprint if served else None,
        "expiry_date": served.facts.not_after.isoformat() if served else None,
        "trusted": not served.distrust if served else None,
        "distrust": served.distrust if served else None,
        "serves_what_is_on_disk": reading.matches,
    }

"""One certificate as it was found: in a file, or behind an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.certificates.settings import CertificateFile, Endpoint
from jobs.clients.certificates import (
    CertificateFacts,
    KeyFacts,
    facts_of,
    has_private_key,
    key_facts,
    parse_chain,
    read_file,
    read_key,
)
from jobs.clients.errors import Absent, ClientError, Refused
from jobs.clients.trust import Chain, chain_of, is_signed_by
from jobs.core.containers import clean

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from jobs.clients.tls import Served

_BEGIN = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class FileReading:
    """What was found in a file. `signed_by_itself`: with its own key, not only under its own name."""

    label: str
    entry: CertificateFile
    path: Path
    chain: tuple[Certificate, ...] = ()
    facts: CertificateFacts | None = None
    leads_to: Chain | None = None
    signed_by_itself: bool = False
    key: KeyFacts | None = None
    error: ClientError | None = None
    key_error: ClientError | None = None
    trust_error: ClientError | None = None

    @property
    def missing(self) -> bool:
        """Whether there is nothing under its name, not even a link that leads nowhere."""
        return isinstance(self.error, Absent) and not self.path.is_symlink()


@dataclass(frozen=True)
class EndpointReading:
    """What an endpoint served, or why it served nothing. `on_disk` is the certificate that it should serve."""

    endpoint: Endpoint
    served: Served | None = None
    error: str = ""
    on_disk: CertificateFacts | None = None

    @property
    def matches(self) -> bool | None:
        """Whether it serves what is on disk; None where one of the two is not known."""
        if self.served is None or self.on_disk is None:
            return None
        return self.served.facts.fingerprint == self.on_disk.fingerprint


def label_of(path: Path, base_dir: Path) -> str:
    """What a file is called in messages and metrics: its path, below the base directory without it."""
    return clean(str(path.relative_to(base_dir) if path.is_relative_to(base_dir) else path), 200)


def read_listed(
    entry: CertificateFile,
    base_dir: Path,
    authorities: Callable[[Path | None], Sequence[Certificate]],
    now: datetime,
) -> FileReading:
    """A certificate that somebody listed, with its key where that is named; errors are part of the reading."""
    path = base_dir / entry.path
    reading = FileReading(label_of(path, base_dir), entry, path)
    if entry.key is not None:
        reading = _with_key(reading, base_dir / entry.key)
    try:
        content, _ = read_file(path)
    except ClientError as error:
        return replace(reading, error=error)
    return _with_certificate(reading, content, authorities, now)


def read_found(
    path: Path,
    base_dir: Path,
    authorities: Callable[[Path | None], Sequence[Certificate]],
    now: datetime,
) -> FileReading | None:
    """A PEM file that lies in a directory; None where it holds neither a certificate nor a private key."""
    reading = FileReading(label_of(path, base_dir), CertificateFile(path=path), path)
    try:
        content, status = read_file(path)
    except ClientError as error:
        return replace(reading, error=error)
    if has_private_key(content):
        # Its bits count; whose it is, nobody has said.
        reading = replace(reading, key=key_facts(status, ""))
    if _BEGIN in content:
        return _with_certificate(reading, content, authorities, now)
    return reading if reading.key else None


def _with_key(reading: FileReading, file: Path) -> FileReading:
    try:
        return replace(reading, key=read_key(file))
    except ClientError as error:
        return replace(reading, key_error=error)


def _with_certificate(
    reading: FileReading,
    content: bytes,
    authorities: Callable[[Path | None], Sequence[Certificate]],
    now: datetime,
) -> FileReading:
    try:
        chain = parse_chain(content, str(reading.path))
        facts = facts_of(chain[0], str(reading.path))
    except ClientError as error:
        return replace(reading, error=error)
    itself = is_signed_by(chain[0], chain[0])
    reading = replace(reading, chain=tuple(chain), facts=facts, signed_by_itself=itself)
    try:
        trusted = authorities(reading.entry.ca_file)
    except ClientError as error:
        return replace(reading, trust_error=error)
    return replace(reading, leads_to=chain_of(chain, trusted, now))


def is_unknown(reading: FileReading) -> bool:
    """Whether this user may not look at the certificate."""
    return isinstance(reading.error, Refused)

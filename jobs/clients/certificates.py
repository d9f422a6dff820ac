"""Certificates in files."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError, Refused

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class CertificateFacts:
    """When a certificate is valid and the names (DNS and IP) that it is for."""

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]


def read_certificate(path: Path) -> CertificateFacts:
    """The first certificate of a PEM file.

    Raises Absent where there is no file, Refused where it may not be read, ClientError where it is no certificate.
    """
    pem = _content(path)
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = _names(certificate)
    except ValueError as error:
        raise ClientError(f"{path} is not a certificate in PEM form: {str(error).splitlines()[0][:200]}") from None
    return CertificateFacts(certificate.not_valid_before_utc, certificate.not_valid_after_utc, names)


def _content(path: Path) -> bytes:
    try:
        # Without waiting: somebody may have put a pipe there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, MAX_FILE_BYTES + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise Absent(f"there is no {path}") from None
    except PermissionError:
        raise Refused(f"{path} may not be read by this user") from None
    except OSError as error:
        raise ClientError(f"{path}: {error.strerror}") from None
    if content is None:
        raise ClientError(f"{path} is not a file")
    if len(content) > MAX_FILE_BYTES:
        raise ClientError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    return content


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    return (*san.get_values_for_type(x509.DNSName), *addresses)

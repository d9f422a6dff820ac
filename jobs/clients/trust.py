"""Whether a chain of certificates ends at an authority that is trusted."""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from jobs.clients.certificates import parse_chain, read_file
from jobs.clients.errors import ClientError

_MAX_DEPTH = 8
_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class Chain(StrEnum):
    """Where a chain leads. Private: to an issuer that nobody here knows."""

    TRUSTED = "trusted"
    SELF_SIGNED = "self-signed"
    PRIVATE = "private"


def read_authorities(file: Path | None) -> list[x509.Certificate]:
    """The certificates of a CA file, or the system's; ClientError where the file cannot be used."""
    if file is not None:
        return parse_chain(read_file(file)[0], str(file))
    places = (ssl.get_default_verify_paths().cafile, *_BUNDLES)
    bundle = next((path for path in places if path and Path(path).is_file()), None)
    if bundle is None:
        return []
    try:
        content = Path(bundle).read_bytes()
    except OSError as error:
        raise ClientError(f"the system's authorities ({bundle}) cannot be read: {error.strerror}") from None
    return list(_readable(content))


def _readable(bundle: bytes) -> Iterator[x509.Certificate]:
    """The certificates of a system's bundle. There are old ones in it that break today's rules: they are left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in _BLOCK.findall(bundle):
            with suppress(ValueError):
                yield x509.load_pem_x509_certificate(block)


def chain_of(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime) -> Chain:
    """Where the first certificate of `chain` leads by way of the others."""
    leaf = chain[0]
    if _leads(leaf, chain[1:], authorities, now):
        return Chain.TRUSTED
    return Chain.SELF_SIGNED if leaf.subject == leaf.issuer and is_signed_by(leaf, leaf) else Chain.PRIVATE


def _leads(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    now: datetime,
) -> bool:
    """Whether some path from `leaf` over `between` ends at one of `authorities`, all of it valid now."""
    current, seen = leaf, 0
    while seen < _MAX_DEPTH:
        if any(current == authority for authority in authorities):
            return True
        if any(is_signed_by(current, one) and _may_sign(one, now) for one in authorities):
            return True
        above = [c for c in between if c != current and is_signed_by(current, c) and _may_sign(c, now)]
        if not above:
            return False
        current, seen = above[0], seen + 1
    return False


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer` names itself as, and has signed as, the issuer of `certificate`."""
    try:
        # It compares the names first, at a tenth of what they cost as objects: a system has more than a hundred.
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether a certificate may sign others (RFC 5280, 4.2.1.3 and 4.2.1.9)."""
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return bool(certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign)
    except x509.ExtensionNotFound as missing:
        # Without a word on the use of its key it may be used for everything.
        return missing.oid == x509.KeyUsage.oid
    except (ValueError, x509.DuplicateExtension):
        return False


def _may_sign(issuer: x509.Certificate, now: datetime) -> bool:
    return issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc and is_authority(issuer)

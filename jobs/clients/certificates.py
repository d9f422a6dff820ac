"""Certificates and private keys, in files and as a peer sends them: input that nobody has checked."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import Absent, ClientError, Refused
from jobs.core.containers import clean

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
    from cryptography.x509 import Certificate

MAX_FILE_BYTES = 1024 * 1024
MAX_CHAIN = 32
_MAX_NAMES = 1000
_MIN_RSA_BITS, _MIN_EC_BITS = 2048, 224
_BROKEN_HASHES = ("md2", "md4", "md5", "sha1")
_KEY_BLOCK = re.compile(rb"-----BEGIN ([A-Z]+ )*PRIVATE KEY-----")


@dataclass(frozen=True)
class CertificateFacts:
    """What a certificate says of itself.

    `names` are DNS names and IP addresses. `fingerprint` is the SHA-256 of the whole certificate, `key_digest` that
    of its public key (SubjectPublicKeyInfo). `weaknesses` says what makes it easy to forge.
    """

    not_before: datetime
    not_after: datetime
    names: tuple[str, ...]
    subject: str = ""
    issuer: str = ""
    fingerprint: str = ""
    key_digest: str = ""
    key: str = ""
    key_bits: int = 0
    signature_hash: str = ""
    weaknesses: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeyFacts:
    """The digest of the public half of a private key, and the permission bits, owner and group of its file."""

    key_digest: str
    mode: int
    owner: int
    group: int


def read_certificate(path: Path) -> CertificateFacts:
    """The first certificate of a PEM file.

    Raises Absent where there is no file, Refused where it may not be read, ClientError where it is no certificate.
    """
    return facts_of(read_chain(path)[0])


def read_chain(path: Path) -> list[Certificate]:
    """Every certificate of a PEM file, MAX_CHAIN at most and never none; raises as `read_certificate`."""
    return parse_chain(read_file(path)[0], str(path))


def parse_chain(pem: bytes, source: str) -> list[Certificate]:
    """The certificates in PEM text; ClientError where there is none or one cannot be understood."""
    from cryptography import x509

    if pem.count(b"-----BEGIN CERTIFICATE-----") > MAX_CHAIN:
        raise ClientError(f"{source} has more than {MAX_CHAIN} certificates")
    try:
        return x509.load_pem_x509_certificates(pem)
    except _x509_errors(ValueError) as error:
        raise ClientError(f"{source} is not a certificate in PEM form: {_one_line(error)}") from None


def parse_der(der: bytes, source: str) -> CertificateFacts:
    """The certificate that a peer has sent."""
    from cryptography import x509

    try:
        return facts_of(x509.load_der_x509_certificate(der), source)
    except _x509_errors(ValueError) as error:
        raise ClientError(f"{source} sent no certificate: {_one_line(error)}") from None


def read_key(path: Path, password: bytes | None = None) -> KeyFacts:
    """What a file's private key is like; raises as `read_certificate`."""
    content, status = read_file(path)
    key = parse_key(content, str(path), password)
    return key_facts(status, digest_of_key(key.public_key()))


def key_facts(status: os.stat_result, key_digest: str) -> KeyFacts:
    """What the status of a key's file says, with its digest."""
    return KeyFacts(key_digest, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def parse_key(pem: bytes, source: str, password: bytes | None = None) -> PrivateKeyTypes:
    """The private key in PEM text; ClientError where it cannot be used. No message quotes what was read."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem, password)
    except TypeError:
        lacks = "has a password" if password is None else "has no password, though one is set"
        raise ClientError(f"{source} {lacks}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ClientError(f"{source} is not a private key in PEM form, or its password is another") from None


def has_private_key(content: bytes) -> bool:
    """Whether PEM text holds a private key, whatever else it holds."""
    return _KEY_BLOCK.search(content) is not None


def facts_of(certificate: Certificate, source: str = "the certificate") -> CertificateFacts:
    """What a certificate says; ClientError where that cannot be understood."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        public = certificate.public_key()
        bits = int(getattr(public, "key_size", 0))
        kind = _kind(public, bits)
        signed = certificate.signature_hash_algorithm
        hash_name = signed.name if signed else ""
        return CertificateFacts(
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            names=_names(certificate),
            subject=_shown(certificate.subject.rfc4514_string()),
            issuer=_shown(certificate.issuer.rfc4514_string()),
            fingerprint=certificate.fingerprint(SHA256()).hex(),
            key_digest=digest_of_key(public),
            key=kind,
            key_bits=bits,
            signature_hash=hash_name,
            weaknesses=_weaknesses(kind, bits, hash_name),
        )
    except _x509_errors(ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ClientError(f"{source} is not a certificate in PEM form: {_one_line(error)}") from None


def digest_of_key(public: Any) -> str:
    """The SHA-256 of a public key, which tells whether a certificate and a private key belong together."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_file(path: Path) -> tuple[bytes, os.stat_result]:
    """The content of a regular file and its status, from one opening; raises as `read_certificate`."""
    try:
        # Without waiting: somebody may have put a pipe there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            content = os.read(descriptor, MAX_FILE_BYTES + 1) if stat.S_ISREG(status.st_mode) else None
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
    return content, status


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = [str(address) for address in san.get_values_for_type(x509.IPAddress)]
    return tuple(clean(name, 253) for name in (*san.get_values_for_type(x509.DNSName), *addresses)[:_MAX_NAMES])


def _kind(public: Any, bits: int) -> str:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

    if isinstance(public, rsa.RSAPublicKey):
        return f"RSA {bits}"
    if isinstance(public, ec.EllipticCurvePublicKey):
        return f"ECDSA {public.curve.name}"
    return f"DSA {bits}" if isinstance(public, dsa.DSAPublicKey) else type(public).__name__.removesuffix("PublicKey")


def _weaknesses(kind: str, bits: int, hash_name: str) -> tuple[str, ...]:
    """RSA below 2048 bits, EC below 224 (NIST SP 800-57: 112 bits of security), DSA, and hashes with collisions."""
    found: Sequence[tuple[bool, str]] = (
        (kind.startswith("RSA") and bits < _MIN_RSA_BITS, f"its RSA key has {bits} bits"),
        (kind.startswith("ECDSA") and bits < _MIN_EC_BITS, f"its key is on a curve of {bits} bits"),
        (kind.startswith("DSA"), "its key is of the DSA kind"),
        (hash_name in _BROKEN_HASHES, f"it is signed with {hash_name}"),
    )
    return tuple(text for weak, text in found if weak)


def _x509_errors(*usual: type[Exception]) -> tuple[type[Exception], ...]:
    """These, and what cryptography raises beside them: for an extension that is there twice, a version that is none."""
    from cryptography import x509

    return (*usual, x509.DuplicateExtension, x509.InvalidVersion)


def _shown(text: str) -> str:
    return clean(text, 300)


def _one_line(error: Exception) -> str:
    return clean((str(error).splitlines() or [type(error).__name__])[0], 200)

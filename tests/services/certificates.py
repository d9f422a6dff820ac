"""Certificates made for a test: good, old, weak, for other names, signed by a CA of the test's own."""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)


@dataclass(frozen=True)
class Made:
    """A certificate with its key, in PEM form and as objects."""

    certificate: x509.Certificate
    key: Any

    @property
    def cert_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.protected_key(None)

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def protected_key(self, password: str | None) -> bytes:
        how: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))

    def write(self, directory: Path, cert: str = "cert.pem", key: str = "key.pem") -> Made:
        """Write both as plain files with the usual modes."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / cert).write_bytes(self.cert_pem)
        (directory / key).write_bytes(self.key_pem)
        (directory / key).chmod(0o600)
        return self


_SIGNS = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def make(
    names: Sequence[str] = ("localhost", "127.0.0.1"),
    *,
    days_left: float = 90,
    age_days: float = 100,
    rsa_bits: int = 0,
    ca: Made | None = None,
    is_ca: bool = False,
    common_name: str = "test",
) -> Made:
    """A certificate: on P-256 unless `rsa_bits`, signed by itself unless `ca`; `days_left` may be negative."""
    key: Any = rsa.generate_private_key(65537, rsa_bits) if rsa_bits else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.certificate.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=age_days))
        .not_valid_after(now + timedelta(days=days_left))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if ca:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if is_ca:
        builder = builder.add_extension(_SIGNS, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
    return Made(builder.sign(ca.key if ca else key, hashes.SHA256()), key)


def make_ca(days_left: float = 1000) -> Made:
    """A CA of its own."""
    return make((), days_left=days_left, is_ca=True, common_name="Test CA")


def openssl(*arguments: str | Path) -> str:
    """What `openssl ARGUMENTS` prints; fails with it where openssl does."""
    run = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def fingerprint_of(path: Path) -> str:
    """The SHA-256 of the first certificate in a file, as openssl sees it."""
    printed = openssl("x509", "-in", path, "-noout", "-fingerprint", "-sha256")
    return printed.partition("=")[2].strip().replace(":", "").lower()


def is_pair(cert: Path, key: Path) -> bool:
    """Whether a certificate and a key belong together, as openssl sees them."""
    return openssl("x509", "-in", cert, "-noout", "-pubkey") == openssl("pkey", "-in", key, "-pubout")


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)

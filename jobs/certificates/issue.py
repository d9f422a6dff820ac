"""Making a key and a certificate for it: signed by itself, or by a private CA of the operator's."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jobs.certificates.settings import Settings
from jobs.certificates.versions import Pair
from jobs.clients.certificates import digest_of_key, parse_chain, parse_key, read_file
from jobs.clients.errors import ClientError
from jobs.clients.trust import is_authority
from jobs.core.certificates import is_address
from jobs.core.settings import CertificateSettings

_CLOCK_SLACK = timedelta(hours=1)
"""A certificate is valid from a little earlier on: the clocks of its first clients may be behind."""
_MAX_COMMON_NAME = 64
_ALWAYS = ("localhost", "*.localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Wanted:
    """What a new certificate is to be like."""

    subject: CertificateSettings
    names: tuple[str, ...]
    key_type: str
    key_size: int
    validity_days: int

    @property
    def key(self) -> str:
        """The kind of its key, for people."""
        return f"RSA {self.key_size}" if self.key_type == "rsa" else "ECDSA P-256"


def wanted_of(settings: Settings, subject: CertificateSettings) -> Wanted:
    """The certificate that the settings ask for; a name that is given twice is in it once."""
    names = tuple(dict.fromkeys((subject.domain, *_ALWAYS, *settings.extra_names)))
    return Wanted(subject, names, settings.key_type, settings.key_size, settings.cert_validity_days)


class Authority:
    """A private CA: its certificate, the chain above it, and its key. Made by `read_authority`, which checks them."""

    def __init__(self, certificate_file: Path, chain: list[x509.Certificate], key: Any) -> None:
        self.file, self.certificate, self.key = certificate_file, chain[0], key
        self.chain = [one for one in chain if one.subject != one.issuer]
        """What a server must send beside its own certificate: all but the root."""

    @property
    def name(self) -> str:
        """Its subject."""
        return self.certificate.subject.rfc4514_string()


def read_authority(certificate_file: Path, key_file: Path, password: str | None) -> Authority:
    """The CA in two files; ClientError where they cannot be used."""
    chain = parse_chain(read_file(certificate_file)[0], str(certificate_file))
    key = parse_key(read_file(key_file)[0], str(key_file), password.encode() if password is not None else None)
    if digest_of_key(key.public_key()) != digest_of_key(chain[0].public_key()):
        raise ClientError(f"{key_file} is not the key of {certificate_file}")
    if not is_authority(chain[0]):
        raise ClientError(f"{certificate_file} is not the certificate of a CA (basicConstraints, keyUsage)")
    return Authority(certificate_file, chain, key)


def end_of(wanted: Wanted, authority: Authority | None, now: datetime) -> datetime:
    """Until when a certificate that is made now is valid: never longer than its CA."""
    end = now + timedelta(days=wanted.validity_days)
    return end if authority is None else min(end, authority.certificate.not_valid_after_utc)


def issue(wanted: Wanted, authority: Authority | None, now: datetime) -> Pair:
    """A new key and its certificate; ClientError where the CA may not sign any more."""
    if authority is not None and not (
        authority.certificate.not_valid_before_utc <= now < authority.certificate.not_valid_after_utc
    ):
        raise ClientError(f"the CA {authority.file} is not valid now; renew it first")
    key = _new_key(wanted)
    subject = _subject(wanted.subject)
    signer, issuer = (key, subject) if authority is None else (authority.key, authority.certificate.subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(end_of(wanted, authority, now))
    )
    for extension, critical in _extensions(wanted, key, authority):
        builder = builder.add_extension(extension, critical)
    own_hash = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = builder.sign(signer, None if own_hash else hashes.SHA256())
    chain = [certificate, *(authority.chain if authority else [])]
    return Pair(
        b"".join(one.public_bytes(Encoding.PEM) for one in chain),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _new_key(wanted: Wanted) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if wanted.key_type == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=wanted.key_size)


def _subject(wanted: CertificateSettings) -> x509.Name:
    """The subject, part by part: whatever stands in a part (`/`, `,`) is text."""
    parts = (
        (NameOID.COUNTRY_NAME, wanted.country),
        (NameOID.STATE_OR_PROVINCE_NAME, wanted.state),
        (NameOID.LOCALITY_NAME, wanted.city),
        (NameOID.ORGANIZATION_NAME, wanted.organization),
        (NameOID.COMMON_NAME, wanted.domain if len(wanted.domain) <= _MAX_COMMON_NAME else ""),
    )
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in parts if text])


def _extensions(
    wanted: Wanted, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, authority: Authority | None
) -> list[tuple[x509.ExtensionType, bool]]:
    """The extensions of a server's certificate (RFC 5280, 4.2), each with whether it is critical."""
    public = key.public_key()
    signer = public if authority is None else authority.certificate.public_key()
    names = [
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in wanted.names
    ]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(encipherment=wanted.key_type == "rsa"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(names), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
        (_authority_key(authority, signer), False),
    ]


def _authority_key(authority: Authority | None, signer: Any) -> x509.AuthorityKeyIdentifier:
    """The identifier that the CA's own certificate has, where it has one: it need not be the usual hash."""
    try:
        own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier) if authority else None
    except x509.ExtensionNotFound:
        own = None
    if own is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(signer)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def _key_usage(*, encipherment: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=encipherment,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )

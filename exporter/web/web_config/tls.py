"""Makes the TLS context that a web configuration file asks for.

Where Python's `ssl` cannot do what Go does, the stricter of what it can is taken, or the file is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporter.web.web_config.client_names import alternative_names
from exporter.web.web_config.model import TlsServerConfig
from exporter.web.web_config.openssl_names import AEAD, CBC, CURVES, VERSIONS, ciphers_of
from exporter.web.web_config.tls_materials import NOT_ASKED, Materials, problems_of, warnings_of

_REASONS = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "EE_KEY_TOO_SMALL": "the certificate's key is too short to be safe; take one of 2048 bits, or P-256",
    "CA_MD_TOO_WEAK": "the certificate is signed with a digest that is no longer safe",
}


class TlsProblem(ValueError):
    """The TLS settings cannot be used; one line for each thing to mend."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


@dataclass(frozen=True, eq=False)
class Tls:
    """What a new connection is secured with. `digest` tells whether two are made of the same."""

    context: ssl.SSLContext
    digest: bytes
    allowed_sans: frozenset[str] | None = None
    names_clients: bool = False
    """Whether a certificate that was verified says who its holder is: one by the operator's own CA does."""
    warnings: tuple[str, ...] = ()

    def admits(self, certificate: Mapping[str, Any] | None) -> bool:
        """Whether a client with this certificate (as `SSLSocket.getpeercert` gives it) may come in."""
        return self.allowed_sans is None or not self.allowed_sans.isdisjoint(alternative_names(certificate))


def make_tls(config: TlsServerConfig, materials: Materials) -> Tls:
    """The context for these settings; raise TlsProblem."""
    if problems := list(problems_of(config, materials)):
        raise TlsProblem(problems)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not config.prefer_server_cipher_suites:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _limit(context, config)
    _load_pair(context, materials)
    _ask_clients(context, config, materials)
    digest = hashlib.blake2b(config.model_dump_json().encode() + b"\0")
    for part in (materials.cert, materials.key, materials.client_ca or b""):
        digest.update(hashlib.blake2b(part).digest())
    sans = config.client_allowed_sans
    return Tls(
        context=context,
        digest=digest.digest(),
        allowed_sans=None if sans is None else frozenset(sans),
        names_clients=context.verify_mode != ssl.CERT_NONE and (materials.client_ca is not None or bool(sans)),
        warnings=tuple(warnings_of(config, materials)),
    )


def _limit(context: ssl.SSLContext, config: TlsServerConfig) -> None:
    """Versions, cipher suites and curves."""
    old, ciphers = config.min_version < "TLS12", ciphers_of(config.cipher_suites)
    if config.cipher_suites and not ciphers:
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # those of TLS 1.3 are always there, the others never
    else:
        context.minimum_version = VERSIONS[config.min_version]
        ciphers = ciphers or [*AEAD.values(), *(CBC.values() if old else ())]
        # What TLS 1.0 and 1.1 sign with is below OpenSSL's usual level.
        context.set_ciphers(":".join([*ciphers, "@SECLEVEL=0"] if old else ciphers))
    context.maximum_version = VERSIONS[config.max_version]
    if len(config.curve_preferences) == 1:
        context.set_ecdh_curve(CURVES[config.curve_preferences[0]])


def _load_pair(context: ssl.SSLContext, materials: Materials) -> None:
    try:
        # OpenSSL wants files: these have no name, so that a key that stands in the configuration is on no disk.
        with _in_memory(materials.cert) as cert, _in_memory(materials.key) as key:
            context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError) as error:
        reason = _REASONS.get(getattr(error, "reason", "") or "", f"they are not in order ({_plain(error)})")
        raise TlsProblem([f"tls_server_config: certificate and key cannot be used: {reason}"]) from None


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _ask_clients(context: ssl.SSLContext, config: TlsServerConfig, materials: Materials) -> None:
    if config.client_auth_type in NOT_ASKED:
        return
    try:
        if materials.client_ca is not None:
            context.load_verify_locations(cadata=materials.client_ca.decode())
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    except (ssl.SSLError, ValueError) as error:
        where = "client_ca_file" if config.client_ca_file else "client_ca"
        raise TlsProblem([f"tls_server_config.{where}: holds no certificate in PEM form ({_plain(error)})"]) from None
    given = config.client_auth_type == "VerifyClientCertIfGiven"
    context.verify_mode = ssl.CERT_OPTIONAL if given else ssl.CERT_REQUIRED


def _plain(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error).splitlines()[0][:100]

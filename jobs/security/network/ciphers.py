"""Versions of TLS and cipher suites by how weak they are.

Numbers: https://www.iana.org/assignments/tls-parameters; judged after RFC 8996 (TLS 1.0, 1.1), RFC 7568 (SSL 3.0),
RFC 7465 (RC4) and RFC 9325 (the rest).
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.clients.tls_hello import SSL_3_0, TLS_1_0, TLS_1_1
from jobs.core.model import Severity


@dataclass(frozen=True)
class Weak:
    """Something that a server should turn down. `offer` is the version for it, `ciphers` the suites (empty: any)."""

    rule: str
    name: str
    severity: Severity
    why: str
    offer: int = 0
    ciphers: tuple[int, ...] = ()


VERSIONS = (
    Weak("ssl_3_0", "SSL 3.0", Severity.HIGH, "its encryption can be broken (POODLE)", SSL_3_0),
    Weak("tls_1_0", "TLS 1.0", Severity.MEDIUM, "it has been given up since 2021 (RFC 8996)", TLS_1_0),
    Weak("tls_1_1", "TLS 1.1", Severity.MEDIUM, "it has been given up since 2021 (RFC 8996)", TLS_1_1),
)
CIPHERS = (
    Weak(
        "null_cipher", "ciphers without encryption (NULL)", Severity.HIGH, "everybody on the way can read along",
        ciphers=(0x0001, 0x0002, 0x003B, 0xC001, 0xC006, 0xC00B, 0xC010),
    ),
    Weak(
        "anonymous_cipher", "ciphers without a certificate (anonymous)", Severity.HIGH,
        "anybody can pose as the server",
        ciphers=(
            *range(0x0017, 0x001C), 0x0034, 0x003A, 0x0046, 0x006C, 0x006D, 0x0089, 0x009B, 0x00A6, 0x00A7, 0x00BF,
            0x00C5, *range(0xC015, 0xC01A),
        ),
    ),
    Weak(
        "export_cipher", "export ciphers (40 bits)", Severity.HIGH, "they are broken in minutes (FREAK, Logjam)",
        ciphers=(0x0003, 0x0006, 0x0008, 0x000B, 0x000E, 0x0011, 0x0014),
    ),
    Weak(
        "des_cipher", "DES (56 bits)", Severity.HIGH, "it is broken within a day",
        ciphers=(0x0009, 0x000C, 0x000F, 0x0012, 0x0015),
    ),
    Weak(
        "rc4_cipher", "RC4", Severity.HIGH, "it is prohibited (RFC 7465)",
        ciphers=(0x0004, 0x0005, 0xC002, 0xC007, 0xC00C, 0xC011),
    ),
    Weak(
        "3des_cipher", "3DES and IDEA (blocks of 64 bits)", Severity.MEDIUM, "long sessions can be read (Sweet32)",
        ciphers=(0x0007, 0x000A, 0x000D, 0x0010, 0x0013, 0x0016, 0xC003, 0xC008, 0xC00D, 0xC012),
    ),
)  # fmt: skip
_STRONG = (
    *range(0x1301, 0x1306),  # TLS 1.3
    *(0xC02B, 0xC02C, 0xC02F, 0xC030, 0xCCA8, 0xCCA9, 0xCCAA, 0x009C, 0x009D, 0x009E, 0x009F),  # AEAD
    *(0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027, 0xC028, 0xC004, 0xC005, 0xC00E, 0xC00F),  # CBC with ECDH
    *(0x002F, 0x0035, 0x003C, 0x003D, 0x0041, 0x0084, 0x0032, 0x0033, 0x0038, 0x0039, 0x0040, 0x0045),  # CBC
    *(0x0067, 0x006A, 0x006B, 0x0088, 0x0087, 0x0044, 0x0096, 0x009A),
)
ALL = (*_STRONG, *(cipher for weak in reversed(CIPHERS) for cipher in weak.ciphers))
"""Every suite that is known here, the strong ones first."""

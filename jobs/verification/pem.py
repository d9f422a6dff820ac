"""Certificates and keys as PEM text: can they be read, and do they belong together?"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from jobs.verification.reading import Damaged, told

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(rb"-----BEGIN [A-Z0-9 ]+-----")
_CERTIFICATE_NAME = re.compile(r"(?:cert|fullchain)(\d*)\.(?:pem|crt)")
_KEY_NAMES = ("key{}.pem", "privkey{}.pem", "key{}.key")
"""certbot keeps cert3.pem beside privkey3.pem."""
SUFFIXES = (".pem", ".crt", ".key")


def check_pem(name: str, content: bytes) -> None:
    """Raise Damaged where a PEM file holds nothing, or a certificate or key that cannot be read.

    Any other block (a request, parameters) is taken for what it says it is.
    """
    if not _BLOCK.search(content):
        raise Damaged(f"{name} holds nothing in PEM form")
    _certificates(name, content)
    _key(name, content)


def check_pairs(contents: Mapping[str, bytes]) -> list[str]:
    """Raise Damaged where a certificate and the key beside it do not belong together; return the pairs that do."""
    matched = []
    for name in sorted(contents):
        path = PurePosixPath(name)
        if named := _CERTIFICATE_NAME.fullmatch(path.name):
            keys = [str(path.with_name(key.format(named[1]))) for key in _KEY_NAMES]
            matched += [name for key in keys if key in contents and _belong(contents, name, key)]
    return matched


def _belong(contents: Mapping[str, bytes], name: str, beside: str) -> bool:
    certificates, key = _certificates(name, contents[name]), _key(beside, contents[beside])
    if not certificates or key is None:
        return False
    if _public(certificates[0].public_key()) != _public(key.public_key()):
        raise Damaged(f"{beside} is not the key of {name}")
    return True


def check_list(listed: bytes, contents: Mapping[str, bytes]) -> None:
    """Raise Damaged where the files are not those that a list (`files`, each with its sha256) names."""
    try:
        wanted = {str(name): str(file["sha256"]) for name, file in json.loads(listed)["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Damaged("its manifest.json does not hold what it should") from None
    found = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise Damaged(f"{wrong[0]} is not what manifest.json says: it was changed, added or removed")


def _certificates(name: str, content: bytes) -> list[Certificate]:
    if _CERTIFICATE not in content:
        return []
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(content)
        for certificate in found:
            certificate.public_key()
    except Exception as error:  # noqa: BLE001  # the library tells broken ones by several kinds of exceptions
        raise Damaged(f"{name} holds a certificate that cannot be read: {told(error)}") from None
    return found


def _key(name: str, content: bytes) -> Any:
    """The private key in a file; None where there is none, or only its passphrase opens it."""
    if not _KEY.search(content):
        return None
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(content, password=None)
    except TypeError:
        return None
    except Exception as error:  # noqa: BLE001  # as above
        raise Damaged(f"{name} holds a key that cannot be read ({type(error).__name__})") from None


def _public(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

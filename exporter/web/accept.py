"""What a request says that it can read: its Accept and Accept-Encoding headers."""

from __future__ import annotations

import re
from functools import lru_cache

_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


@lru_cache(maxsize=64)
def wants_openmetrics(accept: bytes) -> bool:
    """Whether an Accept header prefers OpenMetrics 1.0.0 or later to the text format (RFC 9110 section 12.5.1).

    A Prometheus says by weights which of its `scrape_protocols` comes first. The client library would bring an HTTP
    server and more along, half as much memory again as a page of metrics, and does not read weights.
    """
    offers = [_offer(text) for text in accept.decode("latin-1").lower().split(",")]
    for media_type, version, weight in sorted(offers, key=lambda offer: -offer[2]):
        if media_type == "text/plain" or not weight:
            return False
        if media_type == "application/openmetrics-text" and (not version or _major(version) >= 1):
            return True
    return False


def _offer(text: str) -> tuple[str, str, float]:
    media_type, *parameters = text.split(";")
    said = {name: value for name, _, value in (parameter.strip().partition("=") for parameter in parameters)}
    weight = said.get("q", "")
    return media_type.strip(), said.get("version", ""), float(weight) if _WEIGHT.fullmatch(weight) else 1.0


def _major(version: str) -> int:
    digits = version.partition(".")[0][:9]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


@lru_cache(maxsize=64)
def wants_gzip(accept_encoding: bytes) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110 section 12.5.3)."""
    for offer in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = offer.strip().partition(";")
        if coding.strip() == "gzip":
            weight = parameters.strip().removeprefix("q=")
            return weight.strip("0.") != "" or not weight
    return False

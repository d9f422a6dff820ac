"""What a request says that it can read: its Accept and Accept-Encoding headers."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=64)
def wants_openmetrics(accept: bytes) -> bool:
    """Whether an Accept header asks for OpenMetrics 1.0.0 or later, as the Prometheus client library reads it.

    That library itself would bring an HTTP server and more along: half as much memory again as a page of metrics.
    """
    for offer in accept.decode("latin-1").split(","):
        media_type, *parameters = offer.split(";")
        if media_type.strip() in ("application/openmetrics-text", "text/plain"):
            version = next((value for key, _, value in map(_parted, parameters) if key == "version"), "")
            if version.split(".")[0].isdecimal() and int(version.split(".")[0][:9]) >= 1:
                return media_type.strip() != "text/plain"
            if not version and media_type.strip() != "text/plain":
                return True
    return False


def _parted(parameter: str) -> tuple[str, str, str]:
    return parameter.strip().partition("=")


@lru_cache(maxsize=64)
def wants_gzip(accept_encoding: bytes) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110 section 12.5.3)."""
    for offer in accept_encoding.decode("latin-1").lower().split(","):
        coding, _, parameters = offer.strip().partition(";")
        if coding.strip() == "gzip":
            weight = parameters.strip().removeprefix("q=")
            return weight.strip("0.") != "" or not weight
    return False

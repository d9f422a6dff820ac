"""What is asked of a certificate whatever it was read from: is it for a name, and is it time to renew it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from jobs.core.addresses import address_of


def covers(names: Sequence[str], wanted: str) -> bool:
    """Whether a certificate for `names` is good for a name or address.

    A wildcard stands for one label (RFC 6125, 6.4.3), and never for a part of an address.
    """
    if address := address_of(wanted.strip("[]")):
        return any(address_of(name.strip("[]")) == address for name in names)
    name = wanted.lower().rstrip(".")
    wildcard = f"*.{name.partition('.')[2]}"
    return any(one.lower().rstrip(".") in (name, wildcard) for one in names)


def renewal_time(not_before: datetime, not_after: datetime, threshold_days: int) -> datetime:
    """When a certificate is due: `threshold_days` before its end, or with a third of a short life left.

    Short is what lives less than three times the threshold: it would be due for most of its life, or from the start.
    """
    lifetime, threshold = not_after - not_before, timedelta(days=threshold_days)
    return not_after - (lifetime / 3 if lifetime < 3 * threshold else threshold)


def is_address(text: str) -> bool:
    """Whether a name is an IP address."""
    return address_of(text.strip("[]")) is not None

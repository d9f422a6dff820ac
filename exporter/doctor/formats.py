"""Whether what the daemon exposes can be read, by the parsers of Prometheus' own client library."""

from __future__ import annotations

from typing import Any

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def series_in(body: bytes, *, openmetrics: bool) -> int:
    """The number of series of an exposition, as text or as OpenMetrics; raise ValueError where it is none."""
    from prometheus_client import parser as of_text
    from prometheus_client.openmetrics import parser as of_openmetrics

    families_of: Any = (of_openmetrics if openmetrics else of_text).text_string_to_metric_families
    try:
        return sum(len(family.samples) for family in families_of(body.decode()))
    except (LookupError, TypeError, AttributeError) as error:  # what its parsers say of what they do not understand
        raise ValueError(str(error) or type(error).__name__) from None

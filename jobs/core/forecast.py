"""When something that fills up will be full, going by how it has filled so far."""

from __future__ import annotations

from collections.abc import Sequence

MIN_SPAN_SECONDS = 3600.0
MIN_POINTS = 6


def seconds_to_full(points: Sequence[tuple[float, float]], free: float) -> float | None:
    """Given (Unix time, amount used) and what is free now, return how long that lasts at the trend's pace.

    The trend is the least-squares line through all points. None where they are too few or too close together
    for one, or nothing grows.
    """
    if len(points) < MIN_POINTS or points[-1][0] - points[0][0] < MIN_SPAN_SECONDS:
        return None
    growth_per_second = _slope(points)
    return free / growth_per_second if growth_per_second > 0 else None


def _slope(points: Sequence[tuple[float, float]]) -> float:
    mean_time = sum(at for at, _ in points) / len(points)
    mean_value = sum(value for _, value in points) / len(points)
    covariance = sum((at - mean_time) * (value - mean_value) for at, value in points)
    variance = sum((at - mean_time) ** 2 for at, _ in points)
    return covariance / variance

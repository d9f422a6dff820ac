"""What the performance report exports beside the figures that it samples."""

from __future__ import annotations

from jobs.core.model import Family
from jobs.core.scoring import DEDUCTION_FAMILY
from jobs.performance.sampling.families import FAMILIES as SAMPLED

SCORE = Family(name="sutazai_performance_score", help="100 minus the deductions of the last sample of performance.")
AGENT_PERCENTILE = Family(
    name="sutazai_agent_response_percentile_seconds",
    help="Time that the percentile (50, 95, 99) of the agent's answers in the last day did not exceed.",
    labels=("agent", "percentile"),
)
COVERAGE = Family(
    name="sutazai_performance_history_coverage_ratio",
    help="Share of the last day of which the performance is known.",
)
SERIES = Family(name="sutazai_performance_history_series", help="Figures whose history is remembered.")
REFUSED = Family(
    name="sutazai_performance_history_refused_series",
    help="Figures of the last two days that are not remembered as the history is full; 1000 are counted at most.",
)
FAMILIES = (SCORE, DEDUCTION_FAMILY, AGENT_PERCENTILE, COVERAGE, SERIES, REFUSED, *SAMPLED)

"""The checker of expressions itself: it must see what is misspelt."""

from __future__ import annotations

import pytest

from jobs.core.model import Family, MetricType
from tests.contract.promql import Selector, known_metrics, problems, selectors

KNOWN = known_metrics(
    [
        Family(name="sutazai_agent_up", help=".", labels=("agent",)),
        Family(name="sutazai_agent_state", help=".", labels=("agent", "state")),
        Family(name="sutazai_store_up", help="."),
        Family(name="sutazai_task_runs_total", help=".", labels=("task", "outcome"), type=MetricType.COUNTER),
        Family(name="sutazai_task_duration_seconds", help=".", labels=("task",), type=MetricType.HISTOGRAM),
    ]
)


@pytest.mark.parametrize(
    "expression",
    [
        'last_over_time(sutazai_agent_up{agent="a",job="sutazai"}[10m]) == 0',
        'sutazai_agent_up unless on (job, instance, agent) sutazai_agent_state{state="paused"} == 1',
        "sum by (task) (increase(sutazai_task_runs_total[$__range]))",
        "histogram_quantile(0.95, sum by (le, task) (rate(sutazai_task_duration_seconds_bucket[$__rate_interval])))",
        "sutazai_task_duration_seconds_sum / sutazai_task_duration_seconds_count",
        'up{job="sutazai"} == 0 or absent(up{job="sutazai"})',
        "(time() - process_start_time_seconds) > on (job, instance) group_right () sutazai_agent_up",
        'sutazai_agent_up == ignoring (state) sutazai_agent_state{state="paused"}',
        'label_replace(sutazai_agent_up, "name", "$1", "agent", "(.*)")',
        "max_over_time(sutazai_store_up[1h:5m])",
    ],
)
def test_expressions_of_known_metrics_have_no_problem(expression: str) -> None:
    assert problems(expression, KNOWN) == []


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("sutazai_agent_upp == 0", "nobody exports sutazai_agent_upp"),
        ("1 + rate(sutazai_task_run_total[5m])", "nobody exports sutazai_task_run_total"),
        ("sutazai_task_runs", "nobody exports sutazai_task_runs"),
        ("sutazai_task_duration_seconds", "nobody exports sutazai_task_duration_seconds"),
        ("node_load1", "nobody exports node_load1"),
        ('sutazai_agent_up{agnet="a"}', "sutazai_agent_up has no label agnet"),
        ('avg_over_time(sutazai_agent_up{state="x"}[5m])', "sutazai_agent_up has no label state"),
        ('-(sutazai_store_up{task="x"})', "sutazai_store_up has no label task"),
        ('topk(3, sutazai_store_up{task="x"})', "sutazai_store_up has no label task"),
        ('max_over_time(sutazai_store_up{task="x"}[1h:5m])', "sutazai_store_up has no label task"),
        ("sum by (agent) (sutazai_task_runs_total)", "no label agent to aggregate by"),
        ("sum by (task) (sum by (outcome) (sutazai_task_runs_total))", "no label task to aggregate by"),
        ("sum without (agent) (sutazai_task_runs_total)", "no label agent to aggregate by"),
        ("sutazai_agent_up and on (task) sutazai_task_runs_total", "left side has no label task to match on"),
        ("sutazai_agent_up * on (agent) sutazai_store_up", "right side has no label agent to match on"),
        ("sutazai_store_up * on (job) group_right (tsk) sutazai_agent_up", "no label tsk to take over"),
        ("sutazai_agent_up > ignoring (sttae) sutazai_agent_state", "no label sttae to ignore"),
        ("histogram_quantile(0.9, sum by (task) (sutazai_task_duration_seconds_bucket))", "something without le"),
        ('{agent="a"}', "a selector without a metric name"),
        ("sum(", "does not parse"),
    ],
)
def test_a_misspelt_name_is_a_problem(expression: str, problem: str) -> None:
    assert problem in "; ".join(problems(expression, KNOWN))


def test_selectors_are_told_with_what_they_match_and_whether_they_look_back() -> None:
    expression = 'last_over_time(a{x="1"}[10m]) > 2 * b{y=~"2|3"} or max_over_time((c)[1h:5m]) - rate(d[$__range])'
    assert selectors(expression) == [
        Selector("a", {"x": "1"}, True),
        Selector("b", {"y": "2|3"}, False),
        Selector("c", {}, False),
        Selector("d", {}, True),
    ]

"""Which metrics and labels a PromQL expression uses, and which of them nobody exports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import promql_parser as promql

from jobs.core.model import Family, MetricType

Labels = frozenset[str]
Known = Mapping[str, Labels]
"""The label names of each metric that may be asked for."""

TARGET_LABELS = frozenset({"job", "instance"})
"""What Prometheus itself puts on every series that it scrapes."""
FOREIGN: Known = {
    "up": frozenset(),
    "node_textfile_scrape_error": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "process_start_time_seconds": frozenset(),
    "process_cpu_seconds_total": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "process_virtual_memory_bytes": frozenset(),
    "process_open_fds": frozenset(),
    "process_max_fds": frozenset(),
}
"""Metrics outside the catalogue: Prometheus's own, node_exporter's, and those of every process."""

_GRAFANA_TIME = re.compile(r"\$__(rate_interval|interval|range)|\$\{__(rate_interval|interval|range)\}")


def known_metrics(families: Iterable[Family]) -> dict[str, Labels]:
    """The metrics that these families are scraped as, with their labels."""
    known = {name: labels | TARGET_LABELS for name, labels in FOREIGN.items()}
    for family in families:
        labels = frozenset(family.labels) | TARGET_LABELS
        if family.type is MetricType.HISTOGRAM:
            known[f"{family.name}_bucket"] = labels | {"le"}
            known[f"{family.name}_sum"] = known[f"{family.name}_count"] = labels
        else:
            known[family.name] = labels
    return known


def in_words_of_prometheus(expression: str) -> str:
    """A query of a dashboard with a time of Prometheus's for each of Grafana's."""
    return _GRAFANA_TIME.sub("5m", expression)


def problems(expression: str, known: Known) -> list[str]:
    """Everything in the expression that nobody exports, and its error where it does not parse."""
    try:
        tree = promql.parse(in_words_of_prometheus(expression))
    except ValueError as error:
        return [f"does not parse: {error}"]
    found: list[str] = []
    _labels_of(tree, known, found)
    return found


def result_labels(expression: str, known: Known) -> Labels:
    """The labels that the result of an expression may have."""
    return _labels_of(promql.parse(expression), known, [])


@dataclass(frozen=True)
class Selector:
    """One selector of an expression: its metric, its matchers' values by label, and whether it looks back."""

    name: str
    matched: Mapping[str, str]
    over_time: bool


def selectors(expression: str) -> list[Selector]:
    """Every selector of an expression."""
    found: list[Selector] = []
    ranged = False

    def visit(node: promql.Expr) -> None:
        # A range is visited just before the selector that it is of.
        nonlocal ranged
        if isinstance(node, promql.VectorSelector):
            matched = {matcher.name: matcher.value for matcher in node.matchers.matchers}
            found.append(Selector(node.name or "", matched, ranged))
        ranged = isinstance(node, promql.MatrixSelector)

    promql.walk(promql.parse(in_words_of_prometheus(expression)), visit)
    return found


def _labels_of(node: promql.Expr, known: Known, found: list[str]) -> Labels:
    """The labels that the node's result may have; what is wrong in it is added to `found`."""
    if isinstance(node, promql.VectorSelector):
        return _selector(node, known, found)
    if isinstance(node, promql.MatrixSelector):
        return _selector(node.vector_selector, known, found)
    if isinstance(node, promql.BinaryExpr):
        return _binary(node, known, found)
    if isinstance(node, promql.AggregateExpr):
        return _aggregate(node, known, found)
    if isinstance(node, promql.Call):
        return _call(node, known, found)
    if isinstance(node, promql.ParenExpr | promql.SubqueryExpr | promql.UnaryExpr):
        return _labels_of(node.expr, known, found)
    return frozenset()


def _selector(node: promql.VectorSelector, known: Known, found: list[str]) -> Labels:
    if not node.name:
        found.append("a selector without a metric name")
        return frozenset()
    labels = known.get(node.name)
    if labels is None:
        found.append(f"nobody exports {node.name}")
        return frozenset()
    found.extend(f"{node.name} has no label {m.name}" for m in node.matchers.matchers if m.name not in labels)
    return labels


def _binary(node: promql.BinaryExpr, known: Known, found: list[str]) -> Labels:
    left, right = _labels_of(node.lhs, known, found), _labels_of(node.rhs, known, found)
    modifier = node.modifier
    if modifier is None:
        return left | right
    if modifier.matching is not None and modifier.matching.type == promql.LabelModifierType.Exclude:
        found.extend(f"no label {name} to ignore" for name in modifier.matching.labels if name not in left | right)
    elif modifier.matching is not None:
        found.extend(
            f"{side} side has no label {name} to match on"
            for name in modifier.matching.labels
            for side, labels in (("left", left), ("right", right))
            if name not in labels
        )
    grouped = modifier.group_labels or []
    found.extend(f"no label {name} to take over" for name in grouped if name not in left | right)
    return left | right


def _aggregate(node: promql.AggregateExpr, known: Known, found: list[str]) -> Labels:
    labels = _labels_of(node.expr, known, found)
    if node.modifier is None:
        return frozenset()
    named = frozenset(node.modifier.labels)
    found.extend(f"no label {name} to aggregate by" for name in sorted(named - labels))
    return labels & named if node.modifier.type == promql.AggModifierType.By else labels - named


def _call(node: promql.Call, known: Known, found: list[str]) -> Labels:
    labels = frozenset[str]().union(*(_labels_of(argument, known, found) for argument in node.args))
    if node.func.name == "histogram_quantile":
        if "le" not in labels:
            found.append("histogram_quantile of something without le")
        labels -= {"le"}
    if node.func.name == "label_replace":
        labels |= {str(node.args[1].val)}
    return labels

"""Where the steps of panels' thresholds come from: rules and settings that judge the same figure.

`LIMITS` says it of every panel that has steps, in their order; the contract test holds it against rules, settings and
dashboards. A step that comes from a rule also has its colour: orange for a warning, red for what is critical.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import promql_parser as promql

COLOURS = {"warning": "orange", "critical": "red"}
"""The colour of what lies beyond the limit of a rule of this severity."""


@dataclass(frozen=True)
class Rule:
    """The step is what this alert compares with."""

    alert: str


@dataclass(frozen=True)
class Count:
    """The step is 1: the first of those that this alert tells of."""

    alert: str


@dataclass(frozen=True)
class Setting:
    """The step is this setting's default, divided by `per` (percent in a ratio: 100)."""

    path: str
    per: float = 1


@dataclass(frozen=True)
class Stale:
    """The step is the age at which this task's results are too old, as its own settings have it."""

    task: str


@dataclass(frozen=True)
class One:
    """The step is 1, between none and one (or between not all and all), and no alert has a number for it."""


Source = Rule | Count | Setting | Stale | One

LIMITS: dict[tuple[str, str], tuple[Source, ...]] = {
    ("agents", "Agents up"): (One(),),
    ("agents", "Agents that are not up"): (Count("AgentDown"),),
    ("agents", "Agents in quarantine"): (Count("AgentQuarantined"),),
    ("agents", "Slowest answer"): (Rule("AgentSlow"),),
    ("agents", "Failures in a row"): (Setting("jobs.agent_monitor.consecutive_failures"),),
    ("agents", "Restarts in six hours"): (Rule("AgentRestarting"),),
    ("agents", "Quarantine over time"): (Rule("AgentQuarantined"),),
    ("agents", "Response time"): (Rule("AgentSlow"),),
    ("alerts", "Critical alerts"): (One(),),
    ("alerts", "Warnings"): (One(),),
    ("alerts", "Problems that stand"): (One(),),
    ("alerts", "Channels that fail"): (Count("NotificationsFailing"),),
    ("alerts", "Messages given up"): (Count("NotificationsDead"),),
    ("alerts", "Remediations that ask"): (Count("RemediationWaiting"),),
    ("alerts", "Channels over time"): (Rule("NotificationsFailing"),),
    ("alerts", "Age of the oldest that is due"): (Rule("NotificationsDelayed"),),
    ("alerts", "Given up"): (Count("NotificationsDead"),),
    ("alerts", "Audit log intact"): (Rule("AuditLogBroken"),),
    ("backups-certificates", "Backups that failed"): (Count("BackupFailed"),),
    ("backups-certificates", "Missing backups"): (Count("BackupNotThere"),),
    ("backups-certificates", "Damaged backups"): (Count("BackupDamaged"),),
    ("backups-certificates", "Backup success ratio"): (Rule("BackupSuccessLow"),),
    ("backups-certificates", "Backup storage"): (
        Setting("jobs.backup_verification.storage_warn_percent", per=100),
        Setting("jobs.backup_verification.storage_max_percent", per=100),
    ),
    ("backups-certificates", "Renewals that failed"): (Count("CertificateRenewalFailed"),),
    ("backups-certificates", "Age of the newest backup"): (Rule("BackupMissing"),),
    ("backups-certificates", "Since the last drill"): (Rule("RestoreDrillNotMade"),),
    ("backups-certificates", "Drills over time"): (One(),),
    ("backups-certificates", "Backups made over time"): (One(),),
    ("backups-certificates", "Time left of each certificate"): (
        Rule("CertificateExpiryImminent"),
        Rule("CertificateExpiring"),
    ),
    ("backups-certificates", "Share of its lifetime left"): (
        Rule("CertificateExpiryImminent"),
        Rule("CertificateExpiring"),
    ),
    ("backups-certificates", "Served as on disk"): (Rule("CertificateNotServed"),),
    ("backups-certificates", "Servers of certificates"): (Rule("CertificateEndpointDown"),),
    ("backups-certificates", "Certificates that can be used"): (Rule("CertificateInvalid"),),
    ("databases", "PostgreSQL up"): (Rule("PostgresDown"),),
    ("databases", "Connections used"): (Rule("PostgresConnectionsHigh"),),
    ("databases", "Nearest to wraparound"): (Rule("PostgresWraparound"),),
    ("databases", "Invalid indexes"): (Count("IndexInvalid"),),
    ("databases", "Redis persists"): (Rule("RedisNotPersisting"),),
    ("databases", "Last maintenance worked"): (Rule("DatabaseMaintenanceFailing"),),
    ("databases", "Cache hit ratio"): (Rule("PostgresCacheHitLow"),),
    ("databases", "Oldest open transaction"): (Rule("PostgresLongTransaction"),),
    ("databases", "Deadlocks"): (Rule("PostgresDeadlocks"),),
    ("databases", "Dead rows"): (Rule("PostgresDeadRows"),),
    ("databases", "Age to wraparound"): (Rule("PostgresWraparound"),),
    ("databases", "Age to freezing"): (Rule("PostgresFreezingLate"),),
    ("databases", "Lag of replicas in bytes"): (Rule("PostgresReplicationLag"),),
    ("databases", "Delay of servers that are replicas"): (Rule("PostgresReplayDelayed"),),
    ("databases", "WAL kept for slots"): (Rule("PostgresSlotRetainsWal"),),
    ("databases", "Since the last maintenance"): (Rule("DatabaseMaintenanceMissing"),),
    ("databases", "Redis memory of its limit"): (Rule("RedisMemoryHigh"),),
    ("databases", "Redis clients"): (Rule("RedisClientsHigh"),),
    ("host-models", "Containers: memory of their limits"): (Rule("ContainerMemoryHigh"),),
    ("host-models", "Models: speed against the usual"): (Rule("ModelSlow"),),
    ("host-models", "Models: first token against the usual"): (Rule("ModelFirstTokenSlow"),),
    ("jobs", "Overdue"): (One(),),
    ("jobs", "Failed in 24 h"): (One(),),
    ("jobs", "Missed in 24 h"): (One(),),
    ("jobs", "Age of the last success"): (One(),),
    ("jobs", "Running over time"): (One(),),
    ("overview", "Health score"): (Rule("HealthScoreCritical"), Rule("HealthScoreLow")),
    ("overview", "Performance score"): (Rule("PerformanceScoreCritical"), Rule("PerformanceScoreLow")),
    ("overview", "Security score"): (Rule("SecurityScoreLow"),),
    ("overview", "Critical alerts"): (One(),),
    ("overview", "Problems that stand"): (One(),),
    ("overview", "Agents up"): (One(),),
    ("overview", "Agents in quarantine"): (Count("AgentQuarantined"),),
    ("overview", "Checks that fail"): (Count("CheckDown"),),
    ("overview", "Failed runs, 24 h"): (One(),),
    ("overview", "Backup success ratio"): (Rule("BackupSuccessLow"),),
    ("overview", "Agents over time"): (Rule("AgentDown"),),
    ("overview", "Agent response time"): (Rule("AgentSlow"),),
    ("overview", "Checks over time"): (Rule("CheckDown"),),
    ("overview", "Age of the last success"): (One(),),
    ("overview", "Time until a disk is full"): (Rule("DiskFullSoon"),),
    ("overview", "Certificates: time left"): (Rule("CertificateExpiryImminent"), Rule("CertificateExpiring")),
    ("overview", "Logs above the limit"): (One(),),
    ("overview", "Exporter: connections"): (One(),),
    ("performance", "Performance score"): (Rule("PerformanceScoreCritical"), Rule("PerformanceScoreLow")),
    ("performance", "Performance: known of the last day"): (Rule("PerformanceHistoryIncomplete"),),
    ("performance", "Agents: p95 against the day before"): (Rule("AgentResponseDegraded"),),
    ("security", "Security score"): (Rule("SecurityScoreLow"),),
    ("security", "Critical findings"): (One(),),
    ("security", "High findings"): (One(),),
    ("security", "Medium findings"): (One(),),
    ("security", "New findings"): (One(),),
    ("security", "Scanners that do not work"): (Count("ScannerFailing"),),
    ("security", "Scanners over time"): (Rule("ScannerFailing"),),
    ("security", "Score over time"): (Rule("SecurityScoreLow"),),
    ("security", "Since each scanner was through"): (Rule("ScannerStale"),),
    ("security", "Age of databases"): (Rule("ScannerDatabaseStale"),),
    ("security", "Time since the last scan"): (Stale("security-scan"),),
}

Figure = frozenset[tuple[str, timedelta]]
"""What is looked at: each selector's metric with its fixed matchers, and how far it looks back where that is far."""

_FAR = timedelta(hours=1)
"""A shorter look back only bridges what is missing or smooths what jumps."""


@dataclass(frozen=True)
class Limit:
    """What a rule compares with, in which direction, and the figure that it compares.

    `is_number` is false where the value is a multiple of something else.
    """

    op: str
    value: float
    is_number: bool
    figure: Figure

    @property
    def step(self) -> float:
        """Where the well and the unwell part on a scale: a state of 0 or 1, and a count of none, do so at 1."""
        return 1.0 if (self.op, self.value) in ((">", 0.0), ("==", 1.0), ("==", 0.0)) else self.value

    @property
    def is_bad_below(self) -> bool:
        """Whether it is what lies below the limit that the rule tells of."""
        return self.op.startswith("<") or (self.op, self.value) == ("==", 0.0)


def limits(expression: str) -> list[Limit]:
    """Every comparison of an expression with a number, or with the multiple or fraction of something, in its order."""
    found: list[Limit] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.BinaryExpr) and str(node.op) in ("<", "<=", ">", ">=", "=="):
            number, factor = _number(node.rhs), _factor(node.rhs)
            value = number if number is not None else factor
            if value is not None:
                found.append(Limit(str(node.op), value, number is not None, figure(node.lhs)))

    promql.walk(promql.parse(expression), visit)
    return found


def figure(node: promql.Expr) -> Figure:
    """What an expression looks at, whatever it makes of it; variables do not matter."""
    return frozenset(_figures(node, timedelta()))


def _figures(node: promql.Expr, back: timedelta) -> Iterator[tuple[str, timedelta]]:
    if isinstance(node, promql.VectorSelector):
        fixed = sorted(f"{m.name}={m.value}" for m in node.matchers.matchers if not m.value.startswith("$"))
        yield f"{node.name} {' '.join(fixed)}".strip(), back
    elif isinstance(node, promql.MatrixSelector):
        yield from _figures(node.vector_selector, node.range if node.range >= _FAR else back)
    elif isinstance(node, promql.BinaryExpr):
        yield from _figures(node.lhs, back)
        yield from _figures(node.rhs, back)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from _figures(argument, back)
    elif isinstance(node, promql.AggregateExpr | promql.ParenExpr | promql.SubqueryExpr | promql.UnaryExpr):
        yield from _figures(node.expr, back)


def _number(node: promql.Expr) -> float | None:
    """The number that an expression of numbers comes to; None where it is not one of numbers alone."""
    if isinstance(node, promql.NumberLiteral):
        return float(node.val)
    if isinstance(node, promql.ParenExpr):
        return _number(node.expr)
    if isinstance(node, promql.BinaryExpr):
        left, right, op = _number(node.lhs), _number(node.rhs), str(node.op)
        if left is not None and right is not None and op in "+-*/":
            return {"+": left + right, "-": left - right, "*": left * right, "/": left / (right or 1)}[op]
    return None


def _factor(node: promql.Expr) -> float | None:
    """How many times the rest of an expression: 2 of `2 * x`, a third of `x / 3`."""
    if isinstance(node, promql.ParenExpr):
        return _factor(node.expr)
    if not isinstance(node, promql.BinaryExpr):
        return None
    left, right = _number(node.lhs), _number(node.rhs)
    if str(node.op) == "*":
        return left if left is not None else right
    return 1 / right if str(node.op) == "/" and right else None

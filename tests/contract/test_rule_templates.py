"""Limits have one place: rules take them from the settings, and have no numbers of their own without a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from exporter.rules.rendering import rendered
from exporter.rules.settings import AlertSettings
from exporter.settings import leaf_fields, settings_model
from tests.contract.rule_files import ROOT, RULE_FILES, RUNBOOKS
from tests.contract.rule_templates import Template, templates

TEMPLATES = templates()
ALERTS = [template for template in TEMPLATES if ":" not in template.name]

EVERYWHERE: Mapping[str, str] = {
    "0": "nothing, or a flag that is down",
    "1": "a flag that is up, or a state of a set",
    "[10m]": "outlives a failed scrape; no limit of what is measured",
    "[5m]": "the same for series that vanish with what they count",
    "86400": "seconds of a day",
    "3600": "seconds of an hour",
    "1024": "bytes and kibibytes",
    "says 100": "100 % or 100 points",
    "says two": "`two days`, `two looks` of a window that stands in the same rule",
    "says twice": "two looks, as its `for` has it",
}
"""Numbers that are no limits, wherever they stand."""

BRIEF_HOLDS = frozenset({"for 2m", "for 5m", "for 10m", "for 15m"})
STEADY = frozenset({
    "AgentSlow", "BackupMissing", "BackupShrunk", "BackupStorageLow", "BackupTooOld", "CertificateExpiryImminent",
    "CertificateInvalid", "ConfigReloadFailed", "DatabaseMaintenanceFailing", "DatabaseMaintenanceMissing",
    "DockerEventsLost", "HostDiskPressure", "HostMemoryPressure", "LogArchivingFails", "LogFilesSkipped",
    "LogGrowth", "NotificationsDelayed", "PerformanceHistoryFull", "PostgresMaintenancePostponed", "RedisEvicting",
    "ScannerDatabaseStale", "ScannerFailing", "ScannerStale", "SecurityScoreLow", "SeriesDropped", "StoreDown",
    "TaskFailing", "TaskStale", "TaskStuck", "TextfileUnreadable", "WebConfigReloadFailed",
})  # fmt: skip
"""What they ask for stands still between two runs, covers a longer time itself, or comes with every scrape: a brief
hold only lets a reload, a restart or a scrape that was cut short pass."""

OWN: Mapping[str, Mapping[str, str]] = {
    "AgentPaused": {"for 1h": "a person paused it, and is reminded; nothing is measured"},
    "AgentRestarting": {
        "[6h]": "alerts.agent_restarts counts those of six hours",
        "asked 0.5": "increase() guesses between scrapes",
        "says six": "the window",
    },
    "AgentSlow": {"[15m]": "alerts.agent_slow_seconds is an average of 15 minutes", "says 15": "the window"},
    "AgentResponseDegraded": {
        "2": "twice as slow as the day before",
        "0.5": "below half a second nobody notices",
        "offset 1d": "the day before",
        "for 1h": "a percentile of a day moves slowly",
        "says twenty": "the 95th percentile",
        "says half": "twice as slow, the other way round",
    },
    "AlertIntakeRefused": {"[15m]": "how long it goes on after the last one", "says 15": "the window"},
    "BackupShrunk": {"[2d]": "what was meant resolves by itself", "1e6": "of less than 1 MB nothing follows"},
    "CertificateExpiring": {"3": "a third of a short life, as jobs.core.certificates.renewal_time has it"},
    "CertificateExpiryImminent": {"6": "half of what renewal_time leaves of a short life"},
    "CheckVanished": {"[1d]": "seen within the last day"},
    "ContainerRestarting": {"[1h]": "alerts.container_restarts counts those of an hour"},
    "ContainersWithoutLogLimit": {"for 1d": "no emergency, and containers come and go"},
    "DatabaseMaintenanceMissing": {"2": "two rounds missed, as exporter.plan has it for tasks"},
    "ExporterRestarting": {"[1h]": "a loop of restarts is many in an hour", "3": "more than a person makes"},
    "HostDiskPressure": {"[30m]": "alerts.disk_pressure_percent is of 30 minutes", "says half": "the window"},
    "HostMemoryPressure": {"[15m]": "alerts.memory_pressure_percent is of 15 minutes", "says quarter": "the window"},
    "IndexInvalid": {"for 1h": "an index may be rebuilt by hand"},
    "PerformanceHistoryIncomplete": {
        "0.5": "half of a day: a report on it compares little",
        "offset 1d": "a new installation has no day yet",
        "for 1h": "coverage of a day moves slowly",
    },
    "PostgresBloatHigh": {"for 30m": "VACUUM may be at it"},
    "PostgresCacheHitLow": {
        "[1h]": "a share of reads needs many of them",
        "360000": "below 100 reads a second nobody minds a miss",
        "for 1h": "a cache warms up",
    },
    "PostgresDeadRows": {"for 3h": "a large table takes autovacuum so long", "says three": "the hold"},
    "PostgresDeadlocks": {"[1h]": "alerts.postgres_deadlocks counts those of an hour"},
    "PostgresFreezingLate": {"for 1h": "a large table takes its time"},
    "PostgresMaintenancePostponed": {"[2m]": "was it known then"},
    "RedisEvicting": {"[1h]": "the rate of a counter needs a while"},
    "RedisNotPersisting": {"asked 2": "twice its age is a warning, as jobs.databases.redis_judgement has it"},
    "RedisRejectingConnections": {"[1h]": "the rate of a counter needs a while"},
    "RemediationFailed": {"[1h]": "how long it goes on after the last one"},
    "RemediationPostponed": {"for 2h": "budgets are of one hour"},
    "RemediationRefused": {"[1h]": "how long it goes on after the last one"},
    "RestoreDrillSlow": {"0.8": "close to a limit that is exported"},
    "TaskFailing": {"[2d]": "failures that have not grown old", "offset 2d": "the same"},
    "TaskMissed": {"[6h]": "how long it goes on after the last one", "[2d]": "a counter's last value",
                   "offset 6h": "the same", "says six": "the window"},
    "TaskStale": {"2": "two intervals, as exporter.plan has it"},
    "TaskStuck": {"60": "a minute to be killed in"},
    "task:sutazai_success_age:ratio": {"2": "as in TaskStale"},
    "task:sutazai_task_duration_seconds:avg_6h": {"[6h]": "its name says so"},
    "task:sutazai_task_duration_seconds:p95_6h": {"[6h]": "its name says so", "0.95": "its name says so"},
}  # fmt: skip
"""Numbers of an alert's own, each with the reason why nobody would set it."""

every_template = pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: str(template.name))
every_alert = pytest.mark.parametrize("template", ALERTS, ids=lambda template: str(template.name))


def test_the_bundled_files_are_what_the_defaults_give() -> None:
    expected = rendered(settings_model()())
    assert {path.name: path.read_text() for path in RULE_FILES} == expected, "run `make rules`"


@every_template
def test_a_rule_has_no_limit_of_its_own(template: Template) -> None:
    holds = BRIEF_HOLDS if template.name in STEADY else frozenset()
    assert template.bare - EVERYWHERE.keys() - holds == OWN.get(template.name, {}).keys()


def test_no_exception_outlives_its_rule() -> None:
    assert STEADY | OWN.keys() <= {template.name for template in TEMPLATES}
    assert {name for name in STEADY if not any(t.name == name and t.bare & BRIEF_HOLDS for t in TEMPLATES)} == set()


def test_every_setting_of_alerts_is_asked_for_and_every_setting_that_is_asked_for_exists() -> None:
    asked = frozenset().union(*(template.settings for template in TEMPLATES))
    assert {f"alerts.{name}" for name in AlertSettings.model_fields} <= asked
    assert asked <= {".".join(path) for path, _ in leaf_fields()}


@every_alert
def test_a_page_names_the_settings_that_its_alert_goes_by(template: Template) -> None:
    page = (RUNBOOKS / f"{template.name}.md").read_text()
    assert {name for name in template.settings if f"`{name}`" not in page} == set()


def test_a_page_names_no_setting_that_does_not_exist() -> None:
    settings = {".".join(path) for path, _ in leaf_fields()}
    for path in [*RUNBOOKS.glob("*.md"), ROOT / "docs" / "alert-rules.md"]:
        named = re.findall(
            r"`((?:alerts|thresholds|certificate|remediation|notifications|web|agents|jobs)\.[a-z_.]+)`",
            path.read_text(),
        )
        sections = [name for name in named if any(setting.startswith(f"{name}.") for setting in settings)]
        assert set(named) - settings - set(sections) == set(), path.name

"""The alert rules and the command that writes them."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import annotated_types
import pytest
import yaml

from exporter.rules.durations import duration, spoken
from exporter.rules.rendering import in_one, rendered
from exporter.rules.settings import AlertSettings
from exporter.settings import leaf_fields, settings_model
from tests.contract.rule_templates import templates
from tests.services.binaries import need
from tests.services.exporter_daemon import command_line, environment_of

Run = Callable[..., subprocess.CompletedProcess[str]]

DEFAULTS = rendered(settings_model()())
FIELDS = dict(leaf_fields())


def with_settings(changes: dict[str, Any]) -> dict[str, str]:
    """The rule files with these settings (`alerts.low_score`) instead of their defaults."""
    document: dict[str, Any] = {}
    for path, value in changes.items():
        *above, name = path.split(".")
        section = document
        for key in above:
            section = section.setdefault(key, {})
        section[name] = value
    return rendered(settings_model().model_validate(document))


def alert(files: dict[str, str], name: str) -> dict[str, Any]:
    """An alert of these rule files."""
    rules = [rule for text in files.values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    found: dict[str, Any] = next(rule for rule in rules if rule.get("alert") == name)
    return found


def check(*files: Path) -> None:
    """Have promtool check rule files."""
    command = [need("promtool", package="prometheus"), "check", "rules", "--lint-fatal", *map(str, files)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


# --- rendering ---


@pytest.mark.parametrize(
    ("seconds", "written", "said"),
    [
        (360, "6m", "6 minutes"),
        (93600, "26h", "26 hours"),
        (4200, "70m", "70 minutes"),
        (86400, "1d", "1 day"),
        (172800.0, "2d", "2 days"),
        (61, "61s", "61 seconds"),
        (1, "1s", "1 second"),
        (1.5, "1500ms", "1.5 seconds"),
        (0.0001, "1ms", "0.0001 seconds"),
        (0, "0s", "0 seconds"),
    ],
)
def test_a_duration_is_written_in_the_largest_unit_that_is_whole(seconds: float, written: str, said: str) -> None:
    assert (duration(seconds), spoken(seconds)) == (written, said)


@pytest.mark.parametrize("path", sorted(frozenset().union(*(template.settings for template in templates()))))
def test_every_setting_that_rules_go_by_changes_them(path: str) -> None:
    default = FIELDS[tuple(path.split("."))].get_default()
    changed = {None: 61}.get(default) or (default - 1 if isinstance(default, int) and default > 1 else default * 0.9)
    assert with_settings({path: changed}) != DEFAULTS


def test_a_text_says_the_limit_that_its_alert_has() -> None:
    slow = alert(with_settings({"alerts.agent_slow_seconds": 2.5}), "AgentSlow")
    assert slow["expr"].endswith("> 2.5")
    assert "the limit is 2.5 s" in slow["annotations"]["description"]


def test_two_checks_take_longer_where_a_task_runs_less_often() -> None:
    rarely = with_settings({"jobs.agent_monitor.schedule": ["every 20 minutes"]})
    assert alert(DEFAULTS, "AgentDown")["for"] == "6m"
    assert alert(rarely, "AgentDown")["for"] == "21m"
    assert "for 21 minutes" in alert(rarely, "AgentDown")["annotations"]["description"]
    told = with_settings({"jobs.agent_monitor.schedule": ["every 20 minutes"], "alerts.agent_down_seconds": 30})
    assert alert(told, "AgentDown")["for"] == "30s"


def test_a_backup_is_late_by_the_rhythm_of_backups() -> None:
    weekly = with_settings({"jobs.database_maintenance.schedule": ["every 5 minutes: statistics", "sunday at 03:00"]})
    late = alert(weekly, "BackupMissing")
    assert late["expr"].endswith(f"> {7 * 86400 + 2 * 3600}")
    assert "is made sunday at 03:00" in late["annotations"]["description"]


def test_a_task_without_a_schedule_of_its_mode_has_the_rhythm_that_it_would_have() -> None:
    only = with_settings({"jobs.security_scan.schedule": ["daily at 01:00: standard"]})
    assert alert(only, "ScannerStale")["expr"] == alert(DEFAULTS, "ScannerStale")["expr"]


def test_a_certificate_is_not_imminent_before_it_is_due() -> None:
    late = alert(with_settings({"certificate.renewal_threshold_days": 2}), "CertificateExpiryImminent")
    assert "< 2 * 86400" in late["expr"]


def _limit(path: tuple[str, ...], kind: type, least: bool) -> float:
    bounds = [one for one in FIELDS[path].metadata if isinstance(one, kind)]
    if bounds:
        return float(bounds[0].gt) + 1e-3 if isinstance(bounds[0], annotated_types.Gt) else float(_bound(bounds[0]))
    # An optional setting has its bounds inside.
    return 0.001 if least else 86400.0


def _bound(one: Any) -> float:
    return float(one.ge if isinstance(one, annotated_types.Ge) else one.le)


@pytest.mark.parametrize("least", [True, False])
def test_prometheus_accepts_the_rules_of_the_least_and_of_the_greatest_limits(tmp_path: Path, least: bool) -> None:
    kind: Any = annotated_types.Ge | annotated_types.Gt if least else annotated_types.Le
    limits = {f"alerts.{name}": _limit(("alerts", name), kind, least) for name in AlertSettings.model_fields}
    whole = {name: int(value) if value == int(value) else value for name, value in limits.items()}
    for name, text in with_settings(whole).items():
        (tmp_path / name).write_text(text)
    check(*tmp_path.iterdir())


def test_scores_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match=r"critical_score: 80 is above low_score \(75\)"):
        AlertSettings(critical_score=80)


# --- the command ---


def states(said: str, directory: Path) -> dict[str, str]:
    """What was said to have become of each file."""
    lines = (line.split(": ", 1) for line in said.splitlines())
    return {Path(path.split(" (")[0]).relative_to(directory).as_posix(): state for state, path in lines}


def test_the_files_are_written_for_everybody_to_read_and_a_second_time_left_alone(
    run_here: Run, tmp_path: Path
) -> None:
    rules = tmp_path / "etc" / "rules"
    first = run_here("rules", "--output", str(rules))
    assert first.returncode == 0, first.stderr
    assert states(first.stdout, rules) == dict.fromkeys(DEFAULTS, "made")
    assert {path.name: path.read_text() for path in rules.iterdir()} == DEFAULTS
    assert {stat.S_IMODE(path.stat().st_mode) for path in rules.iterdir()} == {0o644}
    before = {path: path.stat().st_ino for path in rules.iterdir()}
    second = run_here("rules", "--output", str(rules))
    assert states(second.stdout, rules) == dict.fromkeys(DEFAULTS, "unchanged")
    assert {path: path.stat().st_ino for path in rules.iterdir()} == before


def test_only_what_differs_is_written_and_only_under_our_own_names(run_here: Run, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    run_here("rules", "--output", str(rules))
    (rules / "mine.rules.yml").write_text("groups: []\n")
    (rules / "sutazai-old.rules.yml").write_text("groups: []\n")
    (rules / "sutazai-logs.rules.yml").chmod(0o600)
    (rules / "sutazai-redis.rules.yml").unlink()
    said = run_here("rules", "--output", str(rules), env={"SUTAZAI_ALERTS__AGENT_SLOW_SECONDS": "9"})
    told = states(said.stdout, rules)
    assert {name: state for name, state in told.items() if state != "unchanged"} == {
        "sutazai-agents.rules.yml": "changed",
        "sutazai-logs.rules.yml": "changed",
        "sutazai-redis.rules.yml": "made",
        "sutazai-old.rules.yml": "left alone",
    }
    assert "> 9\n" in (rules / "sutazai-agents.rules.yml").read_text()
    assert (rules / "mine.rules.yml").read_text() == (rules / "sutazai-old.rules.yml").read_text() == "groups: []\n"
    assert stat.S_IMODE((rules / "sutazai-logs.rules.yml").stat().st_mode) == 0o644


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_here: Run, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    said = run_here("rules", "--output", str(rules), "--dry-run")
    assert states(said.stdout, rules) == dict.fromkeys(DEFAULTS, "would be made")
    assert not rules.exists()


def test_a_link_is_replaced_and_what_it_leads_to_is_not_written_to(run_here: Run, tmp_path: Path) -> None:
    rules, elsewhere = tmp_path / "rules", tmp_path / "elsewhere"
    rules.mkdir()
    elsewhere.write_text("of somebody else")
    (rules / "sutazai-agents.rules.yml").symlink_to(elsewhere)
    assert states(run_here("rules", "--output", str(rules)).stdout, rules)["sutazai-agents.rules.yml"] == "changed"
    assert elsewhere.read_text() == "of somebody else"
    assert not (rules / "sutazai-agents.rules.yml").is_symlink()


def test_without_a_directory_all_rules_are_printed_as_one_file(run_here: Run, tmp_path: Path) -> None:
    said = run_here("rules")
    assert said.stdout == in_one(DEFAULTS)
    (tmp_path / "all.rules.yml").write_text(said.stdout)
    check(tmp_path / "all.rules.yml")
    groups = [group for text in DEFAULTS.values() for group in yaml.safe_load(text)["groups"]]
    assert yaml.safe_load(said.stdout)["groups"] == groups


def test_a_reader_that_leaves_does_not_leave_half_of_the_files(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    rules = tmp_path / "rules"
    (tmp_path / "base").mkdir()
    command = command_line("rules", "--output", str(rules))
    subprocess.run(command, env=environment_of(tmp_path / "base"), stdout=writing, timeout=120, check=False)
    os.close(writing)
    assert {path.name for path in rules.iterdir()} == DEFAULTS.keys()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--dry-run"], 64, "it needs --output DIR"),
        (["--table", "--output", "{0}/rules"], 64, "leave out --output"),
        (["--output", "{0}/file"], 69, "{0}/file/sutazai-agents.rules.yml: cannot be written: Not a directory"),
        (["--output", "{0}/rules", "--config.file", "{0}/wrong.yml"], 78, "alerts.low_score"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(
    run_here: Run, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "wrong.yml").write_text("alerts: {low_score: 101}\n")
    said = run_here("rules", *(argument.format(tmp_path) for argument in arguments))
    assert said.returncode == code
    assert len(said.stderr.splitlines()) == 1
    assert says.format(tmp_path) in said.stderr
    assert not (tmp_path / "rules").exists()

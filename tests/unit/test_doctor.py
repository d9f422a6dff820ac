"""The doctor itself: no client and no setting is forgotten, nothing hangs it, and what it tells is told in one way."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from exporter import app
from exporter.cli import commands as command_line
from exporter.commandline.doctor_screen import print_entries, sentence
from exporter.doctor import itself, places, serving
from exporter.doctor.checks import CHECKS
from exporter.doctor.diagnosis import Check, Diagnosis, Patient, State, broken, good, missing, not_configured, unknown
from exporter.doctor.examination import MAX_TEXT, Entry, examine, patient_of
from exporter.locks import FileLock
from exporter.settings import leaf_fields
from jobs.clients.clock_marks import ClockMarks
from tests.services.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = {path.stem for path in (ROOT / "jobs" / "clients").glob("*.py")} - {"__init__"}

KNOWN_BY_ANOTHER = {
    "docker_events": "docker", "doors": "postgres", "ollama_probe": "ollama", "pg_dump": "pg_programs",
    "pg_load": "pg_programs", "pg_scratch": "postgres", "postgres_access": "postgres", "postgres_content": "postgres",
    "postgres_statistics": "postgres", "postgres_tables": "postgres", "redis_snapshot": "redis", "tls_hello": "tls",
    "docker_api": "docker", "docker_exec": "docker", "http_exchange": "http", "names": "http", "tls_wire": "tls",
    "postgres_session": "postgres", "redis_session": "redis", "redis_wire": "redis",
}  # fmt: skip
"""Clients of a service that another client is asked about."""
OF_THE_KERNEL = {
    *("discovery", "errors", "file_search", "host", "host_figures", "kernel", "mode_walk", "open_files", "root_runs"),
    *("secret_search", "sockets", "tree", "walk"),
}
"""Clients that read this host's own files: there is nothing that could be missing."""
NOTHING_OUTSIDE = (
    *("thresholds", "log", "runs", "reports", "alerts", "remediation"),
    *("notifications.min_severity", "notifications.reminder_hours", "notifications.quiet_hours"),
    *("notifications.separate", "notifications.give_up_hours", "notifications.run_seconds"),
    *("jobs.health_check", "jobs.performance_report", "jobs.security_scan"),
)
"""Settings that say how much and when, and name nothing that could be absent (paths have a check of their own)."""


def patient(base: Path, **environment: str) -> Patient:
    """A base directory with nothing set but itself and its variables."""
    made = patient_of(None, 15)
    clients = replace(made.clients, world=made.clients.world.model_copy(update={"base_dir": base}))
    return replace(made, clients=clients, environment=environment, root=base / "root")


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUTAZAI_BASE_DIR", str(tmp_path))
    return tmp_path


def test_every_client_is_asked_about() -> None:
    asked = {name for check in CHECKS for name in check.clients}
    assert asked <= CLIENTS
    assert set(KNOWN_BY_ANOTHER.values()) <= asked
    assert CLIENTS - asked - KNOWN_BY_ANOTHER.keys() - OF_THE_KERNEL == set()


def test_every_setting_is_covered() -> None:
    covered = (*(section for check in CHECKS for section in check.settings), *NOTHING_OUTSIDE)
    paths = [".".join(path) for path, _ in leaf_fields()]
    assert [path for path in paths if not any(f"{path}.".startswith(f"{section}.") for section in covered)] == []
    assert [section for section in covered if not any(f"{path}.".startswith(f"{section}.") for path in paths)] == []


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module of this project imports, at its top or inside."""
    path = ROOT / Path(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        return frozenset()
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom | ast.Import)]
    found = {name for node in nodes if isinstance(node, ast.Import) for name in [alias.name for alias in node.names]}
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in found if name.startswith(("exporter.", "jobs.")))


def reached_from(module: str) -> set[str]:
    reached, waiting = set[str](), [module]
    while waiting:
        one = waiting.pop()
        if one not in reached:
            reached.add(one)
            waiting += imports_of(one)
    return reached


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_reaches_the_clients_that_it_claims(check: Check) -> None:
    module = inspect.getmodule(check.split or check.look)
    assert module is not None
    own = {"jobs.clients", *imports_of("jobs.clients.__init__")}  # `Clients` leads to each of its services
    assert {f"jobs.clients.{name}" for name in check.clients} <= reached_from(module.__name__) | own


def test_every_check_is_documented() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    rows = [line.partition("|")[2].partition("|")[0] for line in page.splitlines() if line.startswith("| `")]
    named = {name.partition(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {check.name for check in CHECKS}


def test_names_are_distinct_and_can_be_typed() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalpha() for name in names)
    assert "doctor" in command_line.list_commands(None)  # type: ignore[attr-defined, arg-type]


# Making them


def told(checks: list[Check], seconds: float = 20) -> list[Entry]:
    return examine(patient_of(None, seconds), checks, seconds, time.monotonic)


def test_one_that_hangs_hides_no_other(base: Path) -> None:
    never = threading.Event()

    def hang(patient: Patient) -> Iterator[Diagnosis]:
        never.wait(300)
        yield good("at last")

    entries = told([Check("slow", hang), Check("quick", lambda patient: [good("here")])], seconds=3)
    never.set()
    assert [(entry.name, entry.state) for entry in entries] == [("slow", State.UNKNOWN), ("quick", State.GOOD)]
    assert "no answer within 3 s" in entries[0].detail


def test_programs_of_a_check_that_hangs_end_with_it(base: Path) -> None:
    from jobs.clients import commands

    started: list[int] = []

    def run(patient: Patient) -> Iterator[Diagnosis]:
        with commands.Child(["sleep", "300"], timeout_seconds=200) as child:
            started.append(child.pid)
            child.wait()
        yield good("")

    assert told([Check("slow", run)], seconds=3)[0].state is State.UNKNOWN
    wait_for(lambda: not Path(f"/proc/{started[0]}/exe").exists(), 30, "the program is gone")


def test_a_check_that_cannot_be_made_is_unknown(base: Path) -> None:
    def fail(patient: Patient) -> Iterator[Diagnosis]:
        yield good("so far")
        raise PermissionError(13, "Permission denied", "/root/x")

    [entry] = told([Check("torn", fail)])
    assert (entry.state, "/root/x: Permission denied" in entry.detail, entry.to_do) == (State.UNKNOWN, True, True)


def test_secrets_and_control_characters_are_not_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_REDIS__PASSWORD", "hunter2hunter2")
    leaky = broken("x hunter2hunter2\x1b[31m\nsecond", "try postgresql://u:hunter3@h", "hunter2hunter2")
    told_all = [leaky, good("y" * 5000)]
    first, second = told([Check("leaky", lambda patient: told_all)])
    assert "hunter" not in f"{first}"
    assert "\x1b" not in first.detail
    assert "\n" not in first.detail
    assert len(second.detail) <= MAX_TEXT


def test_a_wrong_configuration_is_told_line_by_line_and_the_rest_waits(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTAZAI_WEB__LISTEN_ADDRESS", "nowhere")
    monkeypatch.setenv("SUTAZAI_NONSENSE", "1")
    entries = told(list(CHECKS))
    broken_ones = [entry for entry in entries if entry.state is State.BROKEN]
    assert [entry.name for entry in broken_ones] == ["configuration", "configuration"]
    assert [entry.state for entry in entries if entry.name == "everything else"] == [State.UNKNOWN]
    assert any(entry.name == "python" for entry in entries)


# Telling


ENTRIES = [
    Entry("b", State.BROKEN, "it [red]burns[/]", "put it out"),
    Entry("g", State.GOOD, "fine", ""),
    Entry("m", State.MISSING, "gone", "fetch it"),
    Entry("n", State.NOT_CONFIGURED, "nobody wants it", ""),
]


def test_the_worst_is_told_last_and_one_sentence_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_entries(ENTRIES, as_json=False)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines[1:-1]] == ["g", "n", "m", "b"]
    assert "it [red]burns[/] → put it out" in lines[-2]
    assert lines[-1] == "2 things to do (1 broken, 1 missing, 1 not configured, 1 good); begin with b."
    assert sentence(ENTRIES[1:2]) == "Nothing to do: 1 good."


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    print_entries(ENTRIES, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["to_do"] == 2
    assert [one["name"] for one in document["checks"]] == ["b", "g", "m", "n"]
    assert document["checks"][0] == {
        "name": "b", "state": "broken", "detail": "it [red]burns[/]", "remedy": "put it out", "to_do": True,
    }  # fmt: skip


# Single checks, where no service is needed


def states(found: Iterator[Diagnosis]) -> dict[str, State]:
    return {one.about: one.state for one in found}


def test_what_starts_the_tasks_is_found_and_twice_is_told(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(base))  # whoever runs this has a crontab of their own
    monkeypatch.setattr("exporter.doctor.serving.commands.find", lambda name: name)
    found = patient(base, HOME=str(base / "home"))
    assert states(serving.schedule(found)) == {"": State.NOT_CONFIGURED}
    cron = base / "root" / "etc" / "cron.d"
    cron.mkdir(parents=True)
    (cron / "sutazai").write_text("# sutazai-exporter is not run\n0 6 * * * root sutazai-exporter run health-check\n")
    (cron / "other").write_text("# sutazai\n")
    [entry] = serving.schedule(found)
    assert (entry.state, entry.detail) == (State.GOOD, "cron: /etc/cron.d/sutazai")
    spool = base / "root" / "var" / "spool" / "cron" / "crontabs"
    spool.mkdir(parents=True)
    (spool / "robot").write_text("0 6 * * * sutazai-exporter run health-check\n")
    [entry] = serving.schedule(found)
    assert entry.detail == "cron: /etc/cron.d/sutazai, /var/spool/cron/crontabs/robot"
    units = base / "home" / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "sutazai-health-check.timer").touch()
    (units / "sutazai-health-check.service").touch()
    [entry] = serving.schedule(found)
    assert entry.state is State.BROKEN
    assert "crontabs/robot; systemd has sutazai-health-check.timer" in entry.detail


class _ForTokensAlone(BaseHTTPRequestHandler):
    """Stands for a daemon at an address that is not loopback: there its own machine is one like all others."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/-/ready" else 401)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def test_a_daemon_that_tells_its_metrics_for_a_token_alone_is_well(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _ForTokensAlone) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        monkeypatch.setenv("SUTAZAI_WEB__LISTEN_ADDRESS", f"127.0.0.1:{server.server_port}")
        lock = FileLock(base / app.DAEMON_LOCK, "pid 1")
        try:
            [entry] = serving.daemon(patient(base))
        finally:
            lock.release()
            server.shutdown()
    assert entry.state is State.GOOD
    assert "to nobody without a token" in entry.detail


def test_a_clock_that_was_set_and_a_zone_that_is_none(base: Path) -> None:
    now = patient(base).clients.clock.now()
    ClockMarks(base, uptime=lambda: 0.0, boot_id=lambda: "another").set("log-rotation", now + timedelta(days=365))
    found = states(places.clock(patient(base, TZ="Mars/Olympus")))
    assert found == {"zone": State.BROKEN, "jump": State.BROKEN}


def test_paths_that_are_set_and_not_there(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUTAZAI_NOTIFICATIONS__WEBHOOK__CA_FILE", str(base / "ca.pem"))
    [entry] = itself.paths(patient(base))
    assert (entry.state, entry.about) == (State.MISSING, "notifications.webhook.ca_file")
    (base / "ca.pem").touch()
    assert states(itself.paths(patient(base))) == {"": State.GOOD}


def test_secrets_that_others_may_read_or_nobody_does(base: Path) -> None:
    directory = base / "secrets_secure"
    directory.mkdir(mode=0o755)
    for name, mode in (("redis__password", 0o644), ("postgres_password", 0o600)):
        (directory / name).write_text("x")
        (directory / name).chmod(mode)
    found = {one.about: one.remedy for one in itself.secrets(patient(base)) if one.state is State.BROKEN}
    assert found == {
        "": f"chmod 0700 {directory}",
        "redis__password": f"chmod 0600 {directory}/redis__password",
        "postgres_password": f"mv {directory}/postgres_password {directory}/postgres__password",
    }
    for remedy in found.values():
        assert os.system(remedy) == 0
    assert states(itself.secrets(patient(base))) == {"": State.GOOD}


def test_the_states_in_which_there_is_something_to_do() -> None:
    made = [good("a"), not_configured("b"), unknown("c"), missing("d", "e"), broken("f", "g")]
    assert [Entry("", one.state, "", "").to_do for one in made] == [False, False, True, True, True]

"""The first configuration: it says what was chosen, shows what else there is, and is written whole or not at all."""

from __future__ import annotations

import errno
import json
import re
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config import load
from exporter.init import files, proposals
from exporter.init.answers import Answers, nested
from exporter.init.document import configuration_text
from exporter.init.files import Taken, write_all
from exporter.init.questions import QUESTIONS, Setting
from exporter.settings import is_secret, leaf_fields, settings_model
from jobs.clients.docker import DockerEngine
from jobs.core.containers import Container, PublishedPort, parse_containers
from tests.services.planted import mixed
from tests.services.trees import tree_digest

Run = Callable[..., subprocess.CompletedProcess[str]]
NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
EVERY_QUESTION = [question for group in QUESTIONS for question in group]
[CONTAINER] = parse_containers(
    [{"Id": "0" * 64, "Names": ["/a"], "Image": "a:1", "ImageID": f"sha256:{0:064x}", "State": "running", "Labels": {}}]
)
COMMENTED_SETTING = re.compile(r"^( *)#(\w+:)", re.MULTILINE)

_names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
_ports = st.integers(1, 65535)
_hosts = st.from_regex(r"[a-z]{1,9}", fullmatch=True)
_urls = st.builds(lambda host, port: f"http://{host}:{port}/a?b=%23", _hosts, _ports)
_texts = st.text(min_size=1, max_size=64).filter(lambda text: text.isprintable() or "\x85" in text)
CHOICES: dict[Setting, st.SearchStrategy[Any]] = {
    ("admin_email",): st.builds(lambda name: f"{name}@example.org", _names),
    ("certificate", "domain"): st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,20})", fullmatch=True),
    ("certificate", "organization"): _texts,
    ("web", "listen_address"): st.builds(lambda port: f"[::1]:{port}", _ports),
    ("agents", "listed"): st.lists(
        st.builds(lambda n, p: {"name": n, "port": p}, _names, _ports),
        max_size=3,
        unique_by=lambda agent: agent["name"],
    ),
    ("redis", "url"): st.builds(lambda port: f"redis://h:{port}/0", _ports),
    ("postgres", "dsn"): st.builds(lambda name: f"host='{name}' dbname=a", _names),
    ("ollama", "url"): _urls,
    ("ollama", "canary_model"): _texts,
    ("notifications", "webhook", "url"): _urls,
    ("notifications", "quiet_hours"): st.just(["22:00-07:00"]),
    ("textfile", "directory"): st.builds(lambda name: f"/srv/{name}", _names),
    ("remediation", "mode"): st.sampled_from(["off", "shadow", "approve", "auto"]),
    ("thresholds", "max_disk_percent"): st.floats(1, 100),
    ("jobs", "agent_monitor", "enabled"): st.booleans(),
    ("jobs", "health_check", "schedule"): st.just(["every 10 minutes: light"]),
}
chosen_settings = st.fixed_dictionaries({}, optional=CHOICES)


@settings(max_examples=40)
@given(chosen=chosen_settings)
def test_the_file_gives_the_settings_that_were_chosen_and_defaults_else(
    chosen: dict[Setting, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("base")
    chosen = {("base_dir",): str(base), **chosen}
    file = base / "exporter.yml"
    file.write_text(configuration_text(chosen))
    expected = settings_model().model_validate_json(json.dumps(nested(chosen)), strict=True)
    assert load(file, {}).settings == expected


@settings(max_examples=20)
@given(chosen=chosen_settings)
def test_a_commented_setting_is_its_default(
    chosen: dict[Setting, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("base")
    chosen = {("base_dir",): str(base), **chosen}
    text = configuration_text(chosen)
    file = base / "exporter.yml"
    file.write_text(COMMENTED_SETTING.sub(r"\1\2", text))
    assert load(file, {}).settings == settings_model().model_validate_json(json.dumps(nested(chosen)), strict=True)
    assert len(COMMENTED_SETTING.findall(text)) > 100


def test_every_common_setting_is_shown_with_its_meaning() -> None:
    text = " ".join(configuration_text({}).replace("#", " ").split())
    for path, info in leaf_fields():
        if path[0] in ("postgres", "redis", "notifications", "remediation", "alertmanager", "agents"):
            assert " ".join((info.description or "").split()) in text, path


def test_every_question_is_about_a_setting_that_there_is() -> None:
    fields = dict(leaf_fields())
    flags = [question.flag for question in EVERY_QUESTION]
    assert len(set(flags)) == len(flags)
    for question in EVERY_QUESTION:
        assert question.setting in fields, question.flag
        assert question.needs is None or question.needs in fields
        assert not question.secret or is_secret(fields[question.setting])
        assert question.secret == question.flag.endswith("-file"), "a secret is handed over in a file"


# Writing: all or nothing


def write(base: Path, *, force: bool = False, text: str = "base_dir: /x\n", secret: str = "s3cret") -> Any:
    secrets = {base / "secrets_secure" / "redis__password": secret}
    return write_all(base / "config" / "exporter.yml", text, secrets, base, NOW, force=force)


def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write(base)
    secret = base / "secrets_secure" / "redis__password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert secret.read_text() == "s3cret"


def test_what_is_there_is_kept_without_force_and_beside_the_new_one_with_it(tmp_path: Path) -> None:
    base = tmp_path / "base"
    write(base)
    before = tree_digest(base)
    with pytest.raises(Taken):
        write(base, text="admin_email: a@b.org\n")
    assert tree_digest(base) == before
    done = write(base, text="admin_email: a@b.org\n", force=True)
    assert [(one.changed, one.backup is None) for one in done] == [(False, True), (True, False)]
    assert done[1].backup.read_text() == "base_dir: /x\n"


@pytest.mark.parametrize("step", range(1, 3))
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("there", [False, True])
def test_whatever_interrupts_it_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException, there: bool
) -> None:
    base = tmp_path / "base"
    if there:
        write(base)
    before = tree_digest(tmp_path)
    real, count = files.atomic_write, 0

    def interrupted(path: Path, content: bytes, **options: Any) -> None:
        nonlocal count
        count += 1
        real(path, content, **options)
        if count == step:
            raise error

    monkeypatch.setattr(files, "atomic_write", interrupted)
    with pytest.raises(type(error)):
        write(base, text="admin_email: a@b.org\n", secret="another", force=True)
    assert tree_digest(tmp_path) == before


def test_a_password_in_an_address_makes_all_of_it_a_secret() -> None:
    answers = Answers(Path("/x"))
    dsn = next(question for question in EVERY_QUESTION if question.flag == "--postgres-dsn")
    answers.take(dsn, "postgresql://u:hunter22@h/d")
    assert answers.secrets == {("postgres", "dsn"): "postgresql://u:hunter22@h/d"}
    assert "hunter22" not in json.dumps(answers.document())
    answers.become(Answers(Path("/x")))
    answers.take(dsn, "postgresql://u@h/d")
    assert (answers.settings, answers.secrets) == ({("postgres", "dsn"): "postgresql://u@h/d"}, {})


def test_a_key_in_a_webhooks_url_makes_all_of_it_a_secret() -> None:
    answers = Answers(Path("/x"))
    hook = next(question for question in EVERY_QUESTION if question.flag == "--webhook")
    url = f"https://hooks.example.org/services/T01/{mixed(24)}"
    answers.take(hook, url)
    assert (answers.settings, answers.secrets) == ({}, {hook.setting: url})
    answers.become(Answers(Path("/x")))
    answers.take(hook, "https://hooks.example.org/sutazai")
    assert (answers.settings, answers.secrets) == ({hook.setting: "https://hooks.example.org/sutazai"}, {})


# What is found


def container(name: str, *ports: int, **labels: str) -> Container:
    published = tuple(PublishedPort(private=5432, public=port, protocol="tcp", host="0.0.0.0") for port in ports)
    return replace(CONTAINER, name=name, ports=published, labels=labels)


def test_the_container_of_postgres_is_proposed_where_there_is_one_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*containers: Container) -> Any:
        monkeypatch.setattr(DockerEngine, "containers", lambda engine: list(containers))
        return proposals._docker("unix:///nowhere.sock")

    monkeypatch.setattr(DockerEngine, "version", lambda engine: "28.2")
    assert found(container("sutazai-postgres", 5432))[("postgres", "container")].answer == "sutazai-postgres"
    assert ("postgres", "container") not in found(container("a", 5432), container("b", 5432))
    assert ("postgres", "container") not in found(container("a", 5433))
    agents = found(container("sutazai-agent-orchestrator"), container("x", **{"sutazai.agent": "true"}))
    assert agents[("agents", "listed")].answer == "sutazai-agent-orchestrator:8004"
    assert "1 labelled" in agents[("agents", "listed")].seen


# The command line


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        ([], "no answer to --domain", 64),
        (["--email", "a@b.org"], "--redis-url", 64),
        (["--yes", "--email", "nobody"], "'nobody' is not one mail address", 64),
        (["--yes", "--postgres-dsn", "postgresql://u:hunter22@h/d"], "--postgres-password-file", 64),
        (["--yes", "--postgres-dsn", "what"], "a DSN looks like", 64),
        (["--yes", "--redis-url", "redis://:hunter22@h"], "--redis-password-file", 64),
        (["--yes", "--redis-password-file", "/nonexistent/password"], "No such file", 64),
        (["--yes", "--redis-password-file", "/dev/null"], "is empty", 64),
        (
            ["--yes", "--webhook", "https://h/services/hunter22-0123456789"],
            "notifications__webhook__url (mode 0600)",
            64,
        ),
        (["--yes", "--smtp", "mail.example.org"], "nobody to send to", 64),
        (["--yes", "--smtp", "a:b:c"], "neither a host nor host:port", 64),
        (["--yes", "--smtp", "mail.example.org:0", "--email", "a@b.org"], "0 is below 1", 64),
        (["--yes", "--agents", "one"], "'one' is not name:port", 64),
        (["--yes", "--mode", "maybe"], "'maybe' is not one of", 64),
        (["--yes", "--output", "/proc/nowhere/x.yml"], "cannot be written", 69),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_a_wrong_answer_is_one_line_and_nothing_is_written(
    run_here: Run, tmp_path: Path, arguments: list[str], says: str, code: int
) -> None:
    base = tmp_path / "base"
    done = run_here("init", "--base-dir", str(base), *arguments)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert "hunter22" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not base.exists()


def test_dry_run_and_standard_output_write_nothing(run_here: Run, tmp_path: Path) -> None:
    base, secret = tmp_path / "base", tmp_path / "secret"
    secret.write_text("hunter22\n")
    flags = ["--redis-url", "redis://127.0.0.1:1/0", "--redis-password-file", str(secret), "--yes"]
    dry = run_here("init", "--base-dir", str(base), *flags, "--dry-run")
    assert (dry.returncode, dry.stdout.count("would write: ")) == (0, 2)
    shown = run_here("init", "--base-dir", str(base), *flags, "--output", "-")
    assert shown.returncode == 0
    assert 'url: "redis://127.0.0.1:1/0"' in shown.stdout
    assert "hunter22" not in dry.stdout + shown.stdout + shown.stderr
    assert not base.exists()


def test_the_next_commands_name_a_file_that_is_not_where_it_is_looked_for(run_here: Run, tmp_path: Path) -> None:
    file = tmp_path / "my own.yml"
    made = run_here("init", "--yes", "--output", str(file))
    assert made.stdout.splitlines()[-2:] == [
        f"next: sutazai-exporter doctor --config.file '{file}'",
        f"then: sutazai-exporter serve --config.file '{file}'",
    ]


def test_flags_make_a_configuration_that_the_loader_takes(run_here: Run, tmp_path: Path) -> None:
    base, secret = tmp_path / "base", tmp_path / "secret"
    secret.write_text("hunter22\n")
    flags = {
        "--domain": "ai.example.org", "--listen-address": "127.0.0.1:10999", "--docker-url": "tcp://127.0.0.1:1",
        "--agents": "one:8001,two:8002", "--postgres-dsn": "postgresql://u@127.0.0.1:1/d",
        "--postgres-password-file": str(secret), "--postgres-container": "sutazai-postgres", "--redis-url": "redis://127.0.0.1:1/0",
        "--ollama-url": "http://127.0.0.1:1", "--email": "a@b.org", "--smtp": "127.0.0.1:2525",
        "--smtp-security": "none", "--webhook": "http://127.0.0.1:1/hook", "--webhook-token-file": str(secret),
        "--alertmanager-url": "http://127.0.0.1:1", "--textfile-directory": "/srv/textfile", "--mode": "shadow",
    }  # fmt: skip
    made = run_here("init", *(part for pair in flags.items() for part in pair))
    assert made.returncode == 0, made.stderr
    file = base / "config" / "exporter.yml"
    assert made.stdout.splitlines()[-2:] == [
        "next: sutazai-exporter doctor",
        "then: sutazai-exporter serve",
    ]
    assert "hunter22" not in file.read_text()
    found = load(file, {}).settings
    assert (found.base_dir, found.web.listen_address, found.remediation.mode) == (base, "127.0.0.1:10999", "shadow")
    assert [(agent.name, agent.port) for agent in found.agents.listed or ()] == [("one", 8001), ("two", 8002)]
    assert (found.notifications.mail.port, found.admin_email) == (2525, "a@b.org")
    assert found.postgres.password is not None
    assert found.postgres.password.get_secret_value() == "hunter22"
    checked = run_here("check-config", "--config.file", str(file))
    assert (checked.returncode, "is good" in checked.stdout) == (0, True)

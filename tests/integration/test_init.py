"""`init` as a person meets it, on a terminal: questions, wrong answers, hidden passwords, Ctrl-C."""

from __future__ import annotations

from pathlib import Path

from exporter.config import load
from tests.services.conversation import Conversation
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import command_line, environment_of
from tests.services.redis import RedisServer
from tests.services.terminal import CTRL_C
from tests.services.trees import tree_digest

SILENT = ["--domain", "localhost", "--listen-address", "127.0.0.1:10042", "--docker-url", "unix:///nowhere.sock"]
SILENT += ["--agents", "", "--ollama-url", "http://127.0.0.1:1", "--postgres-dsn", "postgresql://u@127.0.0.1:1/d"]
SILENT += ["--postgres-container", "none"]
SILENT += ["--alertmanager-url", "http://127.0.0.1:1", "--textfile-directory", "/nowhere"]
"""Answers to everything that these tests do not ask for."""


def terminal(base: Path, *arguments: str) -> Conversation:
    return Conversation(command_line("init", *arguments), environment_of(base), base.parent)


def test_a_person_is_asked_until_the_answers_fit(tmp_path: Path, redis_server: RedisServer) -> None:
    base = tmp_path / "base"
    with terminal(base, *SILENT) as person:
        person.answer("Password of PostgreSQL", "")
        person.answer("Redis (", "not a url")
        person.expect("a Redis URL looks like")
        person.answer("Redis (", redis_server.url_without_password)
        person.answer("Password of Redis", redis_server.password or "")
        person.answer("Mail address", "me@example.org")
        person.answer("Mail server", "127.0.0.1:2525")
        person.answer("How it is encrypted", "perhaps")
        person.expect("'perhaps' is none of starttls, tls, none")
        person.answer("How it is encrypted", "none")
        person.answer("Who logs in", "me")
        person.answer("Password of the mail server", "")
        person.expect("username is set without password")
        person.answer("Mail address", "me@example.org")
        person.answer("Mail server", "127.0.0.1:2525")
        person.answer("How it is encrypted", "none")
        person.answer("Who logs in", "")
        person.answer("Webhook", "https://hooks.example.org/services/T01/k7Q0123456789abcdef")
        person.answer("Token of the webhook", "")
        person.answer("Token of Alertmanager", "")
        person.answer("What alerts may bring about", "shadow")
        assert person.wait() == 0, person.shown()
        person.expect("next: sutazai-exporter doctor")
        shown = person.shown()
    file = base / "config" / "exporter.yml"
    assert (redis_server.password or "") not in shown + file.read_text()
    found = load(file, {}).settings
    assert (found.remediation.mode, found.notifications.mail.security) == ("shadow", "none")
    assert found.redis.password is not None
    assert found.redis.password.get_secret_value() == redis_server.password
    assert found.web.listen_address == "127.0.0.1:10042"
    assert "k7Q0123456789abcdef" not in file.read_text()
    hook = found.notifications.webhook.url
    assert hook is not None
    assert hook.get_secret_value() == "https://hooks.example.org/services/T01/k7Q0123456789abcdef"


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    base = tmp_path / "base"
    before = tree_digest(tmp_path)
    with terminal(base, "--redis-url", "redis://127.0.0.1:1/0", *SILENT) as person:
        person.expect("Password of PostgreSQL")
        person.press(CTRL_C)
        assert person.wait() == 130
        assert "Traceback" not in person.shown()
    assert tree_digest(tmp_path) == before


def test_the_end_of_input_leaves_nothing_behind(tmp_path: Path) -> None:
    base = tmp_path / "base"
    with terminal(base, *SILENT) as person:
        person.expect("Password of PostgreSQL")
        person.press(b"\x04")
        assert person.wait() == 130
    assert not base.exists()


def test_what_is_there_already_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "base" / "config" / "exporter.yml"
    file.parent.mkdir(parents=True)
    file.write_text("admin_email: me@example.org\n")
    with terminal(tmp_path / "base") as person:
        assert person.wait() == 69
        assert "is there already" in person.shown()
        assert "Domain" not in person.shown()
    assert file.read_text() == "admin_email: me@example.org\n"


def test_agents_of_the_guide_are_proposed(tmp_path: Path, docker_clean: DockerEngine) -> None:
    docker_clean.run(AGENT_IMAGE, "sutazai-agent-orchestrator", command=["sleep", "600"])
    docker_clean.run(AGENT_IMAGE, "helper", command=["sleep", "600"], labels={"sutazai.agent": "true"})
    with terminal(tmp_path / "base", "--docker-url", docker_clean.url) as person:
        person.answer("Domain", "")
        person.answer("Address to serve on", "")
        person.expect("1 containers with the guide's names; 1 labelled sutazai.agent=true")
        person.expect("[sutazai-agent-orchestrator:8004]")
        person.press(CTRL_C)
        assert person.wait() == 130

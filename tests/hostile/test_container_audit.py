"""The audit of containers on what a hostile container, or an engine that lies, would tell."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.clients.errors import Absent, ClientError
from jobs.core.settings import DockerSettings
from jobs.security.containers.audit import AUDIT
from jobs.security.containers.secrets import KNOWN_TO_ALL, kind_of_secret
from jobs.security.scanner import Look, NothingHere, OutOfTime, Seen
from jobs.security.secret_patterns import RULES, SecretRule
from jobs.security.settings import Settings
from tests.faults.test_docker_faults import INSANE
from tests.services.looks import by_rule, clients_of, look
from tests.services.planted import PLANTED
from tests.services.told_engine import ToldEngine, inspection
from tests.stand_ins import TcpServer, answer

HOSTILE = "</script>\x1b[31m\n\r\u202e\ud800'\"`$(id)" + "x" * 5000
CANARY = "hunter2-canary"
NAMED = "a secret, going by its name"


def audit(engine: ToldEngine, base_dir: Path, **options: Any) -> Seen:
    return look(AUDIT, clients_of(base_dir, docker=DockerSettings(url=engine.url, timeout_seconds=2)), **options)


def test_hostile_texts_become_short_printable_lines(tmp_path: Path) -> None:
    one = inspection(
        1, HOSTILE,
        HostConfig={"CapAdd": [HOSTILE], "Devices": [{"PathOnHost": HOSTILE}], "DeviceCgroupRules": [f"a {HOSTILE}"]},
        Mounts=[{"Type": "bind", "Source": f"/etc/ssh/{HOSTILE}", "RW": True}],
        Config={"Env": [f"{HOSTILE}PASSWORD={CANARY}", HOSTILE, "="], "Image": HOSTILE, "Cmd": [f"--{HOSTILE}"],
                "Labels": {"com.docker.compose.project": HOSTILE, "com.docker.compose.service": HOSTILE}},
    )  # fmt: skip
    with ToldEngine([one]) as engine:
        seen = audit(engine, tmp_path)
    assert seen.scanned == 1
    assert {"added_capability", "host_device", "host_directory_mounted"} < set(by_rule(seen))
    for weakness in seen.weaknesses:
        assert all(text.isprintable() and text.isascii() for text in (weakness.subject, weakness.message))
        assert len(weakness.subject) <= 600
        assert len(weakness.message) <= 1000
        assert CANARY not in json.dumps(vars(weakness))


@pytest.mark.parametrize(
    "change",
    [
        {"HostConfig": [1]}, {"HostConfig": {"CapAdd": "ALL"}}, {"HostConfig": {"Devices": [1]}},
        {"HostConfig": {"PortBindings": {"a/tcp": [{}]}}}, {"HostConfig": {"PortBindings": {"80/tcp": {"HostIp": ""}}}},
        {"HostConfig": {"Memory": "64m"}}, {"Mounts": {"Type": "bind"}}, {"Config": {"Env": [None]}},
        {"Config": {"Healthcheck": {"Test": "CMD"}}}, {"HostConfig": {"LogConfig": {"Config": {"max-size": 10}}}},
    ],
    ids=str,
)  # fmt: skip
def test_one_account_that_is_nonsense_is_told_and_hides_no_other(tmp_path: Path, change: dict[str, Any]) -> None:
    with ToldEngine([inspection(1, **change), inspection(2)]) as engine:
        seen = audit(engine, tmp_path)
    assert seen.scanned == 1
    assert len(seen.missed) == 1
    assert seen.missed[0].startswith("container agent-1: ")
    assert "nonsense" in seen.missed[0]
    assert {weakness.subject for weakness in seen.weaknesses} == {"agent-2"}


def test_a_container_too_big_to_be_told_hides_no_other(tmp_path: Path) -> None:
    big = f"/containers/{1:064x}/json"
    with ToldEngine(
        [inspection(1), inspection(2)], answers={big: lambda: answer(b'{"message": "too big"}', "500 Error")}
    ) as engine:
        seen = audit(engine, tmp_path)
    assert (seen.scanned, len(seen.missed)) == (1, 1)
    assert "container agent-1: " in seen.missed[0]
    assert "answered 500: too big" in seen.missed[0]


def test_a_container_that_is_gone_meanwhile_is_none(tmp_path: Path) -> None:
    gone = f"/containers/{1:064x}/json"
    with ToldEngine([inspection(1)], answers={gone: lambda: answer(b'{"message": "gone"}', "404 Not Found")}) as engine:
        seen = audit(engine, tmp_path)
    assert (seen.scanned, seen.missed, seen.weaknesses) == (0, [], [])


@pytest.mark.parametrize("how", ["silent", "500", "garbage", "endless chunks", "another shape", "deep JSON"])
def test_an_insane_engine_is_an_error_and_never_zero_findings(tmp_path: Path, how: str) -> None:
    """Fault 23."""
    with TcpServer(INSANE[how][0]) as server:
        settings = DockerSettings(url=f"tcp://127.0.0.1:{server.port}", timeout_seconds=1)
        with pytest.raises(ClientError, match=str(server.port)) as raised:
            look(AUDIT, clients_of(tmp_path, docker=settings))
    assert not isinstance(raised.value, Absent)


def test_an_engine_that_breaks_off_ends_the_audit_and_what_it_saw_is_kept(tmp_path: Path) -> None:
    asked = iter([True])

    def version() -> bytes:
        said = json.dumps({"Version": "20.10.24", "ApiVersion": "1.41"}).encode()
        return answer(said) if next(asked, False) else answer(b'{"message": "shutting down"}', "503 Unavailable")

    breaks = f"/containers/{2:064x}/json"
    with ToldEngine(
        [inspection(1), inspection(2), inspection(3)],
        answers={"/version": version, breaks: lambda: b""},
    ) as engine:
        clients = clients_of(tmp_path, docker=DockerSettings(url=engine.url, timeout_seconds=2))
        one = Look(Settings(), clients, full=True, unit="containers", deadline=clients.clock.monotonic() + 60)
        with pytest.raises(ClientError, match="shutting down"):
            AUDIT.scan(one)
    assert one.so_far().scanned == 1
    assert {weakness.subject for weakness in one.so_far().weaknesses} == {"agent-1"}


def test_its_time_is_over(tmp_path: Path) -> None:
    with ToldEngine([inspection(1)]) as engine, pytest.raises(OutOfTime):
        audit(engine, tmp_path, seconds=0)


def test_no_engine_anywhere_is_nothing_to_look_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: False)
    with pytest.raises(NothingHere, match=r"docker.url is not set"):
        look(AUDIT, clients_of(tmp_path))


def test_replicas_are_one_service_as_weak_as_the_worst_of_them(tmp_path: Path) -> None:
    compose = {"Labels": {"com.docker.compose.project": "ai", "com.docker.compose.service": "worker"}}
    swarm = {"Labels": {"com.docker.swarm.service.name": "ai_api"}}
    cap = {"HostConfig": {"CapAdd": ["SYS_ADMIN"]}}
    with ToldEngine(
        [
            *(inspection(n, f"ai-worker-{n}", Config=compose) for n in range(1, 5)),
            inspection(5, "ai-worker-5", Config=compose, **cap),
            inspection(6, "ai-worker-run-012345", Config=compose),
            inspection(7, "by-hand", Config=compose),
            inspection(8, "ai_api.1.abcdef", Config=swarm), inspection(9, "ai_api.2.fedcba", Config=swarm),
            inspection(10, "liar", Config={"Labels": {"com.docker.swarm.service.name": "ai_api"}}),
        ]
    ) as engine:  # fmt: skip
        rules = by_rule(audit(engine, tmp_path))
    assert [weakness.subject for weakness in rules["no_memory_limit"]] == ["ai-worker", "by-hand", "ai_api", "liar"]
    message = rules["no_memory_limit"][0].message
    assert message.startswith("container ai-worker-1, ai-worker-2, ai-worker-3 and 3 more may take all memory")
    assert [weakness.message for weakness in rules["added_capability"]] == [
        "container ai-worker-5 has the capability SYS_ADMIN"
    ]


def test_ten_thousand_containers(tmp_path: Path) -> None:
    """Most of them stopped: each that is looked at costs a millisecond, half of which is this stand-in's."""
    environment = {"Env": [f"VARIABLE_{n}={'x' * 50}" for n in range(20)]}
    states = ["running"] * 1000 + ["exited"] * 9000
    told = [inspection(n, Config=environment, State={"Status": state}) for n, state in enumerate(states)]
    with ToldEngine(told) as engine:
        seen = audit(engine, tmp_path, full=False)
    assert (seen.scanned, seen.missed, seen.details["stopped_containers_left_out"]) == (1000, [], 9000)
    assert len({weakness.subject for weakness in seen.weaknesses}) == 1000


@pytest.mark.parametrize(
    ("options", "root", "privileges"),
    [
        (["name=seccomp,profile=default"], "medium", True),
        (["name=rootless", "name=no-new-privileges"], "low", False),
        (["name=userns"], "low", True),
    ],
    ids=str,
)
def test_what_the_engine_does_for_all_containers_counts(
    tmp_path: Path, options: list[str], root: str, privileges: bool
) -> None:
    info = answer(json.dumps({"SecurityOptions": options}).encode())
    with ToldEngine([inspection(1, Config={"User": ""})], answers={"/info": lambda: info}) as engine:
        rules = by_rule(audit(engine, tmp_path))
    assert rules["root_user"][0].severity == root
    assert ("new_privileges_allowed" in rules) is privileges


def test_a_proxy_that_keeps_the_engine_to_itself_makes_the_audit_strict(tmp_path: Path) -> None:
    refusal = answer(b"no", "403 Forbidden")
    with ToldEngine([inspection(1, Config={"User": ""})], answers={"/info": lambda: refusal}) as engine:
        seen = audit(engine, tmp_path)
    assert (seen.scanned, by_rule(seen)["root_user"][0].severity) == (1, "medium")
    assert "refuses" in seen.details["engine_defaults"]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("PGPASSWORD", CANARY, NAMED), ("dbPassword", CANARY, NAMED),
        ("OPENAI_API_KEY", "not-a-usual-one", NAMED), ("FERNET_KEY", CANARY, NAMED),
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE", ""),
        ("X", f"redis://:{CANARY[:-1]}%40@redis", "a URL with a password"),
        ("X", f"redis://:{CANARY}@redis:6379/0", "a URL with a password"),
        ("REDIS_PASSWORD", "123456", KNOWN_TO_ALL), ("DB_PASS", "P@ssw0rd!", KNOWN_TO_ALL),
        ("JWT_SECRET", "change-me-please", KNOWN_TO_ALL), ("ALLOW_EMPTY_PASSWORD", "maybe", ""),
        ("MYSQL_PWD", "$ecret!", KNOWN_TO_ALL), ("MYSQL_PWD", "$ome-9!x", NAMED),
        ("SESSION_SECRET", "/9j4AAQ+x==", NAMED),
        ("PWD", "/app", ""), ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D", ""), ("BYPASS", "1", ""),
        ("X", "redis://:${PASSWORD}@redis:6379/0", ""), ("X", "https://host/a:b@c", ""), ("API_KEY", "<your key>", ""),
        ("PUBLIC_KEY", "abcdef", ""), ("PASSWORD_HASH_ROUNDS", "12", ""), ("SSH_ASKPASS", "/usr/bin/ask", ""),
    ],
)  # fmt: skip
def test_what_is_a_secret(name: str, value: str, kind: str) -> None:
    assert kind_of_secret(name, value) == kind


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.guess], ids=lambda rule: rule.name)
def test_a_secret_with_a_form_of_its_own_is_known_whatever_its_variable_is_called(rule: SecretRule) -> None:
    kinds = {kind_of_secret("X", text) for text in PLANTED[rule.name]}
    assert kinds == {"a URL with a password" if "url" in rule.name else rule.what}


@pytest.mark.parametrize("piece", ["-eyJaaaaaaaaaa", "-----BEGIN ", "a://", "a://b:", "://:", "_password", "/a", "$("])
def test_no_value_takes_long_to_judge(piece: str) -> None:
    began = time.thread_time()
    kind_of_secret(piece * 100_000, piece * 100_000)
    assert time.thread_time() - began < 2

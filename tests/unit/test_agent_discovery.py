"""Which containers are agents, and where each is asked."""

from __future__ import annotations

import random
from typing import Any

import pytest

from jobs.core.agents.discovery import NO_PORT, agent_of_container, discovered_agents, listed_agents
from jobs.core.containers import Container, PublishedPort, clean
from jobs.core.settings import AGENT_NAME, Agent, AgentsSettings


def container(name: str = "a", **changes: Any) -> Container:
    values: dict[str, Any] = {
        "id": "0" * 64, "name": name, "image": "i", "state": "running", "status_text": "Up", "health": "",
        "labels": {"sutazai.agent": "true", "sutazai.agent.port": "8080"}, "ports": (), "network_mode": "bridge",
        "addresses": ("172.17.0.2",),
    }  # fmt: skip
    return Container(**{**values, **changes})


def label(**labels: str) -> dict[str, str]:
    return {"sutazai.agent": "true", **{f"sutazai.agent.{key}": value for key, value in labels.items()}}


def published(private: int, public: int | None, host: str = "0.0.0.0", protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(private, public, host, protocol)


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://172.17.0.2:8080/health"),
        ({"network_mode": "host", "addresses": ()}, "http://127.0.0.1:8080/health"),
        ({"ports": (published(8080, 18080),)}, "http://127.0.0.1:18080/health"),
        ({"ports": (published(8080, 18080, "::"),)}, "http://127.0.0.1:18080/health"),
        ({"ports": (published(8080, 18080, "127.0.0.9"),)}, "http://127.0.0.9:18080/health"),
        ({"ports": (published(8080, 18080, "evil.example/x"),)}, "http://127.0.0.1:18080/health"),
        ({"ports": (published(8080, 9, protocol="udp"),)}, "http://172.17.0.2:8080/health"),
        ({"ports": (published(8080, None),)}, "http://172.17.0.2:8080/health"),
        ({"labels": label(port="1", path="/a?b=c")}, "http://172.17.0.2:1/a?b=c"),
        ({"labels": label(), "ports": (published(80, 8080), published(443, None))}, "http://127.0.0.1:8080/health"),
        ({"addresses": ("fd00::2",)}, "http://[fd00::2]:8080/health"),
    ],
)
def test_address(changes: dict[str, Any], url: str) -> None:
    watched, findings = discovered_agents([container(**changes)], [], 10)
    assert (watched[0].url, findings) == (url, [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"labels": label(port="0")}, "sutazai.agent.port='0' is not a port (1 to 65535)"),
        ({"labels": label(port="65536")}, "is not a port"),
        ({"labels": label(port="80; rm -rf /")}, "is not a port"),
        ({"labels": label(port="٨٠")}, "is not a port"),
        ({"labels": label(port="9" * 5000)}, "is not a port"),
        ({"labels": label(port="80", path="//evil\r\nHost: x")}, "sutazai.agent.path="),
        ({"labels": label(port="80", path="health")}, "a path starts with '/'"),
        ({"labels": label()}, "has no label sutazai.agent.port"),
        ({"labels": label(), "ports": (published(1, 1), published(2, 2))}, "publishes 2 ports"),
        ({"addresses": (), "ports": ()}, "has no address of its own"),
        ({"addresses": ("evil.example",)}, "has no address of its own"),
    ],
)
def test_a_wrong_label_is_reported_and_never_used(changes: dict[str, Any], said: str) -> None:
    watched, findings = discovered_agents([container(**changes)], [], 10)
    assert watched[0].url is None
    assert watched[0].name == "a"
    assert [f.subject for f in findings] == ["agent/a"]
    assert said in findings[0].message
    assert findings[0].remedy
    assert "\r" not in findings[0].message
    assert len(findings[0].message) < 400


def test_a_stopped_container_has_no_address_and_that_is_no_mistake() -> None:
    watched, findings = discovered_agents([container(state="exited", addresses=(), labels=label())], [], 10)
    assert (watched[0].url, watched[0].agent.port, findings) == (None, NO_PORT, [])


def test_only_the_label_makes_an_agent() -> None:
    plain = [container(labels={}), container(labels={"sutazai.agent": "yes"}), container(labels={"sutazai.agent": ""})]
    assert discovered_agents(plain, [], 10) == ([], [])


def test_a_listed_agent_is_not_discovered_again() -> None:
    listed = listed_agents([Agent(name="one", port=1, container="c1"), Agent(name="two", port=2)], [container("c1")])
    found, _ = discovered_agents([container("c1"), container("two"), container("three")], listed, 10)
    assert [w.name for w in found] == ["three"]
    assert [(w.name, w.container and w.container.name) for w in listed] == [("one", "c1"), ("two", None)]


def test_ten_thousand_hostile_names_give_three_findings_and_safe_agents() -> None:
    random.seed(7)
    alphabet = ["a", "Z", "0", "-", "_", ".", "/", "..", "\x00", "\n", "\ud800", '"', "{", "💥", " ", "%2e"]
    names = {"".join(random.choices(alphabet, k=random.randint(0, 300))) for _ in range(10_000)}
    names |= {f"agent-{n}" for n in range(2000)} | {"a" * 129}
    containers = [container(clean(name)) for name in names]
    watched, findings = discovered_agents(containers, [], 1000)
    assert len(watched) == 1000
    assert all(AGENT_NAME.fullmatch(w.name) for w in watched)
    assert sorted(f.kind for f in findings) == ["bad_name", "too_many_agents"]
    for finding in findings:
        assert finding.message.isprintable()
        assert len(finding.message) < 500


def test_the_agent_of_an_event() -> None:
    listed = AgentsSettings(listed=(Agent(name="one", port=1, container="c1"),))
    assert agent_of_container(listed, "c1", {}) == "one"
    assert agent_of_container(listed, "one", {}) is None
    assert agent_of_container(listed, "other", {"sutazai.agent": "true"}) == "other"
    assert agent_of_container(listed, "../x", {"sutazai.agent": "true"}) is None
    assert agent_of_container(listed, "other", {}) is None
    assert agent_of_container(AgentsSettings(), "sutazai-agent-orchestrator", {}) == "sutazai-agent-orchestrator"
    assert agent_of_container(AgentsSettings(discover=False), "x", {"sutazai.agent": "true"}) is None

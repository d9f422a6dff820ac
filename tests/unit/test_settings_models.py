"""The settings that jobs share: what they accept, what they refuse and with which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from jobs.core import settings as shared
from jobs.core.registry import all_jobs
from jobs.core.settings import (
    GUIDE_AGENTS,
    Agent,
    AgentsSettings,
    CertificateSettings,
    DockerSettings,
    Endpoint,
    JobSettings,
    OllamaSettings,
    PostgresSettings,
    RedisSettings,
    SettingsModel,
    Thresholds,
    World,
)

steady = settings(derandomize=True)

MODELS = sorted(
    (
        model
        for model in vars(shared).values()
        if isinstance(model, type) and issubclass(model, SettingsModel) and model is not SettingsModel
    ),
    key=lambda model: model.__name__,
)
JOB_MODELS = sorted({job.settings for job in all_jobs().values()}, key=lambda model: model.__name__)


def refusal(model: type[BaseModel], **values: object) -> str:
    """The messages with which the values are refused; fails where they are not."""
    with pytest.raises(ValidationError) as error:
        model.model_validate(values)
    return "; ".join(str(problem["msg"]) for problem in error.value.errors())


# --- every model ---


@pytest.mark.parametrize("model", [*MODELS, *JOB_MODELS], ids=lambda model: str(model.__name__))
def test_every_setting_says_what_it_is(model: type[BaseModel]) -> None:
    undescribed = [
        name
        for name, field in model.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, SettingsModel))
        and not (field.description or "").endswith(".")
    ]
    assert undescribed == []


@pytest.mark.parametrize("model", [*MODELS, *JOB_MODELS], ids=lambda model: str(model.__name__))
def test_every_number_has_both_limits(model: type[BaseModel]) -> None:
    unlimited = [
        name
        for name, schema in model.model_json_schema(mode="validation")["properties"].items()
        for number in _numbers(schema)
        if not {"minimum", "exclusiveMinimum"} & number.keys() or not {"maximum", "exclusiveMaximum"} & number.keys()
    ]
    assert unlimited == []


def _numbers(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield schema
        for inner in schema.values():
            yield from _numbers(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _numbers(inner)


@pytest.mark.parametrize("model", [World, JobSettings, *JOB_MODELS], ids=lambda model: str(model.__name__))
def test_defaults_would_be_accepted_if_they_were_written_down(model: type[BaseModel]) -> None:
    defaults = model()
    assert model.model_validate_json(defaults.model_dump_json()) == defaults


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.__name__))
def test_an_unknown_key_is_refused(model: type[BaseModel]) -> None:
    assert "Extra inputs are not permitted" in refusal(model, no_such_key=1)


def test_settings_do_not_change_once_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        World().thresholds.max_disk_percent = 99  # type: ignore[misc]


# --- names and addresses ---


@steady
@given(st.from_regex(shared.AGENT_NAME, fullmatch=True))
def test_an_agents_name_is_always_a_safe_file_name(name: str) -> None:
    assert Agent(name=name, port=1).name == name
    assert PurePosixPath(name).name == name
    assert not name.startswith((".", "-"))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "-a", ".a", "a b", "a\n", "\na", "a\0", "é", "a" * 129, "a\ud800"],
)
def test_any_other_name_is_refused(name: str) -> None:
    refusal(Agent, name=name, port=8001)
    refusal(Endpoint, name=name, url="http://h/")
    refusal(Agent, name="a", container=name, port=8001)


@pytest.mark.parametrize("port", [0, -1, 65536, "http", 80.5, None])
def test_a_port_is_a_number_from_1_to_65535(port: object) -> None:
    refusal(Agent, name="a", port=port)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "user@host", "h\n", "a" * 254, "[::1]"])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    refusal(Agent, name="a", port=1, host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "agent-1.example.org"])
def test_hosts_that_are_accepted(host: str) -> None:
    assert Agent(name="a", port=1, host=host).host == host


@pytest.mark.parametrize("path", ["", "health", "/a b", "/a\r\nX: y", "/é", "/" + "a" * 256])
def test_a_path_starts_with_a_slash_and_is_printable(path: str) -> None:
    assert "a path starts with '/'" in refusal(Agent, name="a", port=1, path=path)


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:8443/x?y=1", "http://127.0.0.1:8000/health", "http://[::1]:8000/"]
)
def test_urls_that_are_accepted(url: str) -> None:
    assert Endpoint(name="api", url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:80",
        "//h",
        "http://",
        "http:///path",
        "file:///etc/passwd",
        "gopher://h",
        "ftp://h",
        "http://h:0",
        "http://h:65536",
        "http://h:x",
        "http://[::1",
        "http://h/a b",
        "http://h/\r\nX: y",
        "http://h\n",
        "http://hé/",
        "http://h/" + "a" * 2048,
    ],
)
def test_a_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    assert "a URL looks like http://host:port/path" in refusal(Endpoint, name="api", url=url)
    assert "a URL looks like http://host:port/path" in refusal(OllamaSettings, url=url)


@pytest.mark.parametrize("url", ["http://user:password@h/", "http://user@h/", "https://:password@h/"])
def test_a_url_with_credentials_is_refused(url: str) -> None:
    assert refusal(Endpoint, name="api", url=url) == "Value error, credentials do not belong in a URL"


@pytest.mark.parametrize("url", ["unix:///var/run/docker.sock", "tcp://127.0.0.1:2375", "https://proxy:2376"])
def test_docker_urls_that_are_accepted(url: str) -> None:
    assert DockerSettings.model_validate({"url": url}).url == url


@pytest.mark.parametrize("url", ["", "/var/run/docker.sock", "unix://", "tcp://h", "ssh://h:22", "npipe:////./pipe/x"])
def test_any_other_docker_url_is_refused_with_an_example(url: str) -> None:
    assert "unix:///var/run/docker.sock" in refusal(DockerSettings, url=url)


@pytest.mark.parametrize(
    "dsn", ["postgresql://u:p@h:5432/d", "postgres:///d", "host=/run/postgresql dbname=d", "service=x"]
)
def test_dsns_that_are_accepted(dsn: str) -> None:
    made = PostgresSettings.model_validate({"dsn": dsn})
    assert made.dsn is not None
    assert made.dsn.get_secret_value() == dsn


def test_other_dsns_and_redis_urls_are_refused_with_an_example() -> None:
    assert "postgresql://user@host:5432/database" in refusal(PostgresSettings, dsn="localhost")
    assert "redis://host:6379/0" in refusal(RedisSettings, url="localhost:6379")
    assert "redis://host:6379/0" in refusal(RedisSettings, url="http://localhost:6379")


@pytest.mark.parametrize("url", ["redis://h", "rediss://:p@h:6380/1", "unix:///run/redis.sock?db=1"])
def test_redis_urls_that_are_accepted(url: str) -> None:
    made = RedisSettings.model_validate({"url": url})
    assert made.url is not None
    assert made.url.get_secret_value() == url


def test_secrets_are_shown_in_no_form() -> None:
    canary = "canary-3f9a"
    world = World.model_validate(
        {
            "postgres": {"dsn": f"postgresql://u:{canary}@h/d", "password": canary},
            "redis": {"url": f"redis://:{canary}@h", "password": canary},
        }
    )
    shown = (repr(world), str(world), f"{world.postgres!r}", world.model_dump_json(), repr(world.model_dump()))
    assert [text for text in shown if canary in text] == []


# --- numbers ---


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["max_disk_percent", "critical_disk_percent", "max_memory_percent"])
def test_a_percentage_is_above_0_and_at_most_100(name: str, percent: float) -> None:
    refusal(Thresholds, **{name: percent})


@pytest.mark.parametrize("seconds", [0, -1, 86401, float("nan"), float("inf")])
def test_a_time_limit_is_above_0_and_at_most_a_day(seconds: float) -> None:
    refusal(DockerSettings, timeout_seconds=seconds)
    refusal(AgentsSettings, timeout_seconds=seconds)
    refusal(JobSettings, max_run_seconds=seconds)


def test_a_country_has_two_capital_letters_and_a_domain_is_a_name() -> None:
    assert CertificateSettings(country="DE", domain="*.example.org").country == "DE"
    for country in ("de", "DEU", "", "D\n"):
        refusal(CertificateSettings, country=country)
    for domain in ("", "-a", "a/b", "a b", "a\n", "a" * 254):
        refusal(CertificateSettings, domain=domain)


def test_a_jobs_schedule_is_read_from_text_and_refused_with_what_would_be_right() -> None:
    made = JobSettings.model_validate({"schedule": ["daily at 02:00", "saturday at 23:00: full"]})
    assert [str(cadence) for cadence in made.schedule or ()] == ["daily at 02:00", "saturday at 23:00: full"]
    assert "'daily at 06:00'" in refusal(JobSettings, schedule=["at noon"])


def test_two_cadences_of_the_same_times_are_refused() -> None:
    assert "'daily at 02:00' stands here twice" in refusal(
        JobSettings, schedule=["daily at 02:00: light", "every 5 minutes", "daily at 02:00: full"]
    )


def test_the_guides_agents_are_five_on_their_own_ports() -> None:
    assert [agent.port for agent in GUIDE_AGENTS] == [8001, 8002, 8003, 8004, 8005]
    assert len({agent.name for agent in GUIDE_AGENTS}) == 5
    assert {agent.path for agent in GUIDE_AGENTS} == {"/health"}


@pytest.mark.parametrize("section", [{"postgres": {"dsn": "canary-5ecret"}}, {"redis": {"url": "canary-5ecret"}}])
def test_what_is_said_of_a_rejected_secret_does_not_hold_it(section: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        World.model_validate(section)
    assert "canary" not in str(refused.value)

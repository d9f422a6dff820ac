"""The layers of the configuration, which of them wins, and how each mistake is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import ConfigError, Configuration, load
from exporter.init.answers import nested
from exporter.redaction import Redactor
from exporter.settings import GUIDE_VARIABLES, environment_names, leaf_fields
from tests.services.trial_jobs import TrialPackage

CANARY = "canary-Zx81-pass"


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[None]:
    with TrialPackage(tmp_path / "package").in_process():
        yield


@pytest.fixture
def base(tmp_path: Path) -> Path:
    directory = tmp_path / "base"
    (directory / "secrets_secure").mkdir(parents=True)
    return directory


def of(
    base: Path,
    document: Mapping[str, Any] | str = "",
    environment: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], Any] | None = None,
) -> Configuration:
    file = base.parent / "exporter.yml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(dict(document)))
    return load(file, {"SUTAZAI_BASE_DIR": str(base), **(environment or {})}, flags)


def problems(base: Path, document: Mapping[str, Any] | str = "", **layers: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        of(base, document, **layers)
    assert all("\n" not in problem for problem in refused.value.problems)
    return refused.value.problems


def password(configuration: Configuration) -> str | None:
    secret = configuration.settings.redis.password
    return secret.get_secret_value() if secret else None


def secret_at(configuration: Configuration, path: tuple[str, ...]) -> str:
    value: Any = configuration.settings
    for name in path:
        value = getattr(value, name)
    return str(value.get_secret_value())


# Layers


def test_without_any_layer_the_defaults_hold() -> None:
    settings = load(environment={}).settings
    assert settings.web.listen_address == "127.0.0.1:10042"
    assert settings.base_dir == Path("/opt/sutazaiapp")
    assert settings.redis.url is None


def test_each_layer_wins_over_the_one_below(base: Path) -> None:
    document = {"web": {"listen_address": "127.0.0.1:1001"}}
    environment = {"SUTAZAI_WEB__LISTEN_ADDRESS": "127.0.0.1:1002"}
    flags = {("web", "listen_address"): "127.0.0.1:1003"}
    seen = [of(base), of(base, document), of(base, document, environment), of(base, document, environment, flags)]
    assert [c.settings.web.listen_address[-4:] for c in seen] == ["0042", "1001", "1002", "1003"]
    assert seen[1].origins["web.listen_address"] == str(base.parent / "exporter.yml")
    assert seen[2].origins["web.listen_address"] == "SUTAZAI_WEB__LISTEN_ADDRESS"
    assert seen[3].origins["web.listen_address"] == "command line"


def test_a_flag_that_was_not_given_is_no_layer(base: Path) -> None:
    configuration = of(base, {"log": {"level": "error"}}, flags={("log", "level"): None})
    assert configuration.settings.log.level == "error"


def test_a_layer_leaves_the_rest_of_a_section_alone(base: Path) -> None:
    redis = {"redis": {"url": "redis://127.0.0.1:7000", "timeout_seconds": 2}}
    settings = of(base, redis, {"SUTAZAI_REDIS__TIMEOUT_SECONDS": "3"}).settings
    assert settings.redis.timeout_seconds == 3
    assert settings.redis.url is not None
    assert settings.redis.url.get_secret_value() == "redis://127.0.0.1:7000"


def test_the_usual_file_of_the_base_directory_is_read(base: Path) -> None:
    (base / "config").mkdir()
    (base / "config" / "exporter.yml").write_text("log: {level: error}")
    assert load(environment={"SUTAZAI_BASE_DIR": str(base)}).settings.log.level == "error"


def test_the_file_that_a_variable_or_a_flag_names_is_read_instead(base: Path, tmp_path: Path) -> None:
    named, flagged = tmp_path / "named.yml", tmp_path / "flagged.yml"
    named.write_text("log: {level: debug}")
    flagged.write_text("log: {level: warning}")
    environment = {"SUTAZAI_BASE_DIR": str(base), "SUTAZAI_CONFIG_FILE": str(named)}
    assert load(environment=environment).settings.log.level == "debug"
    assert load(flagged, environment=environment).settings.log.level == "warning"


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "null\n"])
def test_an_empty_file_is_the_defaults(base: Path, text: str) -> None:
    assert of(base, text).settings.log.level == "info"


# Variables


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SUTAZAI_DOMAIN", "ai.example", "ai.example"),
        ("SUTAZAI_ORG", "Example", "Example"),
        ("SUTAZAI_CITY", "Bonn", "Bonn"),
        ("SUTAZAI_STATE", "NRW", "NRW"),
        ("SUTAZAI_COUNTRY", "DE", "DE"),
        ("SUTAZAI_MAX_MEMORY_USAGE", "70", 70),
        ("SUTAZAI_MAX_DISK_USAGE", "77.5", 77.5),
        ("SUTAZAI_MAX_LOAD_THRESHOLD", "3", 3),
    ],
)
def test_the_guides_variables_keep_their_names(base: Path, name: str, text: str, value: object) -> None:
    found: Any = of(base, environment={name: text}).settings
    for part in GUIDE_VARIABLES[name]:
        found = getattr(found, part)
    assert found == value


def test_every_guide_variable_is_tested_above() -> None:
    assert len(GUIDE_VARIABLES) == 8


def test_every_setting_has_a_variable() -> None:
    names = environment_names()
    assert {path for path, _ in leaf_fields()} == {path for path, _ in names.values()}
    assert names["SUTAZAI_JOBS__TRIAL_WORK__MAX_RUN_SECONDS"][0] == ("jobs", "trial_work", "max_run_seconds")


@pytest.mark.parametrize(
    "text", ["12345", "0123", "true", "null", "1e3", "[x", "{", "a: b", "*x", "#hash", " p w ", '"']
)
def test_a_password_from_a_variable_is_the_text_as_it_is(base: Path, text: str) -> None:
    assert password(of(base, environment={"SUTAZAI_REDIS__PASSWORD": text})) == text


def test_lists_and_numbers_come_as_yaml(base: Path) -> None:
    environment = {
        "SUTAZAI_AGENTS__LISTED": "[{name: one, port: 8001}, {name: two, port: 8002}]",
        "SUTAZAI_JOBS__TRIAL_WORK__SCHEDULE": "[every 10 minutes, 'daily at 06:00: light']",
        "SUTAZAI_JOBS__TRIAL_WORK__ENABLED": "false",
    }
    settings = of(base, environment=environment).settings
    assert [(agent.name, agent.port) for agent in settings.agents.listed or ()] == [("one", 8001), ("two", 8002)]
    assert [str(cadence) for cadence in settings.jobs.trial_work.schedule] == [
        "every 10 minutes",
        "daily at 06:00: light",
    ]
    assert settings.jobs.trial_work.enabled is False


@pytest.mark.parametrize(("content", "value"), [("s3cret\n", "s3cret"), ("s3cret", "s3cret"), (" a \n\n", " a \n")])
def test_a_value_can_stand_in_a_file(base: Path, tmp_path: Path, content: str, value: str) -> None:
    (tmp_path / "password").write_text(content)
    environment = {"SUTAZAI_REDIS__PASSWORD_FILE": str(tmp_path / "password")}
    assert password(of(base, environment=environment)) == value


def test_a_number_can_stand_in_a_file(base: Path, tmp_path: Path) -> None:
    (tmp_path / "limit").write_text("70\n")
    environment = {"SUTAZAI_MAX_DISK_USAGE_FILE": str(tmp_path / "limit")}
    assert of(base, environment=environment).settings.thresholds.max_disk_percent == 70


# Secrets


def test_secrets_win_over_the_file_and_yield_to_variables_and_flags(base: Path) -> None:
    in_file = {"redis": {"password": "from-yaml"}}
    (base / "secrets_secure" / "redis__password").write_text("from-directory\n")
    assert password(of(base)) == "from-directory"
    assert password(of(base, in_file)) == "from-directory"
    assert password(of(base, in_file, {"SUTAZAI_REDIS__PASSWORD": "from-variable"})) == "from-variable"
    assert password(of(base, in_file, flags={("redis", "password"): "from-flag"})) == "from-flag"


def test_credentials_of_systemd_win_over_the_base_directory(base: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    (base / "secrets_secure" / "redis__password").write_text("from-directory")
    assert password(of(base, environment=environment)) == "from-directory"
    (credentials / "redis__password").write_text("from-systemd")
    configuration = of(base, environment=environment)
    assert password(configuration) == "from-systemd"
    assert configuration.origins["redis.password"] == str(credentials / "redis__password")


@pytest.mark.parametrize("content", ["", "\n"])
def test_an_empty_file_of_a_secret_is_as_none(base: Path, tmp_path: Path, content: str) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    (credentials / "redis__password").write_text(content)
    in_file = {"redis": {"password": "from-yaml"}}
    assert password(of(base, in_file, environment)) == "from-yaml"
    assert of(base, environment=environment).settings.redis.password is None
    (base / "secrets_secure" / "redis__password").write_text("from-directory")
    assert password(of(base, environment=environment)) == "from-directory"


def test_a_file_of_a_secret_that_cannot_be_read_is_an_error_and_not_passed_over(base: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "redis__password").write_bytes(b"\xff")
    (base / "secrets_secure" / "redis__password").write_text("from-directory")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        of(base, environment={"CREDENTIALS_DIRECTORY": str(credentials)})


def test_a_job_may_have_a_secret_of_its_own(base: Path) -> None:
    (base / "secrets_secure" / "jobs__trial_work__password").write_text(CANARY)
    assert of(base).for_run("trial_work")["job"] == {"password": CANARY}


def test_only_secrets_are_taken_from_the_directory(base: Path) -> None:
    (base / "secrets_secure" / "log__level").write_text("error")
    assert of(base).settings.log.level == "info"


def test_every_form_of_a_secret_is_known(base: Path) -> None:
    document = {
        "redis": {"url": "rediss://user:re%40dis-pw@127.0.0.1:6379/0"},
        "postgres": {"dsn": r"host=/run dbname=x password='it\'s 1 pw' user=u"},
    }
    secrets = of(base, document, {"SUTAZAI_JOBS__TRIAL_WORK__PASSWORD": CANARY}).secrets
    assert {CANARY, "re%40dis-pw", "re@dis-pw", "it's 1 pw"} <= secrets


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("NOTIFICATIONS__WEBHOOK__URL", ("notifications", "webhook", "url")),
        ("ALERTMANAGER__DEADMAN_URL", ("alertmanager", "deadman_url")),
    ],
)
def test_a_url_with_a_key_in_it_comes_from_wherever_secrets_do_and_its_server_alone_is_shown(
    base: Path, tmp_path: Path, name: str, path: tuple[str, ...]
) -> None:
    url = f"https://hooks.example.org/services/T01/{CANARY}-0123456789"
    (tmp_path / "url").write_text(f"{url}\n")
    document: dict[str, Any] = nested({path: url})
    file = base / "secrets_secure" / "__".join(path)
    for given in (
        (document, {}),
        ("", {f"SUTAZAI_{name}": url}),
        ("", {f"SUTAZAI_{name}_FILE": str(tmp_path / "url")}),
    ):
        found = of(base, *given)
        assert secret_at(found, path) == url
        assert CANARY not in repr(found.settings)
        assert "https://hooks.example.org/…" in repr(found.settings)
    file.write_text(f"{url}\n")
    found = of(base)
    assert secret_at(found, path) == url
    assert CANARY not in Redactor(found.secrets).text(f"{url} refused, as did /services/T01/{CANARY}-0123456789/")
    assert "https://hooks.example.org" in Redactor(found.secrets).text(f"{url} refused")


def test_a_run_gets_the_world_and_its_own_section_only(base: Path) -> None:
    document = {"log": {"level": "error"}, "redis": {"password": CANARY}, "jobs": {"trial_work": {"code": "x"}}}
    given = of(base, document).for_run("trial_work")
    file = given.pop("file")
    assert given == {"world": {"base_dir": str(base), "redis": {"password": CANARY}}, "job": {"code": "x"}}
    assert Path(file).is_absolute()
    assert Path(file).is_file()
    assert Configuration(settings=of(base).settings, document={}).for_run("trial_work")["file"] is None


@pytest.mark.parametrize(
    "document",
    [
        {"redis": {"password": [CANARY]}},
        {"redis": {"url": f"http://:{CANARY}@127.0.0.1"}},
        {"redis": {"url": f"redis://:pa/{CANARY}@127.0.0.1/0"}},
        {"redis": {"url": f"redis://:pa#{CANARY}@127.0.0.1/0"}},
        {"redis": {"url": f"redis://:{CANARY}?x@127.0.0.1/0"}},
        {"redis": {"url": f"redis://127.0.0.1:{CANARY}/0"}},
        {"redis": f"redis://:{CANARY}@127.0.0.1"},
        {"redis": [f"redis://:{CANARY}@127.0.0.1"]},
        {"postgres": {"dsn": CANARY}},
        {"postgres": {"dsn": {"password": CANARY}}},
        {"postgres": {"dsn": f"postgresql://u:pa/{CANARY}@127.0.0.1/x"}},
        {"postgres": {"dsn": f"postgresql://u:{CANARY}/s@127.0.0.1/x"}},
        {"postgres": {"dsn": f"postgresql://127.0.0.1:{CANARY}/x"}},
        {"postgres": {"dsn": f"postgresql://u:{CANARY}@127.0.0.1:99999/x"}},
        {"postgres": {"dsn": f"host=127.0.0.1 port=x password={CANARY}"}},
        {"postgres": {"servers": [{"name": "two", "dsn": f"postgresql://u:{CANARY}@127.0.0.1:x/x"}]}},
        {"postgres": f"postgresql://u:{CANARY}@127.0.0.1/db"},
        {"ollama": {"url": f"http://user:{CANARY}@127.0.0.1"}},
        {"notifications": {"webhook": {"url": [f"https://127.0.0.1/{CANARY}"]}}},
        {"notifications": {"webhook": {"url": f"ftp://127.0.0.1/{CANARY}"}}},
        {"notifications": {"webhook": f"https://127.0.0.1/{CANARY}"}},
        {"alertmanager": {"deadman_url": f"https://127.0.0.1/{CANARY} x"}},
        {"docker": {"url": f"ssh://user:{CANARY}@host"}},
        {"jobs": {"trial_work": f"password is {CANARY}"}},
        {"jobs": f"password is {CANARY}"},
        f"redis: {{password: {CANARY}",
        f"redis:\n  password: {CANARY}\n  password: {CANARY}2",
        f"redis:\n  password: &p {CANARY}\n  url: *p",
    ],
    ids=lambda document: str(document)[:40],
)
def test_a_refused_secret_is_not_shown(base: Path, document: Mapping[str, Any] | str) -> None:
    found = problems(base, document)
    assert found
    assert CANARY not in "".join(found)


# Mistakes


def test_every_mistake_is_told_at_once_with_path_limit_and_origin(base: Path) -> None:
    document = {
        "web": {"listen_address": "here", "max_connections": 1},
        "jobs": {"trial_work": {"max_run_seconds": 0, "schedule": ["sometimes"]}},
        "thresholds": {"max_disk_percent": 101},
        "log": {"level": "loud"},
        "agents": {"listed": [{"name": "a b", "port": 70000}]},
        "redis": {"tiemout_seconds": 1},
        "certificate": {"country": "Germany"},
    }
    found = problems(base, document, environment={"SUTAZAI_REDIS__TIMEOUT_SECONDS": "soon", "SUTAZAI_NONSENSE": "1"})
    file = base.parent / "exporter.yml"
    for wanted in (
        "web.listen_address: 'here' is no address to listen on; write host:port, such as 127.0.0.1:10042 (from",
        f"web.max_connections: 1 is below 8 (from {file})",
        f"jobs.trial_work.max_run_seconds: 0 is below 1.0 (from {file})",
        "jobs.trial_work.schedule[0]: 'sometimes' is not a cadence; write 'every 5 minutes'",
        f"thresholds.max_disk_percent: 101 is above 100.0 (from {file})",
        f"log.level: 'loud' is not one of 'debug', 'info', 'warning' or 'error' (from {file})",
        "agents.listed[0].name: a name starts with a letter or digit",
        "agents.listed[0].port: 70000 is above 65535",
        f"redis.tiemout_seconds: unknown key; did you mean 'timeout_seconds'? (from {file})",
        "redis.timeout_seconds: 'soon' is not a number (from SUTAZAI_REDIS__TIMEOUT_SECONDS)",
        "certificate.country: 'Germany' does not look like ^[A-Z]{2}$",
        "SUTAZAI_NONSENSE: unknown variable",
    ):
        assert any(wanted in problem for problem in found), (wanted, found)
    assert len(found) == 12


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"wbe": {}}, "wbe: unknown key; did you mean 'web'?"),
        ({"jobs": {"trial_wrok": {}}}, "jobs.trial_wrok: unknown key; did you mean 'trial_work'?"),
        ({"jobs": {"trial_work": {"max_run_second": 5}}}, "did you mean 'max_run_seconds'?"),
        (
            {"agents": {"listed": [{"name": "a", "port": 1, "prt": 1}]}},
            "agents.listed[0].prt: unknown key; did you mean 'port'?",
        ),
        ({"agents": {"listed": [{"name": "a"}]}}, "agents.listed[0].port: is required"),
        (
            {"agents": {"listed": [{"name": "a", "port": 1}, {"name": "b", "port": 2}, {"name": "a", "port": 3}]}},
            "agents: listed: two agents are called 'a'",
        ),
        (
            {"endpoints": [{"name": "x", "url": "http://x/"}, {"name": "x", "url": "http://y/"}]},
            "endpoints: two of them are called 'x'",
        ),
        ({"web": 5}, "web: 5 is not a section with settings of its own"),
        ("web:", "web: is empty; write a section with settings of its own, or leave it out"),
        ("redis: {timeout_seconds: }", "redis.timeout_seconds: is empty; write a number, or leave it out"),
        ("log: {level: ~}", "log.level: is empty; write 'debug', 'info', 'warning' or 'error', or leave it out"),
        ({"web": {"max_connections": "64"}}, "web.max_connections: '64' is not a whole number"),
        ({"web": {"max_connections": 64.5}}, "web.max_connections: 64.5 is not a whole number"),
        ({"redis": {"password": 123}}, "redis.password: the value is not text (put it in quotes)"),
        ({"jobs": {"trial_work": {"enabled": "yes"}}}, "jobs.trial_work.enabled: 'yes' is not true or false"),
        ({"endpoints": {"name": "x"}}, "is not a list"),
        ({"postgres": {"dsn": "postgresql://u@h:99999/db"}}, "postgres.dsn: its port is no number from 1 to 65535"),
        (
            {"postgres": {"servers": [{"name": "two", "dsn": "host=h port=x"}]}},
            "postgres.servers[0].dsn: its port is no number from 1 to 65535",
        ),
        ({"endpoints": [{"name": "x", "url": "ftp://x"}]}, "endpoints[0].url: a URL looks like http://host:port/path"),
        ("web: {max_connections: 010}", "web.max_connections: '010' is not a whole number"),
        ("web: {max_connections: 1:30}", "'1:30' is not a whole number"),
        ("thresholds: {max_disk_percent: .nan}", "'.nan' is not a number"),
        ("thresholds: {max_disk_percent: 1e999}", "'1e999' is not a number"),
        ("thresholds: {max_disk_percent: .inf}", "'.inf' is not a number"),
        (f"web: {{max_connections: {'9' * 5000}}}", "99... is not a whole number"),
        ("- a\n- b", "must be a mapping of settings, not list"),
        ("just text", "must be a mapping of settings, not str"),
        ("web: {a: 1, a: 2}", "line 1: the key 'a' is given twice"),
        ("a: &x 1\nb: *x", "aliases are not accepted"),
        ("[" * 20_000, "nested deeper than 32"),
        ("web: !!python/name:os.system ''", "tags are not accepted"),
        ("x" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(base: Path, document: Any, says: str) -> None:
    found = problems(base, document)
    assert len(found) == 1
    assert says in found[0]
    assert len(found[0]) < 400


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"SUTAZAI_MAX_DISC_USAGE": "5"}, "unknown variable; did you mean 'SUTAZAI_MAX_DISK_USAGE'?"),
        ({"SUTAZAI_REDIS_URL": "x"}, "did you mean 'SUTAZAI_REDIS__URL'?"),
        ({"SUTAZAI_MAX_DISK_USAGE": "lots"}, "'lots' is not a number (from SUTAZAI_MAX_DISK_USAGE)"),
        (
            {"SUTAZAI_MAX_DISK_USAGE": ""},
            "thresholds.max_disk_percent: is empty; write a number, or leave it out (from SUTAZAI_MAX_DISK_USAGE)",
        ),
        ({"SUTAZAI_WEB__MAX_CONNECTIONS": ""}, "web.max_connections: is empty; write a whole number, or leave it out"),
        ({"SUTAZAI_JOBS__TRIAL_WORK__ENABLED": " "}, "enabled: is empty; write true or false, or leave it out"),
        ({"SUTAZAI_LOG__LEVEL": "loud"}, "log.level: 'loud' is not one of"),
        ({"SUTAZAI_BASE_DIR": ""}, "base_dir: is empty; name a path, or leave it out (from SUTAZAI_BASE_DIR)"),
        ({"SUTAZAI_BASE_DIR": "~/x"}, "base_dir: '~/x': only a shell knows what '~' is; write the path out"),
        ({"SUTAZAI_TEXTFILE__DIRECTORY": "~me/x"}, "textfile.directory: '~me/x': only a shell knows"),
        ({"SUTAZAI_WEB__CONFIG_FILE": ""}, "web.config_file: is empty"),
        ({"SUTAZAI_REDIS__URL": "redis://localhost:99999/0"}, "redis.url: a Redis URL looks like redis://host:6379/0"),
        ({"SUTAZAI_REDIS__URL": "redis://localhost:x/0"}, "redis.url: a Redis URL looks like redis://host:6379/0"),
        (
            {"SUTAZAI_REMEDIATION__MODE": "maybe"},
            "remediation.mode: 'maybe' is not one of 'off', 'shadow', 'approve' or 'auto'",
        ),
        ({"SUTAZAI_AGENTS__LISTED": "[" * 99}, "SUTAZAI_AGENTS__LISTED: line 1: nested deeper than 32"),
        ({"SUTAZAI_AGENTS__LISTED": "[a"}, "SUTAZAI_AGENTS__LISTED: line 1"),
        ({"SUTAZAI_REDIS__PASSWORD_FILE": "/nonexistent/x"}, "/nonexistent/x: cannot be read for SUTAZAI_RED"),
        ({"SUTAZAI_REDIS__PASSWORD_FILE": "/"}, "/: cannot be read for SUTAZAI_REDIS__PASSWORD_FILE: Is a directory"),
        ({"SUTAZAI_REDIS__PASSWORD_FILE": "/dev/zero"}, "/dev/zero: larger than 1 MiB"),
        ({"SUTAZAI_REDIS__PASSWORD_FILE": "/x", "SUTAZAI_REDIS__PASSWORD": "y"}, "PASSWORD is set as well"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_a_mistake_in_a_variable_is_one_line_that_names_it(base: Path, environment: dict[str, str], says: str) -> None:
    found = problems(base, environment=environment)
    assert len(found) == 1
    assert says in found[0]


def test_a_file_that_is_missing_or_no_text_is_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.yml: cannot be read for the configuration: No such file"):
        load(tmp_path / "missing.yml", {})
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yml: is not UTF-8 text"):
        load(tmp_path / "binary.yml", {})


def test_a_relative_base_directory_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environment={"SUTAZAI_BASE_DIR": "var"}).settings.base_dir == tmp_path / "var"

"""The command `alertmanager-config` as an operator meets it, and the parts that need no Alertmanager."""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.alertmanager.quiet_hours import LOCAL, location, time_intervals
from exporter.alertmanager.receivers import bridge_url, literal
from exporter.alertmanager.routing import duration
from exporter.bridge.hours import Hours
from exporter.bridge.outgoing.channels import channel_names
from exporter.bridge.outgoing.wording import domain_of, host_name
from exporter.clock import local_zone
from exporter.config import load
from exporter.settings import Settings
from tests.services.binaries import need_root
from tests.services.exporter_daemon import command_line, environment_of
from tests.services.planted import mixed
from tests.services.trees import tree_digest

Run = Callable[..., subprocess.CompletedProcess[str]]

MAIL = {"host": "127.0.0.1", "security": "none", "port": 25, "sender": "s@example.org", "recipients": ["o@example.org"]}
ME = pwd.getpwuid(os.geteuid()).pw_name


def told(**sections: Any) -> dict[str, Any]:
    return {"notifications": {"mail": MAIL, **sections}}


def printed(run_here: Run, config: Any, *arguments: str, **options: Any) -> dict[str, Any]:
    """The configuration that is printed."""
    done = run_here("alertmanager-config", *arguments, config=config, **options)
    assert done.returncode == 0, done
    document: dict[str, Any] = yaml.safe_load(done.stdout)
    return document


def hooks(receiver: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = receiver.get("webhook_configs", [])
    return found


def receiver(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["receivers"] if one["name"] == name)
    return found


# --- what is written ---


def test_without_a_sender_mail_comes_from_the_address_that_the_exporter_itself_would_use(run_here: Run) -> None:
    nameless = {name: value for name, value in MAIL.items() if name != "sender"}
    document = printed(run_here, {"notifications": {"mail": nameless}})
    assert document["global"]["smtp_from"] == f"sutazai-exporter@{domain_of(host_name())}"
    assert "." in document["global"]["smtp_from"]


def test_without_a_directory_the_configuration_is_printed_and_nothing_written(run_here: Run, tmp_path: Path) -> None:
    run_here("check-config", config=told())
    before = tree_digest(tmp_path)
    document = printed(run_here, told())
    assert document["global"]["smtp_smarthost"] == "127.0.0.1:25"
    assert tree_digest(tmp_path) == before


def test_files_are_readable_for_alertmanager_and_written_again_only_when_they_change(
    run_here: Run, tmp_path: Path
) -> None:
    output = tmp_path / "etc"
    first = run_here("alertmanager-config", "--output", str(output), config=told())
    assert first.stdout.splitlines() == [f"made: {output}/templates/sutazai.tmpl", f"made: {output}/alertmanager.yml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in output.rglob("*") if path.is_file()} == {0o644}

    changed = told(quiet_hours=["22:00-07:00"])
    second = run_here("alertmanager-config", "--output", str(output), config=changed)
    assert second.stdout.splitlines() == [
        f"unchanged: {output}/templates/sutazai.tmpl",
        f"changed: {output}/alertmanager.yml",
    ]


def test_a_strict_umask_keeps_alertmanager_from_nothing(tmp_path: Path) -> None:
    command = shlex.join(command_line("alertmanager-config", "--output", str(tmp_path / "a" / "etc")))
    environment = environment_of(tmp_path / "base")
    subprocess.run(["sh", "-c", f"umask 077; exec {command}"], env=environment, check=True, capture_output=True)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert set(modes.values()) == {0o755, 0o644}
    assert modes[tmp_path / "a" / "etc" / "templates"] == 0o755


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(run_here: Run, tmp_path: Path) -> None:
    arguments = ("alertmanager-config", "--output", str(tmp_path / "etc"), "--secrets-for", ME, "--dry-run")
    done = run_here(*arguments, config={"alertmanager": {"bridge_token": "t0ken"}})
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        f"would be made: {tmp_path}/etc/sutazai-secrets/alertmanager__bridge_token",
        f"would be made: {tmp_path}/etc/templates/sutazai.tmpl",
        f"would be made: {tmp_path}/etc/alertmanager.yml",
    ]
    assert not (tmp_path / "etc").exists()


def test_what_a_person_has_written_is_not_replaced(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text("route: {receiver: mine}\n")
    done = run_here("alertmanager-config", "--output", str(tmp_path))
    assert done.returncode == 69
    assert f"{tmp_path}/alertmanager.yml: was not written by this command: move it away" in done.stderr
    assert (tmp_path / "alertmanager.yml").read_text() == "route: {receiver: mine}\n"


# --- secrets ---


def test_a_secret_of_the_secrets_directory_is_read_from_there(run_here: Run, tmp_path: Path) -> None:
    directory = tmp_path / "base" / "secrets_secure"
    directory.mkdir(parents=True)
    (directory / "notifications__mail__password").write_text("geheim-4711\n")
    config = {"notifications": {"mail": {**MAIL, "username": "sutazai"}}}

    document = printed(run_here, config)

    assert document["global"]["smtp_auth_username"] == "sutazai"
    assert document["global"]["smtp_auth_password_file"] == str(directory / "notifications__mail__password")
    assert "geheim-4711" not in str(document)


def test_a_secret_that_a_variable_names_the_file_of_is_read_from_that_file(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim-4711\n")
    config = told(webhook={"url": "http://127.0.0.1:9/"})
    document = printed(run_here, config, env={"SUTAZAI_NOTIFICATIONS__WEBHOOK__TOKEN_FILE": str(tmp_path / "token")})
    http = receiver(document, "critical")["webhook_configs"][0]["http_config"]
    assert http["authorization"] == {"credentials_file": str(tmp_path / "token")}


def test_a_secret_without_a_file_has_one_named_and_the_operator_is_told(run_here: Run, tmp_path: Path) -> None:
    config = {"notifications": {"mail": {**MAIL, "username": "u", "password": "geheim-4711"}}}
    done = run_here("alertmanager-config", config=config)
    named = tmp_path / "base" / "secrets_secure" / "notifications__mail__password"
    assert yaml.safe_load(done.stdout)["global"]["smtp_auth_password_file"] == str(named)
    assert f"notifications.mail.password: Alertmanager reads it from {named}, which is not there" in done.stderr
    assert "geheim-4711" not in done.stdout + done.stderr
    assert not named.exists()


def test_asked_for_secrets_are_written_for_one_user_alone(run_here: Run, tmp_path: Path) -> None:
    output = tmp_path / "etc"
    config = {
        "notifications": {"mail": {**MAIL, "username": "u", "password": "geheim-4711"}},
        "alertmanager": {"bridge_token": "t0ken-4712"},
    }
    done = run_here("alertmanager-config", "--output", str(output), "--secrets-for", ME, config=config)
    assert done.returncode == 0, done
    files = {path.name: path for path in (output / "sutazai-secrets").iterdir()}
    assert {name: path.read_text() for name, path in files.items()} == {
        "notifications__mail__password": "geheim-4711",
        "alertmanager__bridge_token": "t0ken-4712",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    document = yaml.safe_load((output / "alertmanager.yml").read_text())
    assert document["global"]["smtp_auth_password_file"] == str(files["notifications__mail__password"])
    assert "geheim-4711" not in done.stdout + done.stderr + (output / "alertmanager.yml").read_text()


def test_root_gives_secrets_to_the_user_that_needs_them(run_here: Run, tmp_path: Path) -> None:
    need_root("giving a file away")
    arguments = ("alertmanager-config", "--output", str(tmp_path / "etc"), "--secrets-for", "nobody")
    assert run_here(*arguments, config={"alertmanager": {"bridge_token": "t0ken"}}).returncode == 0
    file = tmp_path / "etc" / "sutazai-secrets" / "alertmanager__bridge_token"
    assert (file.stat().st_uid, stat.S_IMODE(file.stat().st_mode)) == (pwd.getpwnam("nobody").pw_uid, 0o600)
    assert (
        "unchanged: " in run_here(*arguments, config={"alertmanager": {"bridge_token": "t0ken"}}).stdout.splitlines()[0]
    )


@pytest.mark.parametrize("setting", ["webhook", "deadman"])
def test_a_url_with_a_key_in_it_makes_the_configuration_one_users_alone(
    run_here: Run, tmp_path: Path, setting: str
) -> None:
    url = f"http://127.0.0.1:9/services/T01/{mixed(24)}"
    config = told(webhook={"url": url}) if setting == "webhook" else {"alertmanager": {"deadman_url": url}}
    name = {"webhook": "notifications.webhook.url", "deadman": "alertmanager.deadman_url"}[setting]
    output, arguments = tmp_path / "etc", ("alertmanager-config", "--output", str(tmp_path / "etc"))
    file = output / "alertmanager.yml"
    remark = f"{name}: seems to have a key in it, and stands in alertmanager.yml"

    open_to_all = run_here(*arguments, config=config)
    assert remark in open_to_all.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o644

    done = run_here(*arguments, "--secrets-for", ME, config=config)
    assert f"changed: {file}" in done.stdout
    assert remark not in done.stderr
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert url in [hook["url"] for one in yaml.safe_load(file.read_text())["receivers"] for hook in hooks(one)]
    assert "holds no secret" not in file.read_text()
    assert url not in done.stdout + done.stderr + open_to_all.stdout + open_to_all.stderr
    assert f"unchanged: {file}" in run_here(*arguments, "--secrets-for", ME, config=config).stdout


def test_a_url_without_a_key_leaves_the_configuration_for_all_to_read(run_here: Run, tmp_path: Path) -> None:
    config = {
        **told(webhook={"url": "http://127.0.0.1:9/hook"}),
        "alertmanager": {"deadman_url": "http://127.0.0.1:9/"},
    }
    done = run_here("alertmanager-config", "--output", str(tmp_path), "--secrets-for", ME, config=config)
    assert stat.S_IMODE((tmp_path / "alertmanager.yml").stat().st_mode) == 0o644
    assert "seems to have a key" not in done.stderr


# --- what is missing, and what is wrong ---


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "notifications.mail.host: is not set: Alertmanager mails nobody"),
        ({}, "alertmanager.bridge_token: Alertmanager reads it from"),
        ({}, "`sutazai-exporter token create --name alertmanager --scope alert` prints one"),
        (told(), "alertmanager.delivers: is not set: Alertmanager and the exporter both send mail"),
        ({"alertmanager": {"delivers": ["webhook"]}}, "notifications.webhook.url: is not set"),
        (
            told(webhook={"url": "http://127.0.0.1:9/", "hmac_secret": "0123456789abcdef0123456789abcdef"}),
            "notifications.webhook.hmac_secret: Alertmanager signs nothing",
        ),
    ],
)
def test_what_is_missing_is_said_in_a_line_and_the_configuration_is_valid(
    run_here: Run, config: dict[str, Any], says: str
) -> None:
    done = run_here("alertmanager-config", config=config)
    assert done.returncode == 0
    assert says in done.stderr
    assert all(line.startswith("sutazai-exporter: ") for line in done.stderr.splitlines())
    assert {one["name"] for one in yaml.safe_load(done.stdout)["receivers"]} == {
        "watchdog",
        "bridge",
        "critical",
        "other",
    }


def test_with_everything_in_its_place_nothing_is_remarked(run_here: Run, tmp_path: Path) -> None:
    config = {**told(), "alertmanager": {"delivers": ["mail"], "bridge_token": "t0ken"}}
    done = run_here("alertmanager-config", "--output", str(tmp_path / "etc"), "--secrets-for", ME, config=config)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("security", "port"), [("tls", 587), ("starttls", 465), ("none", 465)])
def test_mail_that_alertmanager_cannot_send_is_a_wrong_configuration(run_here: Run, security: str, port: int) -> None:
    mail = {**MAIL, "security": security, "port": port}
    done = run_here("alertmanager-config", config={"notifications": {"mail": mail}})
    assert done.returncode == 78
    assert f"port {port} with security {security} cannot be" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    # It is none of its business where the exporter mails.
    left = {"notifications": {"mail": mail}, "alertmanager": {"delivers": []}}
    assert run_here("alertmanager-config", config=left).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--secrets-for", "root"], "--secrets-for writes files: it needs --output DIR"),
        (["--output", "x", "--secrets-for", "no-such-user"], "there is no user 'no-such-user' on this machine"),
        (["--output", "x", "--secrets-for", "a\nb"], "there is no user"),
    ],
)
def test_wrong_usage_is_one_line_and_64(run_here: Run, arguments: list[str], says: str) -> None:
    done = run_here("alertmanager-config", *arguments)
    assert (done.returncode, done.stdout) == (64, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_directory_that_cannot_be_written_is_one_line_and_69(run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = {"alertmanager": {"delivers": [], "bridge_token": "t0ken"}}
    for output in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/sutazai")):
        done = run_here("alertmanager-config", "--output", str(output), "--secrets-for", ME, config=config)
        assert (done.returncode, done.stdout) == (69, "")
        assert f"{output}" in done.stderr
        assert "cannot be written" in done.stderr
        assert len(done.stderr.splitlines()) == 1


# --- who sends ---


def settings_of(tmp_path: Path, document: dict[str, Any]) -> Settings:
    (tmp_path / "exporter.yml").write_text(yaml.safe_dump({"base_dir": str(tmp_path), **document}))
    return load(tmp_path / "exporter.yml", environment={}).settings


@pytest.mark.parametrize(
    ("delivers", "alertmanagers", "exporters"),
    [
        (None, {"email_configs", "webhook_configs"}, {"mail", "webhook"}),
        ([], set(), {"mail", "webhook"}),
        (["mail"], {"email_configs"}, {"webhook"}),
        (["mail", "webhook"], {"email_configs", "webhook_configs"}, set()),
    ],
)
def test_what_alertmanager_delivers_the_exporter_does_not(
    run_here: Run, tmp_path: Path, delivers: list[str] | None, alertmanagers: set[str], exporters: set[str]
) -> None:
    config = {**told(webhook={"url": "http://127.0.0.1:9/"}), "alertmanager": {"delivers": delivers}}
    document = printed(run_here, config)
    for name in ("critical", "other"):
        assert receiver(document, name).keys() - {"name"} == alertmanagers
    assert set(channel_names(settings_of(tmp_path, config))) == exporters


def test_without_recipients_mail_goes_to_the_person_in_charge(run_here: Run) -> None:
    mail = {key: value for key, value in MAIL.items() if key != "recipients"}
    config = {"admin_email": "boss@example.org", "notifications": {"mail": mail}}
    assert receiver(printed(run_here, config), "other")["email_configs"][0]["to"] == "boss@example.org"


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:10042", "http://127.0.0.1:10042/api/v1/alerts"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080/api/v1/alerts"),
        (":8080", "http://127.0.0.1:8080/api/v1/alerts"),
        ("[::]:8080", "http://[::1]:8080/api/v1/alerts"),
        ("[fd00::1]:8080", "http://[fd00::1]:8080/api/v1/alerts"),
    ],
)
def test_the_bridge_is_where_the_exporter_listens(tmp_path: Path, listen: str, url: str) -> None:
    assert bridge_url(settings_of(tmp_path, {"web": {"listen_address": listen}})) == url


# --- forms of Alertmanager ---


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "300ms"),
        (10, "10s"),
        (90, "90s"),
        (120, "2m"),
        (14400, "4h"),
        (86400, "24h"),
        (5400, "90m"),
        (1e-9, "1ms"),
    ],
)
def test_a_duration_is_written_in_whole_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_hours_that_go_on_after_midnight_are_two_intervals_on_two_days() -> None:
    found = list(time_intervals(Hours.parse("sunday 22:00-07:00"), "Europe/Berlin"))
    assert found == [
        {
            "times": [{"start_time": "22:00", "end_time": "24:00"}],
            "weekdays": ["sunday"],
            "location": "Europe/Berlin",
        },
        {
            "times": [{"start_time": "00:00", "end_time": "07:00"}],
            "weekdays": ["monday"],
            "location": "Europe/Berlin",
        },
    ]


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("12:30-13:00", [("12:30", "13:00")]),
        ("22:00-00:00", [("22:00", "24:00")]),
        ("22:00-07:00", [("22:00", "24:00"), ("00:00", "07:00")]),
    ],
)
def test_hours_of_each_day_are_intervals_within_it(text: str, times: list[tuple[str, str]]) -> None:
    found = list(time_intervals(Hours.parse(text), LOCAL))
    assert [(one["times"][0]["start_time"], one["times"][0]["end_time"]) for one in found] == times
    assert not any("weekdays" in one for one in found)


def test_the_zone_is_named_where_it_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr/share/zoneinfo/Europe/Vienna")
    shutil.copy("/usr/share/zoneinfo/Europe/Vienna", tmp_path / "file")
    cases = {
        (":Europe/Berlin", "link"): "Europe/Berlin",
        ("", "link"): "Europe/Vienna",
        ("CET-1CEST", "link"): LOCAL,
        ("../../etc", "link"): LOCAL,
        ("", "file"): LOCAL,
        ("", "none"): LOCAL,
    }
    for (tz, file), expected in cases.items():
        monkeypatch.setenv("TZ", tz)
        monkeypatch.setattr("exporter.clock._LOCAL_FILE", tmp_path / file)
        # What it remembers is this machine's own.
        assert location(local_zone.__wrapped__()) == expected, (tz, file)


def test_braces_of_an_address_are_no_template() -> None:
    assert literal("{{.x}}@example.org") == '{{ "{{" }}.x}}@example.org'

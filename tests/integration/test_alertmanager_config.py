"""The written configuration in a real Alertmanager: who hears of what, and in which words."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import html5lib
import pytest

from tests.services.alert_sinks import HookSink, labels_in
from tests.services.alertmanager import Alertmanager, amtool
from tests.services.binaries import need_root
from tests.services.certificates import make
from tests.services.command_here import run_here
from tests.services.smtp_sink import Mail, SmtpSink
from tests.services.wait import wait_for
from tests.services.webhook_sink import Post

BRIDGE_TOKEN, HOOK_TOKEN, PASSWORD = "bridge-token-0001", "hook-token-0002", "mail-password-0003"
OPERATOR, ON_CALL = "operator@example.org", "on-call@example.org"
RUNBOOK = "https://example.org/runbooks/AgentDown.md"

_hosts = (f"host{number}" for number in itertools.count(1))


class Stage:
    """An Alertmanager on a configuration that the command has written, and everything that it talks to."""

    def __init__(self, directory: Path, settings: Mapping[str, Any] | None = None, **mail: Any) -> None:
        settings = settings or {}
        self.mail, self.hook, self.bridge, self.deadman = SmtpSink(), HookSink(), HookSink(), HookSink()
        document = {
            "notifications": {
                "mail": {
                    "host": "127.0.0.1",
                    "port": self.mail.port,
                    "security": "none",
                    "sender": "sutazai@example.org",
                    "recipients": [OPERATOR],
                    **mail,
                },
                "webhook": {"url": self.hook.url, "token": HOOK_TOKEN},
                **settings.get("notifications", {}),
            },
            "alertmanager": {
                "delivers": ["mail", "webhook"],
                "bridge_url": f"http://127.0.0.1:{self.bridge.port}/api/v1/alerts",
                "bridge_token": BRIDGE_TOKEN,
                "deadman_url": self.deadman.url,
                "critical": {"wait_seconds": 0.7, "interval_seconds": 1, "recipients": [ON_CALL]},
                "other": {"wait_seconds": 1, "interval_seconds": 1},
                **settings.get("alertmanager", {}),
            },
        }
        self.output = write(directory, document)
        self.alertmanager = Alertmanager(self.output / "alertmanager.yml")

    def fire(self, *alerts: Mapping[str, Any]) -> None:
        """Post alerts as Prometheus does, all in one request."""
        self.alertmanager.post(alerts)

    def end(self, *alerts: Mapping[str, Any]) -> None:
        """Post them as resolved."""
        self.alertmanager.post([{**alert, "endsAt": datetime.now(UTC).isoformat()} for alert in alerts])

    def state(self, host: str, name: str) -> str:
        """`active` or `suppressed`."""
        held = [alert for alert in self.alertmanager.alerts(name) if alert["labels"].get("host") == host]
        return str(held[0]["status"]["state"])

    def close(self) -> None:
        """Stop all of it."""
        self.alertmanager.close()
        for sink in (self.mail, self.hook, self.bridge, self.deadman):
            sink.close()


def write(directory: Path, document: Mapping[str, Any]) -> Path:
    """Have the command write a configuration with its secrets, check it, and return its directory."""
    output, me = directory / "etc", subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout
    arguments = ("alertmanager-config", "--output", str(output), "--secrets-for", me.strip())
    done = run_here(*arguments, base_dir=directory / "base", config=document)
    assert done.returncode == 0, done
    checked = amtool("check-config", str(output / "alertmanager.yml"))
    assert checked.returncode == 0, checked
    return output


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("stage"))
    yield stage
    stage.close()


@pytest.fixture
def new_stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make_stage(settings: Mapping[str, Any] | None = None, **mail: Any) -> Stage:
        stages.append(Stage(tmp_path, settings, **mail))
        return stages[-1]

    yield make_stage
    for stage in stages:
        stage.close()


@pytest.fixture
def host() -> str:
    """A host that no other test has alerts of."""
    return next(_hosts)


def alert(name: str, severity: str, host: str, *, summary: str = "", **labels: str) -> dict[str, Any]:
    place = {"instance": f"{host}:10042", "host": host} if host else {}
    return {
        "labels": {"alertname": name, "severity": severity, "job": "sutazai", **place, **labels},
        "annotations": {
            "summary": summary or " ".join([name, "of", host, *labels.values()]),
            "description": f"{name} needs somebody.",
            "runbook_url": RUNBOOK,
        },
        # Alertmanager does not let an alert wait that is older than `group_wait`.
        "startsAt": datetime.now(UTC).isoformat(),
    }


def subject(mail: Mail) -> str:
    return str(mail.message["Subject"])


def of(host: str, name: str = "", status: str = "") -> Callable[[Mail], bool]:
    def matches(mail: Mail) -> bool:
        return f"{host}:10042" in mail.part("plain") and f"{name}" in mail.part("plain") and status in subject(mail)

    return matches


# --- people ---


def test_critical_mail_says_in_text_and_html_what_is_wrong_where_and_since_when(stage: Stage, host: str) -> None:
    began = datetime.now(UTC) - timedelta(hours=3)
    down = alert("AgentDown", "critical", host, agent="orchestrator", summary=f"Agent orchestrator on {host} is down")
    down["annotations"]["remedy"] = "Look at its log."
    stage.fire({**down, "startsAt": began.isoformat()})

    mail = stage.mail.wait(of(host), "the mail about the agent")

    assert subject(mail) == f"[CRITICAL] Agent orchestrator on {host} is down"
    assert sorted(mail.recipients) == [ON_CALL, OPERATOR]
    assert mail.message["From"] == "sutazai@example.org"
    for kind in ("plain", "html"):
        text = mail.part(kind)
        assert f"CRITICAL: Agent orchestrator on {host}" in text
        assert f"{host}:10042" in text
        for expected in (down["annotations"]["summary"], "AgentDown needs somebody.", "Look at its log.", RUNBOOK):
            assert expected in text, kind
        # In the zone of Alertmanager's machine.
        assert re.search(rf"started(:|<.+>) *20\d\d-\d\d-\d\d \d\d:\d\d:{began:%S} \S+", text), kind
    page = html5lib.parse(mail.part("html"), namespaceHTMLElements=False)
    assert next(link.get("href") for link in page.iter("a")) == RUNBOOK


def test_warnings_of_one_kind_and_host_come_in_one_mail_to_the_operator_alone(stage: Stage, host: str) -> None:
    stage.fire(*(alert("ModelSlow", "warning", host, model=f"model{number}") for number in (1, 2, 3)))

    mail = stage.mail.wait(of(host), "the mail about the models")

    assert subject(mail) == f"[WARNING x3] ModelSlow on {host}:10042"
    assert mail.recipients == (OPERATOR,)
    for number in (1, 2, 3):
        assert f"ModelSlow of {host} model{number}" in mail.part("plain")
        assert f"ModelSlow of {host} model{number}" in mail.part("html")
    assert len(stage.mail.about(of(host))) == 1


def test_a_mail_says_clearly_that_it_is_over(stage: Stage, host: str) -> None:
    down = alert("ModelSilent", "critical", host, model="llama")
    stage.fire(down)
    stage.mail.wait(of(host, status="[CRITICAL]"), "the mail about the model")

    stage.end(down)

    mail = stage.mail.wait(of(host, status="[RESOLVED]"), "the mail that it is over")
    assert "RESOLVED: ModelSilent" in mail.part("plain")
    assert "CRITICAL" not in mail.part("plain") + mail.part("html")
    assert "resolved:" in mail.part("plain")


def test_of_very_many_alerts_a_mail_lists_the_first_and_says_how_many_there_are(stage: Stage, host: str) -> None:
    stage.fire(*(alert("ContainerRestarting", "warning", host, container=f"c{number}") for number in range(120)))
    mail = stage.mail.wait(of(host), "the mail about the containers")
    assert subject(mail) == f"[WARNING x120] ContainerRestarting on {host}:10042"
    for kind in ("plain", "html"):
        assert mail.part(kind).count("WARNING: ") == 50
        assert "The first 50 of 120 alerts." in mail.part(kind)


def test_an_alert_that_says_nothing_of_itself_is_mailed_all_the_same(stage: Stage, host: str) -> None:
    stage.fire({"labels": {"alertname": f"Bare{host}"}})
    mail = stage.mail.wait(lambda mail: f"Bare{host}" in subject(mail), "the mail about the bare alert")
    assert subject(mail) == f"[ALERT] Bare{host}"
    assert f"ALERT: Bare{host}" in mail.part("plain")


def test_the_webhook_gets_alertmanagers_json_with_its_token(stage: Stage, host: str) -> None:
    stage.fire(alert("StoreDown", "critical", host))
    call = stage.hook.wait("StoreDown", host=host)
    assert call.path == "/hook"
    assert call.headers["authorization"] == f"Bearer {HOOK_TOKEN}"
    assert call.document["version"] == "4"


def test_the_watchdog_reaches_the_dead_mans_switch_and_nobody_else(stage: Stage, host: str) -> None:
    stage.fire({"labels": {"alertname": "Watchdog", "severity": "none"}}, alert("LoadHigh", "warning", host))

    stage.deadman.wait("Watchdog")
    # Posted together: by the time that the other one is everywhere, the Watchdog would have been as well.
    stage.mail.wait(of(host), "the mail about the load")
    stage.hook.wait("LoadHigh", host=host)
    stage.bridge.wait("LoadHigh", host=host)
    assert stage.mail.about(lambda mail: "Watchdog" in mail.part("plain")) == []
    assert stage.hook.about("Watchdog") == stage.bridge.about("Watchdog") == []
    assert stage.deadman.about("LoadHigh") == []


# --- the bridge ---


def test_the_bridge_gets_every_alert_alone_with_its_token_and_its_end(stage: Stage, host: str) -> None:
    warnings = [alert("DiskFullSoon", "warning", host, mountpoint=path) for path in ("/", "/var")]
    stage.fire(alert("AgentDown", "critical", host, agent="a"), *warnings)

    for name, labels in (
        ("AgentDown", {"agent": "a"}),
        ("DiskFullSoon", {"mountpoint": "/"}),
        ("DiskFullSoon", {"mountpoint": "/var"}),
    ):
        call = stage.bridge.wait(name, host=host, **labels)
        assert call.path == "/api/v1/alerts"
        assert call.headers["authorization"] == f"Bearer {BRIDGE_TOKEN}"
        assert [labels["alertname"] for labels in labels_in(call)] == [name]

    stage.end(warnings[0])
    assert len(labels_in(stage.bridge.wait("DiskFullSoon", "resolved", host=host, mountpoint="/"))) == 1


def test_however_many_alerts_there_are_no_request_to_the_bridge_is_large(stage: Stage, host: str) -> None:
    long = "x" * 4000
    stage.fire(*(alert("AgentSlow", "warning", host, agent=f"a{n}", summary=long) for n in range(300)))

    def all_of_them() -> list[Post]:
        calls = stage.bridge.about("AgentSlow", host=host)
        return calls if len(calls) >= 300 else []

    calls = wait_for(all_of_them, 60, "the bridge has all alerts")
    assert sum(len(call.body) for call in calls) > 1 << 20
    assert max(len(call.body) for call in calls) < 10_000


# --- inhibition ---

PAIRS = [
    ("DiskUsageCritical", "DiskUsageHigh", {"mountpoint": "/"}),
    ("CertificateExpiryImminent", "CertificateExpiring", {"certificate": "ssl/cert.pem"}),
    ("HealthScoreCritical", "HealthScoreLow", {}),
    ("MemoryUsageCritical", "MemoryUsageHigh", {}),
    ("AgentDown", "AgentSlow", {"agent": "a"}),
    ("TaskStuck", "TaskStale", {"task": "security-scan"}),
]


@pytest.mark.parametrize(("critical", "warning", "labels"), PAIRS, ids=lambda value: str(value)[:25])
def test_what_is_critical_keeps_the_warning_about_the_same_thing_quiet(
    stage: Stage, host: str, critical: str, warning: str, labels: dict[str, str]
) -> None:
    other = next(_hosts)
    stage.fire(
        alert(critical, "critical", host, **labels),
        alert(warning, "warning", host, **labels),
        alert(warning, "warning", other, **labels),
    )
    stage.mail.wait(of(host, critical), "the critical mail")
    stage.mail.wait(of(other, warning), "the warning about the other host")
    assert stage.mail.about(of(host, warning)) == []
    assert stage.state(host, warning) == "suppressed"


def test_a_warning_about_something_else_is_not_kept_quiet(stage: Stage, host: str) -> None:
    stage.fire(
        alert("DiskUsageCritical", "critical", host, mountpoint="/"),
        alert("DiskUsageHigh", "warning", host, mountpoint="/var"),
        alert("DiskFullSoon", "warning", host, mountpoint="/"),
        alert("AgentDown", "critical", host, agent="a"),
        alert("AgentSlow", "warning", host, agent="b"),
        alert("LoadHigh", "warning", host),
    )
    for name in ("DiskUsageHigh", "DiskFullSoon", "AgentSlow", "LoadHigh"):
        stage.mail.wait(of(host, name), f"the mail about {name}")


def test_of_a_host_that_is_down_only_that_is_told(stage: Stage, host: str) -> None:
    other = next(_hosts)
    rest = [
        alert("ExporterDown", "critical", host),
        alert("AgentDown", "critical", host, agent="a"),
        alert("LoadHigh", "warning", host),
    ]
    stage.fire(
        alert("HostDown", "critical", host),
        *rest,
        alert("AgentDown", "critical", other, agent="a"),
        alert("LoadHigh", "warning", other),
    )
    stage.mail.wait(of(host, "HostDown"), "the mail about the host")
    stage.mail.wait(of(other, "LoadHigh"), "the warning about the other host")
    stage.mail.wait(of(other, "AgentDown"), "the mail about the other host's agent")
    assert {subject(mail) for mail in stage.mail.about(of(host))} == {f"[CRITICAL] HostDown of {host}"}
    assert [stage.state(host, one["labels"]["alertname"]) for one in rest] == ["suppressed"] * 3


def test_a_node_exporter_that_is_down_alone_keeps_nothing_from_the_bridge(stage: Stage, host: str) -> None:
    stage.fire(alert("HostDown", "critical", host), alert("AgentDown", "critical", host, agent="a"))
    stage.bridge.wait("AgentDown", host=host)
    stage.mail.wait(of(host, "AgentDown"), "the mail about the agent")


def test_of_an_exporter_that_is_down_only_that_is_told_unless_its_host_is(stage: Stage, host: str) -> None:
    stage.fire(alert("ExporterDown", "critical", host), alert("TaskStuck", "critical", host, task="t"))
    stage.mail.wait(of(host, "ExporterDown"), "the mail about the exporter")
    assert stage.state(host, "TaskStuck") == "suppressed"

    stage.fire(alert("HostDown", "critical", host))
    stage.mail.wait(of(host, "HostDown"), "the mail about the host")
    assert stage.state(host, "ExporterDown") == "suppressed"


def test_an_exporter_that_prometheus_does_not_know_keeps_nothing_quiet(stage: Stage, host: str) -> None:
    nowhere = alert("ExporterDown", "critical", "")
    problem = alert(f"Problem{host}", "warning", "")
    stage.fire(nowhere, problem)
    stage.mail.wait(lambda mail: f"Problem{host}" in subject(mail), "the alert that has no host either")


# --- hostile texts ---

EVIL = (
    "<script>alert(1)</script>\r\nBcc: victim@example.org\r\n\r\n.\r\nQUIT {{ .ExternalURL }} \"'><img src=x onerror=y>"
)


def test_markup_and_line_breaks_of_an_alert_stay_text(stage: Stage, host: str) -> None:
    hostile = alert("AgentDown", "critical", host, agent=EVIL, summary=f"{host} {EVIL}")
    hostile["annotations"] |= {"description": EVIL, "runbook_url": "javascript:alert(1)"}
    stage.fire(hostile)

    mail = stage.mail.wait(of(host), "the mail about the hostile agent")

    assert sorted(mail.recipients) == [ON_CALL, OPERATOR]
    assert mail.message["Bcc"] is None
    assert not any(character in subject(mail) for character in "\r\n")
    assert subject(mail).startswith(f"[CRITICAL] {host} <script>alert(1)</script> Bcc: victim@example.org")
    assert "<script>alert(1)</script> Bcc: victim@example.org . QUIT {{ .ExternalURL }}" in mail.part("plain")
    assert not any(line.startswith(("Bcc", "QUIT")) for line in mail.part("plain").splitlines())
    page = html5lib.parse(mail.part("html"), namespaceHTMLElements=False)
    assert list(page.iter("script")) == list(page.iter("img")) == []
    assert [link.get("href") for link in page.iter("a")] == [
        stage.hook.wait("AgentDown", host=host).document["externalURL"]
    ]
    assert "<script>alert(1)</script> Bcc" in "".join(page.itertext())


def test_a_severity_that_is_hostile_stays_in_the_subject(stage: Stage, host: str) -> None:
    stage.fire(alert("Odd", "<b>\r\nBcc: victim@example.org", host))
    mail = stage.mail.wait(of(host), "the mail about the odd alert")
    assert subject(mail) == f"[<B> BCC: VICTIM@EXAMPLE.ORG] Odd of {host}"
    assert mail.message["Bcc"] is None


# --- other configurations ---


def test_in_quiet_hours_only_what_is_critical_is_sent(new_stage: Callable[..., Stage], host: str) -> None:
    always = {"quiet_hours": ["00:00-12:00", "12:00-00:00"]}
    # The warning would be the first to be sent.
    times = {"critical": {"wait_seconds": 3, "recipients": []}, "other": {"wait_seconds": 0.1}}
    stage = new_stage({"notifications": always, "alertmanager": times})
    stage.fire(alert("LoadHigh", "warning", host), alert("StoreDown", "critical", host))

    stage.mail.wait(of(host, "StoreDown"), "the critical mail")
    stage.hook.wait("StoreDown", host=host)
    stage.bridge.wait("LoadHigh", host=host)

    assert stage.mail.about(of(host, "LoadHigh")) == []
    assert stage.hook.about("LoadHigh") == []


def test_own_templates_define_the_bundled_ones_anew(new_stage: Callable[..., Stage], tmp_path: Path, host: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "house.tmpl").write_text(
        '{{ define "sutazai.mail.subject" }}House style {{ .Status }}{{ end }}'
    )
    stage = new_stage({"alertmanager": {"templates": str(tmp_path / "own"), "other": {"wait_seconds": 0.1}}})
    stage.fire(alert("LoadHigh", "warning", host))
    assert subject(stage.mail.wait(of(host), "the mail in the house's style")) == "House style firing"


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it has TLS, from the beginning
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_is_encrypted_and_logs_in_with_the_password_of_the_file(
    new_stage: Callable[..., Stage], tmp_path: Path, host: str, security: str
) -> None:
    address, port = "127.0.0.1", None
    if security == "tls":
        need_root("port 465, the only one for it,")
        # An address of loopback that no other test listens on.
        address, port = f"127.77.{os.getpid() >> 8 & 255}.{os.getpid() & 255}", 465
    authority = make(is_ca=True, common_name="test CA")
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem)
    pair = make([address], ca=authority)
    sink = SmtpSink(security, pair, {"sutazai": PASSWORD}, port, address)
    try:
        login = {"username": "sutazai", "password": PASSWORD, "ca_file": str(tmp_path / "ca.pem")}
        stage = new_stage(host=address, port=sink.port, security=security, **login)
        stage.fire(alert("StoreDown", "critical", host))
        mail = sink.wait(of(host), "the mail by an encrypted connection")
    finally:
        sink.close()
    assert mail.encrypted
    assert mail.login == "sutazai"
    assert PASSWORD not in (stage.output / "alertmanager.yml").read_text()


def test_without_a_mail_server_the_rest_works(tmp_path: Path, host: str) -> None:
    bridge = HookSink()
    manager = {"bridge_url": bridge.url, "bridge_token": BRIDGE_TOKEN}
    alertmanager = Alertmanager(write(tmp_path, {"alertmanager": manager}) / "alertmanager.yml")
    try:
        alertmanager.post([alert("LoadHigh", "warning", host)])
        assert bridge.wait("LoadHigh", host=host).headers["authorization"] == f"Bearer {BRIDGE_TOKEN}"
    finally:
        alertmanager.close()
        bridge.close()

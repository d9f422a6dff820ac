"""From a fault to its repair and back to healthy, with the real parts on loopback.

Prometheus scrapes the daemon and a node_exporter and judges by the rules that one command writes, Alertmanager
routes as another one writes: mail to an SMTP server, JSON to a webhook, and every alert to the daemon, which mends
what it knows a remedy for, and proves it. Only times are shorter than in life: one second instead of minutes.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.services.alertmanager import Alertmanager
from tests.services.disks import ext4
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import ExporterDaemon, run_cli
from tests.services.node_exporter import NodeExporter
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.prometheus import Prometheus, scraping
from tests.services.smtp_sink import Mail, SmtpSink
from tests.services.trial_jobs import operator
from tests.services.wait import wait_for
from tests.services.webhook_sink import WebhookSink

AGENT = "e2e-worker"
BRIDGE_TOKEN_SCOPE = "alert"


class Stack:
    """Everything that an operator has running, tied together by what the commands write."""

    def __init__(self, directory: Path, document: dict[str, Any], base_dir: Path | None = None) -> None:
        self.directory, self.base_dir = directory, base_dir or directory / "base"
        self.mails, self.webhook = SmtpSink(), WebhookSink()
        self._opened: list[Any] = [self.mails, self.webhook]
        port = free_port()
        made = self._cli("token", "create", "--name", "alertmanager", "--scope", BRIDGE_TOKEN_SCOPE)
        self.document = {
            **document,
            "web": {"listen_address": f"127.0.0.1:{port}"},
            "notifications": {
                "mail": {
                    **{"host": "127.0.0.1", "port": self.mails.port, "security": "none"},
                    **{"sender": "exporter@example.org", "recipients": ["operator@example.org"]},
                },
                "webhook": {"url": self.webhook.url, "completed": "none"},
            },
            "alertmanager": {
                "delivers": ["mail", "webhook"],
                "bridge_token": made.stdout.strip(),
                "critical": {"wait_seconds": 0.1, "interval_seconds": 1},
                "other": {"wait_seconds": 0.1, "interval_seconds": 1},
            },
            "remediation": {"mode": "auto", "cool_down_seconds": 0},
        }
        try:
            self._start(port)
        except BaseException:
            self.close()
            raise

    def _start(self, port: int) -> None:
        user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        output = self.directory / "alertmanager"
        self._cli("alertmanager-config", "--output", str(output), "--secrets-for", user)
        self.alertmanager = self._open(Alertmanager(output / "alertmanager.yml"))
        # Problems that Prometheus has no labels for (which file is damaged) are alerts as well.
        self.document["alertmanager"]["url"] = self.alertmanager.url
        self.daemon = self._open(ExporterDaemon(self.document, base_dir=self.base_dir, port=port))
        (self.directory / "textfiles").mkdir()
        node = self._open(NodeExporter(self.directory / "textfiles"))
        targets = {"sutazai": self.daemon.port, "node": node.port}
        config = scraping(targets, alertmanager_port=self.alertmanager.port)
        self.prometheus = self._open(Prometheus(config, rules=self._rules()))
        for job in targets:
            self.prometheus.wait_up(job)

    def _rules(self) -> list[Path]:
        """The rules for this configuration, with a `for` of one second."""
        directory = self.directory / "rules"
        self._cli("rules", "--output", str(directory))
        files = sorted(directory.glob("*.rules.yml"))
        for file in files:
            document = yaml.safe_load(file.read_text())
            for rule in (rule for group in document["groups"] for rule in group["rules"] if "for" in rule):
                rule["for"] = "1s"
            file.write_text(yaml.safe_dump(document))
        return files

    def _cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = getattr(self, "document", {})
        done = run_cli(*arguments, base_dir=self.base_dir, config=config)
        assert done.returncode == 0, done
        return done

    def _open(self, part: Any) -> Any:
        self._opened.append(part)
        return part

    def start_task(self, task: str, **body: str) -> None:
        """Ask for a run, as a person does who does not want to wait for the schedule."""
        answer = self.daemon.post(f"/api/v1/tasks/{task}/start", json=body, headers=operator(self.daemon))
        assert answer.status_code == 202, answer.text

    def wait_mail(self, *words: str) -> Mail:
        """Wait for a mail whose subject and text have all these words."""

        def found() -> list[Mail]:
            texts = [(mail, f"{mail.message['subject']}\n{mail.part('plain')}") for mail in list(self.mails.mails)]
            return [mail for mail, text in texts if all(word in text for word in words)]

        return wait_for(found, 60, f"a mail says {words}", detail=self._subjects)[0]

    def _subjects(self) -> str:
        return "\n".join(str(mail.message["subject"]) for mail in self.mails.mails)

    def wait_webhook(self, status: str, alert: str) -> dict[str, Any]:
        """Wait until Alertmanager has told the webhook of an alert in that status."""

        def found() -> list[dict[str, Any]]:
            posted = [post.document for post in list(self.webhook.posts)]
            alerts = [one for document in posted for one in document.get("alerts", ())]
            return [one for one in alerts if (one["status"], one["labels"]["alertname"]) == (status, alert)]

        return wait_for(found, 60, f"the webhook hears that {alert} is {status}")[0]

    def remediations(self) -> list[dict[str, Any]]:
        """Every remediation that there was, as the API tells of it."""
        answer = self.daemon.get("/api/v1/remediations?all=true")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["remediations"]
        return found

    def wait_verified(self, rule: str) -> dict[str, Any]:
        """Wait until a remediation by this rule is proven."""

        def verified() -> list[dict[str, Any]]:
            return [one for one in self.remediations() if (one["rule"], one["state"]) == (rule, "verified")]

        return wait_for(verified, 60, f"{rule} is verified", detail=lambda: str(self.remediations()))[0]

    def close(self) -> None:
        """Stop everything, the last first."""
        for part in reversed(self._opened):
            part.close()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def make(document: dict[str, Any], base_dir: Path | None = None) -> Stack:
        stacks.append(Stack(tmp_path, document, base_dir))
        return stacks[-1]

    yield make
    for one in stacks:
        one.close()


def test_a_killed_agent_is_told_of_brought_back_by_its_alert_and_told_of_again(
    stack: Callable[..., Stack], docker_clean: DockerEngine
) -> None:
    port = free_port()
    docker_clean.run(AGENT_IMAGE, AGENT, port=port)
    world = stack(
        {
            "docker": {"url": docker_clean.url},
            "agents": {"listed": [{"name": AGENT, "port": port}], "timeout_seconds": 5},
            # The monitor itself only looks: it is the alert that brings about the repair.
            "jobs": {"agent_monitor": {"auto_restart": False, "stop_timeout_seconds": 1}},
        }
    )
    daemon, prometheus = world.daemon, world.prometheus
    daemon.wait_metric("sutazai_docker_events_connected", {}, lambda value: value == 1)
    daemon.wait_metric("sutazai_agent_up", {"agent": AGENT}, lambda value: value == 1)
    prometheus.wait_query(f'sutazai_agent_up{{agent="{AGENT}"}} == 1')

    docker_clean.cli("kill", AGENT)

    mail = world.wait_mail("CRITICAL", "AgentDown", AGENT)
    assert AGENT in mail.part("html")
    assert world.wait_webhook("firing", "AgentDown")["labels"]["agent"] == AGENT
    assert world.wait_verified("restart-agent")["target"] == AGENT
    assert docker_clean.state(AGENT)["Running"]
    prometheus.wait_no_alert("AgentDown")
    world.wait_mail("RESOLVED", "AgentDown", AGENT)
    assert world.wait_webhook("resolved", "AgentDown")["labels"]["agent"] == AGENT
    audited = run_cli("audit", "verify", base_dir=daemon.base_dir, config=world.document)
    assert audited.returncode == 0, audited


def test_a_disk_that_fills_with_logs_is_told_of_and_cleaned(stack: Callable[..., Stack], tmp_path: Path) -> None:
    with ext4(64) as disk:
        world = stack({"jobs": {"log_rotation": {"max_log_size_mb": 1, "directories": [{"directory": str(disk)}]}}})
        world.start_task("health-check", mode="light")
        labels = {"mountpoint": str(disk)}
        world.daemon.wait_metric("sutazai_filesystem_used_ratio", labels, lambda value: value < 0.5)

        line = b"a line of a service that says the same all day\n"
        lines = int(0.97 * shutil.disk_usage(disk).free / len(line))
        (disk / "app.log").write_bytes(line * lines)
        world.start_task("health-check", mode="light")

        world.wait_mail("CRITICAL", "DiskUsageCritical", str(disk))
        assert world.wait_webhook("firing", "DiskUsageCritical")["labels"]["mountpoint"] == str(disk)
        world.wait_verified("clean-logs-critical")
        world.daemon.wait_metric("sutazai_filesystem_used_ratio", labels, lambda value: value < 0.5)
        archives = (world.base_dir / "archive" / "logs").glob("*app*.gz")
        archived = b"".join(gzip.decompress(archive.read_bytes()) for archive in archives)
        assert archived.count(line) + (disk / "app.log").read_bytes().count(line) == lines
        world.prometheus.wait_no_alert("DiskUsageCritical")
        world.wait_mail("RESOLVED", "DiskUsageCritical", str(disk))
        world.daemon.stop()  # it may be looking at the disk, which is about to go


def test_a_broken_backup_is_told_of_by_the_name_of_its_file(
    stack: Callable[..., Stack], postgres_server: PostgresServer
) -> None:
    postgres_server.create_database("broken_backup")
    world = stack({"postgres": {"dsn": postgres_server.dsn_of("broken_backup"), "databases": ["broken_backup"]}})
    world.start_task("database-maintenance", mode="backup")
    backups = world.base_dir / "backups" / "database"
    dump = wait_for(lambda: list(backups.glob("*.manifest.json")), 60, "there is a backup")[0]
    broken = dump.with_name(dump.name.removesuffix(".manifest.json"))
    world.start_task("backup-verification", mode="standard")
    failed = {"kind": "database", "result": "failed"}
    world.daemon.wait_metric("sutazai_backups_checked", failed, lambda value: value == 0)

    content = bytearray(broken.read_bytes())
    content[len(content) // 2] ^= 4
    broken.write_bytes(content)
    world.start_task("backup-verification", mode="standard")

    world.prometheus.wait_alert("BackupDamaged")
    world.wait_mail("BackupDamaged")
    assert broken.name in world.wait_mail(broken.name).part("html")

"""Everything that watches and mends, for real: Prometheus, Alertmanager, the daemon, and where their messages end."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from tests.services.alert_sinks import HookSink
from tests.services.alertmanager import Alertmanager
from tests.services.command_here import run_here
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.node_exporter import NodeExporter
from tests.services.ports import free_port
from tests.services.prometheus import Prometheus, scraping
from tests.services.short_rules import shortened_rules
from tests.services.smtp_sink import Mail, SmtpSink
from tests.services.trial_jobs import start
from tests.services.wait import wait_for


class Stack:
    """Everything that an operator has running, tied together by what the commands write.

    Alerts wait `for_seconds` where their rules say minutes.
    """

    def __init__(
        self, directory: Path, document: dict[str, Any], base_dir: Path | None = None, *, for_seconds: int = 1
    ) -> None:
        self._for_seconds = for_seconds
        self.directory, self.base_dir = directory, base_dir or directory / "base"
        self.mails, self.webhook = SmtpSink(), HookSink()
        self._opened: list[Any] = [self.mails, self.webhook]
        port = free_port()
        made = self._cli("token", "create", "--name", "alertmanager", "--scope", "alert")
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
        """The rules for this configuration, which fire at once or in seconds."""
        directory = self.directory / "rules"
        self._cli("rules", "--output", str(directory))
        return shortened_rules(directory, directory, self._for_seconds)

    def _cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = getattr(self, "document", {})
        done = run_here(*arguments, base_dir=self.base_dir, config=config)
        assert done.returncode == 0, done
        return done

    def _open(self, part: Any) -> Any:
        self._opened.append(part)
        return part

    def start_task(self, task: str, **body: str) -> None:
        """Ask for a run, as a person does who does not want to wait for the schedule."""
        start(self.daemon, task=task, **body)

    def wait_mail(self, *words: str) -> Mail:
        """Wait for a mail whose subject and text have all these words."""

        def says(mail: Mail) -> bool:
            text = f"{mail.message['subject']}\n{mail.part('plain')}"
            return all(word in text for word in words)

        return self.mails.wait(says, f"a mail says {words}")

    def inbox(self, alert: str) -> list[dict[str, Any]]:
        """The newest alerts of this name that came in, as the API tells of them."""
        answer = self.daemon.get("/api/v1/alerts?limit=100")
        assert answer.status_code == 200, answer.text
        return [one for one in answer.json()["alerts"] if one["labels"]["alertname"] == alert]

    def remediations(self) -> list[dict[str, Any]]:
        """Every remediation that there was, as the API tells of it."""
        answer = self.daemon.get("/api/v1/remediations")
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

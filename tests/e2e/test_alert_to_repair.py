"""From a fault to its repair and back to healthy, with the real parts on loopback.

Prometheus scrapes the daemon and a node_exporter and judges by the rules that one command writes, Alertmanager
routes as another one writes: mail to an SMTP server, JSON to a webhook, and every alert to the daemon, which mends
what it knows a remedy for, and proves it. Only times are shorter than in life: one second instead of minutes.
"""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.alert_stack import Stack
from tests.services.disks import ext4
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import run_cli
from tests.services.ports import free_port
from tests.services.postgres import PostgresServer
from tests.services.wait import wait_for

AGENT = "e2e-worker"


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
    assert world.webhook.wait_alert("AgentDown")["labels"]["agent"] == AGENT
    assert world.wait_verified("restart-agent")["target"] == AGENT
    assert docker_clean.state(AGENT)["Running"]
    prometheus.wait_no_alert("AgentDown")
    world.wait_mail("RESOLVED", "AgentDown", AGENT)
    assert world.webhook.wait_alert("AgentDown", "resolved")["labels"]["agent"] == AGENT
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
        assert world.webhook.wait_alert("DiskUsageCritical")["labels"]["mountpoint"] == str(disk)
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

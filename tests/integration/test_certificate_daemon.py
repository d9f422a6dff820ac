"""A daemon looks at certificates by itself, and its metrics tell what it saw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.services.certificates import make
from tests.services.exporter_daemon import ExporterDaemon
from tests.services.tls_server import TlsServer

OFF = {"enabled": False}


def test_a_look_at_the_start_shows_what_is_on_disk_and_what_is_served(
    tmp_path: Path, exporter_daemon: Callable[..., ExporterDaemon]
) -> None:
    on_disk = make(("web.example",)).write(tmp_path / "new")
    make(("web.example",)).write(tmp_path / "old")
    with TlsServer(tmp_path / "old/cert.pem", tmp_path / "old/key.pem", tmp_path) as server:
        settings = {
            "files": [{"path": tmp_path / "new/cert.pem", "key": tmp_path / "new/key.pem"}],
            "endpoints": [{"address": server.address, "certificate": tmp_path / "new/cert.pem"}],
        }
        jobs = {"certificate_renewal": settings, "health_check": OFF, "agent_monitor": OFF}
        daemon = exporter_daemon({"jobs": jobs})
        daemon.wait_metric("sutazai_certificate_endpoint_up", {"endpoint": server.address}, lambda value: value == 1)
        metrics = daemon.metrics()
    label = str(tmp_path / "new/cert.pem")
    assert metrics.value("sutazai_certificate_served_matches", endpoint=server.address) == 0
    assert metrics.value("sutazai_certificate_valid", certificate=label) == 1
    end = metrics.value("sutazai_certificate_expiry_timestamp_seconds", certificate=label)
    assert end == int(on_disk.certificate.not_valid_after_utc.timestamp())
    assert metrics.value("sutazai_certificate_renewals_total", result="failed") == 0

"""Containers that use a certificate are told of a new one: by a signal, or by a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.agent_runs import kinds
from tests.services.certificate_runs import CertificateRuns
from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.wait import wait_for

LISTENS = 'trap "echo read anew" HUP; trap "exit 0" TERM; echo ready; while :; do sleep 0.1; done'


@pytest.fixture
def here(tmp_path: Path, docker_clean: DockerEngine) -> Callable[..., CertificateRuns]:
    """Certificate renewal with services, and `web` running."""
    docker_clean.run(AGENT_IMAGE, "web", command=["/bin/sh", "-c", LISTENS])
    wait_for(lambda: "ready" in docker_clean.cli("logs", "web"), 30, "web is ready")

    def runs(*services: Any) -> CertificateRuns:
        return CertificateRuns(tmp_path / "base", docker_url=docker_clean.url, services=list(services))

    return runs


def test_a_container_gets_its_signal(here: Callable[..., CertificateRuns], docker_clean: DockerEngine) -> None:
    started = docker_clean.state("web")["StartedAt"]
    result = here({"container": "web"}).run()
    assert (result.status, kinds(result)) == ("RENEWED", [])
    [reload] = [action for action in result.actions if action.verb == "reload"]
    assert (reload.subject, reload.detail, reload.done) == ("web", "send SIGHUP to the container", True)
    wait_for(lambda: "read anew" in docker_clean.cli("logs", "web"), 30, "the signal has arrived")
    assert docker_clean.state("web")["StartedAt"] == started


def test_a_container_is_restarted_on_request(here: Callable[..., CertificateRuns], docker_clean: DockerEngine) -> None:
    started = docker_clean.state("web")["StartedAt"]
    result = here({"container": "web", "action": "restart", "timeout_seconds": 5}).run()
    assert (result.status, kinds(result)) == ("RENEWED", [])
    assert docker_clean.state("web")["StartedAt"] != started


def test_a_container_that_does_not_run_is_not_started_and_the_renewal_stands(
    here: Callable[..., CertificateRuns], docker_clean: DockerEngine
) -> None:
    docker_clean.cli("stop", "--time", "5", "web")
    runs = here({"container": "web"}, {"container": "web", "action": "restart"}, {"container": "webb"})
    result = runs.run()
    assert kinds(result) == ["reload_failed"] * 3
    assert docker_clean.state("web")["Status"] == "exited"
    assert {"web is exited" in f.message or "no container webb" in f.message for f in result.findings} == {True}
    assert runs.run("watch").verdict == 0


def test_without_an_engine_the_renewal_stands(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    result = CertificateRuns(tmp_path / "base", docker_url=url, services=[{"container": "web"}]).run()
    assert kinds(result) == ["reload_failed"]
    assert "there is no such socket" in result.findings[0].message

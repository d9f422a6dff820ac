"""The image, as its Dockerfile builds it: what is in it, and what it can do where it may do next to nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from docker.models.containers import Container

from tests.services.exporter_image import IMAGE, ImageEngine
from tests.services.local_http import TRANSIENT, ask
from tests.services.metrics import Metrics
from tests.services.python_image import PYTHON_IMAGE
from tests.services.wait import wait_for

URL = "http://127.0.0.1:10042"
SILENT_PORT = 9
"""Somebody takes connections there and never answers."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageEngine]:
    engine = ImageEngine.for_session(tmp_path_factory)
    yield engine
    engine.close()


def in_image(images: ImageEngine, script: str, *options: str) -> str:
    """What a shell script prints in a container of the image, as the image's own user unless told otherwise."""
    return images.engine.cli("run", "--rm", "--network=host", "--entrypoint=sh", *options, IMAGE, "-c", script)


def test_the_image_is_small_and_says_how_it_is_run(
    images: ImageEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    (image,) = json.loads(images.engine.cli("image", "inspect", IMAGE))
    (base,) = json.loads(images.engine.cli("image", "inspect", PYTHON_IMAGE))
    megabytes = (image["Size"] - base["Size"]) / 1e6
    with capsys.disabled():
        sys.stdout.write(f"{image['Size'] / 1e6:.0f} MB, of which {megabytes:.0f} MB are not of the base image\n")
    assert megabytes < 140
    config = image["Config"]
    assert (config["User"], config["StopSignal"]) == ("10042:10042", "SIGTERM")
    assert config["Entrypoint"] == ["sutazai-exporter"] and config["Healthcheck"]["Test"][0] == "CMD"
    assert config["Labels"]["org.opencontainers.image.title"] == "sutazai-exporter"
    assert list(config["Volumes"]) == ["/opt/sutazaiapp"]


def test_the_image_has_nothing_in_it_that_nobody_needs_to_run_it(images: ImageEngine) -> None:
    assert in_image(images, "id -u; id -g").split() == ["10042", "10042"]
    tools = "for tool in gcc cc g++ make ld as pip pip3 git; do command -v $tool; done; python -c 'import pip' 2>&1"
    assert in_image(images, f"{tools}; true").strip().endswith("No module named 'pip'")
    root = "-u0"
    everywhere = r"find / -xdev \( -path /proc -o -path /dev -o -path /sys \) -prune -o"
    writable = in_image(images, rf"{everywhere} ! -type l -perm -0002 -print", root).split()
    assert writable == ["/tmp"]
    assert in_image(images, rf"{everywhere} -type f -perm /6000 -print", root) == ""
    owned = in_image(images, rf"{everywhere} -user 10042 -print", root).split()
    assert set(owned) == {"/opt/sutazaiapp", *(f"/srv/{n}" for n in ("textfile", "rules", "alertmanager", "grafana"))}
    leftovers = in_image(images, "ls -d /src /wheels /etc/pip.conf /root/.cache 2>/dev/null; true", root)
    assert leftovers == ""


@pytest.fixture
def restricted(images: ImageEngine) -> Iterator[Container]:
    """A container that may write its base directory and nothing else, with the engine's own socket."""
    silent = images.world.listener("tcp", "127.0.0.1", SILENT_PORT)
    endpoints = f"[{{name: silent, url: 'http://127.0.0.1:{SILENT_PORT}/', timeout_seconds: 60}}]"
    container = images.engine.run(
        IMAGE,
        "restricted",
        environment={
            "SUTAZAI_DOCKER__URL": "unix:///run/docker.sock",
            "SUTAZAI_WEB__LISTEN_ADDRESS": "127.0.0.1:10042",
            "SUTAZAI_ENDPOINTS": endpoints,
            "SUTAZAI_JOBS__HEALTH_CHECK__SCHEDULE": "[daily at 06:00]",
        },
        command=[],
        init=True,
        read_only=True,
        tmpfs={"/tmp": "size=64m"},
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        group_add=[str(images.engine.socket.stat().st_gid)],
        volumes={
            "restricted-base": {"bind": "/opt/sutazaiapp"},
            str(images.engine.socket): {"bind": "/run/docker.sock"},
        },
        # The image's own check, more often.
        healthcheck={"interval": 1_000_000_000},
    )
    yield container
    container.remove(force=True)
    images.engine.client.volumes.get("restricted-base").remove()
    silent.stop()


def metrics(images: ImageEngine) -> Metrics:
    with images.world.entered():
        return Metrics(ask("GET", f"{URL}/metrics").text)


def executed(images: ImageEngine, *command: str) -> tuple[int, str]:
    """Exit code and output of a command in the container."""
    done = images.engine.client.containers.get("restricted").exec_run(list(command))
    return done.exit_code, done.output.decode()


def test_it_serves_runs_and_stops_where_all_but_its_base_directory_is_read_only(
    images: ImageEngine, restricted: Container
) -> None:
    def health() -> bool:
        return images.engine.state("restricted")["Health"]["Status"] == "healthy"

    wait_for(health, 60, "the container is healthy", detail=lambda: restricted.logs().decode())
    assert executed(images, "touch", "/venv/x")[0] != 0

    code, output = executed(images, "sutazai-exporter", "run", "agent-monitor", "--json")
    assert code in (0, 1, 2, 3), output
    assert json.loads(output)["outcome"] == "ok"
    code, output = executed(images, "sutazai-exporter", "run", "security-scan", "--dry-run")
    assert code in (0, 1, 2, 3), output
    executed(images, "sh", "-c", "(sleep 0 &)")
    wait_for(lambda: "Z" not in states(images), 30, "orphans are buried")

    stopped_with_a_run_under_way(images, restricted)


def states(images: ImageEngine) -> str:
    """The states of the container's processes."""
    return executed(images, "sh", "-c", "sed -n 's/^State:[[:space:]]*//p' /proc/[0-9]*/status")[1]


def stopped_with_a_run_under_way(images: ImageEngine, container: Container) -> None:
    _, token = executed(images, "sutazai-exporter", "token", "create", "--name", "me", "--scope", "operate")
    with images.world.entered():
        headers = {"Authorization": f"Bearer {token.strip()}"}
        started = ask("POST", f"{URL}/api/v1/tasks/health-check/start", headers=headers, json={"mode": "light"})
    assert started.status_code == 202, started.text

    def running() -> bool:
        return metrics(images).value("sutazai_task_running", task="health-check") == 1

    wait_for(running, 60, "the health check is running", ignoring=(LookupError, *TRANSIENT))
    assert metrics(images).value("sutazai_docker_events_connected") == 1
    container.stop(timeout=30)
    state: Any = images.engine.state("restricted")
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    options = ("--rm", "--network=none", "--volume=restricted-base:/opt/sutazaiapp")
    history = images.engine.cli("run", *options, IMAGE, "history", "--task=health-check", "--json")
    assert json.loads(history)["runs"][0]["outcome"] == "stopped"

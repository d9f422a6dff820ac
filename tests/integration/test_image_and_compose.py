"""The image, as its Dockerfile builds it: what is in it, and what it can do where it may do next to nothing.

And compose.yaml, brought up by a real docker-compose: who runs with which powers, and what reaches whom. One engine
serves both: to build the image is most of what they cost.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from docker.models.containers import Container

from jobs.clients.docker import DockerEngine as Client
from jobs.clients.errors import ClientError
from jobs.core.settings import DockerSettings
from tests.services.alertmanager import amtool, promtool
from tests.services.compose_world import FILE, ComposeWorld
from tests.services.docker_images import AGENT_IMAGE
from tests.services.exporter_daemon import REPOSITORY
from tests.services.exporter_image import IMAGE, ImageEngine
from tests.services.local_http import TRANSIENT, ask, get_json
from tests.services.metrics import Metrics
from tests.services.wait import wait_for

URL = "http://127.0.0.1:10042"
SILENT_PORT = 9
"""Somebody takes connections there and never answers."""

AGENT = "compose-agent"
AGENT_PORT = 8001
AGENT_LABELS = {"sutazai.agent": "true", "sutazai.agent.port": str(AGENT_PORT)}
PORTS = {10042, 9090, 9093, 9100, 3000}
SERVICES = ("alertmanager", "docker-proxy", "exporter", "grafana", "node-exporter", "prometheus")


@pytest.fixture(scope="module")
def images() -> Iterator[ImageEngine]:
    engine = ImageEngine()
    yield engine
    engine.close()


# The image


def in_image(images: ImageEngine, script: str, *options: str) -> str:
    """What a shell script prints in a container of the image, as the image's own user unless told otherwise."""
    return images.engine.cli("run", "--rm", "--network=host", "--entrypoint=sh", *options, IMAGE, "-c", script)


def test_the_image_is_small_and_says_how_it_is_run(images: ImageEngine, capsys: pytest.CaptureFixture[str]) -> None:
    (image,) = json.loads(images.engine.cli("image", "inspect", IMAGE))
    # Newest first; the oldest one is the base, which is of one piece.
    layers = images.engine.cli("history", "--human=false", "--format={{.Size}}", IMAGE).split()
    megabytes = sum(map(int, layers[:-1])) / 1e6
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
        # The image's own check, more often; not each second, as each is a process of its own.
        healthcheck={"interval": 3_000_000_000},
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


# Everything, by compose.yaml


@pytest.fixture(scope="module")
def world(images: ImageEngine) -> Iterator[ComposeWorld]:
    """Everything up and listening, and an agent beside it."""
    world = ComposeWorld(images)
    images.engine.run(AGENT_IMAGE, AGENT, port=AGENT_PORT, wait=False, labels=AGENT_LABELS)
    world.up()
    for port in PORTS:
        listens = partial(connected, images, port)
        wait_for(listens, 60, f"somebody listens on {port}", ignoring=(OSError,), detail=world.logs)
    yield world
    world.down()


def test_no_service_has_more_powers_than_it_needs(world: ComposeWorld) -> None:
    for name in (*SERVICES, "prepare"):
        found = world.inspect(name)
        host, config = found["HostConfig"], found["Config"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"] and not host["Privileged"], name
        assert host["Memory"] > 0 and host["PidsLimit"] > 0, name
        assert host["RestartPolicy"]["Name"] == ("no" if name == "prepare" else "unless-stopped"), name
        assert host["LogConfig"]["Config"]["max-size"] == "10m", name
        if name != "docker-proxy":
            assert config["User"] not in ("", "0", "root", "0:0"), name
            assert "docker.sock" not in json.dumps(host["Binds"]), name
    assert world.inspect("docker-proxy")["HostConfig"]["NetworkMode"] == "none"
    assert world.inspect("exporter")["HostConfig"]["Init"] is True


def test_all_listen_on_this_machine_alone(world: ComposeWorld) -> None:
    lines = world.exec("exporter", "cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    listening = {row[1].partition(":") for row in map(str.split, lines) if len(row) > 3 and row[3] == "0A"}
    ports = {int(port, 16) for _, _, port in listening}
    assert ports >= PORTS
    assert {address for address, _, _ in listening} == {"0100007F"}


def test_images_are_pinned_and_mounted_files_exist() -> None:
    services: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    for name, service in services.items():
        if service["image"] != "sutazai-exporter":
            tag = service["image"].partition(":")[2]
            assert tag.count(".") >= 2, f"{name}: {service['image']} is no version"
        for source in (volume.partition(":")[0] for volume in service["volumes"] if volume.startswith("./")):
            assert (FILE.parent / source).exists(), f"{name}: {source}"


def test_an_alert_gets_to_the_exporter_with_the_token_that_was_made_for_it(
    world: ComposeWorld, images: ImageEngine
) -> None:
    def came() -> list[Any]:
        alerts = local(images, f"{URL}/api/v1/alerts")["alerts"]
        return [alert for alert in alerts if alert["labels"]["alertname"] == "Compose"]

    with images.world.entered():
        sent = amtool("alert", "add", "Compose", "severity=warning", "--alertmanager.url=http://127.0.0.1:9093")
    assert sent.returncode == 0, sent
    wait_for(came, 60, "the alert is in", ignoring=TRANSIENT, detail=world.logs)
    assert world.exec("alertmanager", "stat", "-c", "%a %u", token_file(world)).split() == ["600", "10042"]


def token_file(world: ComposeWorld) -> str:
    config = yaml.safe_load(world.exec("alertmanager", "cat", "/srv/alertmanager/alertmanager.yml"))
    (bridge,) = (one for one in config["receivers"] if one["name"] == "bridge")
    return str(bridge["webhook_configs"][0]["http_config"]["authorization"]["credentials_file"])


def test_a_killed_agent_is_restarted_through_the_proxy(world: ComposeWorld, images: ImageEngine) -> None:
    def seen() -> bool:
        return metrics(images).value("sutazai_agent_up", agent=AGENT) == 1

    world.exec("exporter", "sh", "-c", "sutazai-exporter run agent-monitor || true")
    wait_for(seen, 60, "the agent is healthy", ignoring=(LookupError, *TRANSIENT), detail=world.logs)
    before = images.engine.state(AGENT)["StartedAt"]
    images.engine.cli("kill", AGENT)
    wait_for(lambda: images.engine.state(AGENT)["StartedAt"] != before, 60, "it was restarted", detail=world.logs)


def test_to_prepare_again_changes_nothing(world: ComposeWorld) -> None:
    before = world.exec("alertmanager", "cat", token_file(world))
    world.run("up", "--no-build", "--no-deps", "--force-recreate", "prepare")
    assert world.exec("alertmanager", "cat", token_file(world)) == before
    tokens = json.loads(world.exec("exporter", "cat", "/opt/sutazaiapp/secrets_secure/tokens.json"))
    assert len(tokens) == 1


@pytest.fixture
def through_proxy(world: ComposeWorld, images: ImageEngine) -> Client:
    """The exporter's own client, at the proxy's socket."""
    return Client(DockerSettings(url=f"unix://{proxy_socket(images)}"))


def proxy_socket(images: ImageEngine) -> str:
    (volume,) = (v for v in images.engine.client.volumes.list() if v.name.endswith("docker-proxy"))
    return f"{volume.attrs['Mountpoint']}/docker.sock"


def test_what_the_exporter_does_passes_the_proxy(through_proxy: Client, images: ImageEngine) -> None:
    (agent,) = (one for one in through_proxy.containers() if one.name == AGENT)
    assert through_proxy.version() and through_proxy.images() and through_proxy.data_root()
    assert through_proxy.inspect(agent.id).name == AGENT
    assert through_proxy.usage(agent.id, through_proxy.memory_bytes()) is not None
    assert through_proxy.log_tail(agent.id, 5)
    through_proxy.restart(agent.id, 1)
    through_proxy.signal(agent.id, "SIGWINCH")
    with pytest.raises(ClientError, match="403"):
        through_proxy.signal(agent.id, "SIGKILL")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/containers/create"),
        ("POST", "/v1.41/containers/create?name=x"),
        ("POST", f"/containers/{AGENT}/exec"),
        ("POST", f"/containers/{AGENT}/kill"),
        ("POST", f"/containers/{AGENT}/kill?signal=SIGHUP&signal=SIGKILL"),
        ("POST", f"/containers/{AGENT}/stop"),
        ("POST", f"/containers/{AGENT}/update"),
        ("POST", "/images/create?fromImage=x"),
        ("POST", "/build"),
        ("POST", "/containers/x/../create"),
        ("POST", "/containers/x%2f..%2fcreate/restart"),
        ("DELETE", f"/containers/{AGENT}"),
        ("PUT", f"/containers/{AGENT}/archive?path=/"),
        ("GET", f"/containers/{AGENT}/archive?path=/"),
        ("GET", f"/containers/{AGENT}/export"),
        ("GET", "/volumes"),
        ("GET", "/secrets"),
        ("GET", f"/containers/{AGENT}/attach/ws"),
        ("HEAD", "/info"),
        ("POST", "/info"),
    ],
)
def test_whatever_else_there_is_does_not(world: ComposeWorld, images: ImageEngine, method: str, path: str) -> None:
    connection = http.client.HTTPConnection("docker", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(proxy_socket(images))
    # Without a body: the proxy refuses before it has read one.
    connection.request(method, path)
    assert connection.getresponse().status == 403
    connection.close()
    assert images.engine.state(AGENT)["Running"]


# So late because they wait for what is done twice a minute, which the others pass the time for.


def test_every_service_becomes_healthy(world: ComposeWorld) -> None:
    def unhealthy() -> dict[str, str]:
        states = {name: world.inspect(name)["State"] for name in SERVICES}
        return {name: state["Status"] for name, state in states.items() if state["Health"]["Status"] != "healthy"}

    wait_for(lambda: not unhealthy(), 120, "every service is healthy", detail=world.logs)
    assert world.inspect("prepare")["State"]["ExitCode"] == 0


def test_prometheus_scrapes_all_and_has_the_rules(world: ComposeWorld, images: ImageEngine) -> None:
    def up() -> set[str]:
        targets = local(images, "http://127.0.0.1:9090/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}

    wait_for(lambda: up() == {"sutazai", "node", "prometheus", "alertmanager"}, 90, "all are up", ignoring=TRANSIENT)
    groups = local(images, "http://127.0.0.1:9090/api/v1/rules")["data"]["groups"]
    names = {rule["name"] for group in groups for rule in group["rules"]}
    assert {"AgentDown", "ExporterDown", "Watchdog"} <= names
    # The exporter's textfile is there for node_exporter, and tells nobody anything twice.
    assert "sutazai_build_info" in world.exec("node-exporter", "cat", "/srv/textfile/sutazai.prom")
    query = "count by (job) (sutazai_build_info)"
    answer = local(images, "http://127.0.0.1:9090/api/v1/query", params={"query": query})
    assert [series["metric"]["job"] for series in answer["data"]["result"]] == ["sutazai"]


def test_programs_in_containers_are_shut_until_they_are_let(world: ComposeWorld, through_proxy: Client) -> None:
    def says_hello() -> bool:
        with through_proxy.program(AGENT, ["echo", "hello"], environment={}, timeout_seconds=10) as program:
            return b"hello" in b"".join(program.chunks())

    with pytest.raises(ClientError, match="403"):
        says_hello()
    world.up(ALLOW_EXEC="1")
    wait_for(says_hello, 60, "programs are let", ignoring=(ClientError,), detail=world.logs)


def test_the_files_are_good_without_containers_as_well(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    for rules in (REPOSITORY / "alert_rules").glob("*.rules.yml"):
        (tmp_path / "rules" / rules.name).write_text(rules.read_text())
    (tmp_path / "prometheus.yml").write_text((REPOSITORY / "deploy" / "prometheus.yml").read_text())
    checked = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert checked.returncode == 0, checked


def connected(images: ImageEngine, port: int) -> bool:
    """Whether a port takes connections in the network of the containers; OSError where it does not."""
    with images.world.entered(), socket.create_connection(("127.0.0.1", port), 10):
        return True


def local(images: ImageEngine, url: str, **options: Any) -> Any:
    """The JSON at a URL, in the network of the containers."""
    with images.world.entered():
        return get_json(url, **options)

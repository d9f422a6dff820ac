"""The audit of containers on a real engine: each kind of weakness is found, and its clean twin is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.types import DeviceRequest, LogConfig

from jobs.core.model import Severity
from jobs.core.settings import DockerSettings
from jobs.security.containers.audit import AUDIT
from jobs.security.scanner import Seen, Weakness
from tests.services.docker_engine import DockerEngine as RealEngine
from tests.services.docker_images import AGENT_IMAGE
from tests.services.looks import clients_of, look

CANARY = "Canary-8e1f-Value"
PINNED = "sutazai-planted:1.0"
CLEAN: dict[str, Any] = {
    "user": "1000:1000", "read_only": True, "mem_limit": "64m", "pids_limit": 50, "cap_drop": ["ALL"],
    "cap_add": ["NET_BIND_SERVICE"], "security_opt": ["no-new-privileges:true"],
    "restart_policy": {"Name": "unless-stopped"},
    "log_config": LogConfig(type="json-file", config={"max-size": "10m", "max-file": "3"}),
    "healthcheck": {"test": ["CMD", "/bin/true"], "interval": 10**12},
    "network_mode": "none",
}  # fmt: skip
"""A container with nothing to find fault with."""

# What is planted: the weakness that it must give (rule, what tells it apart, severity), and what makes it so.
PLANTED: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "privileged": ("privileged_container", "", "critical", {"privileged": True}),
    "host-network": ("host_network_namespace", "", "medium", {"network_mode": "host"}),
    "host-pid": ("host_pid_namespace", "", "high", {"pid_mode": "host"}),
    "host-ipc": ("host_ipc_namespace", "", "medium", {"ipc_mode": "host"}),
    "host-uts": ("host_uts_namespace", "", "low", {"uts_mode": "host"}),
    "host-user": ("host_user_namespace", "", "medium", {"userns_mode": "host"}),
    "socket": ("engine_socket_mounted", "/x/docker.sock", "critical", {"volumes": ["/x/docker.sock:/s"]}),
    "socket-read-only": ("engine_socket_mounted", "/x/docker.sock", "critical", {"volumes": ["/x/docker.sock:/s:ro"]}),
    "containerd": (
        "engine_socket_mounted", "/run/containerd/containerd.sock", "critical",
        {"volumes": ["/run/containerd/containerd.sock:/s"]},
    ),
    "sockets": ("engine_socket_mounted", "/run", "critical", {"volumes": ["/var/run:/host-run"]}),
    "root": ("host_directory_mounted", "/", "critical", {"volumes": ["/:/host"]}),
    "root-read-only": ("host_directory_mounted", "/", "high", {"volumes": ["/:/host:ro"]}),
    "etc": ("host_directory_mounted", "/etc", "critical", {"volumes": ["/etc/:/host-etc"]}),
    "home-of-root": ("host_directory_mounted", "/root", "critical", {"volumes": ["/root:/r"]}),
    "ssh": ("host_directory_mounted", "/etc/ssh/deep", "high", {"volumes": ["/etc/ssh/deep:/r:ro"]}),
    "no-user": ("root_user", "", "medium", {"user": None}),
    "user-0": ("root_user", "", "medium", {"user": "0"}),
    "user-root": ("root_user", "", "medium", {"user": "root"}),
    "user-0-0": ("root_user", "", "medium", {"user": "0:0"}),
    "user-00-group": ("root_user", "", "medium", {"user": "00:1000"}),
    "all": ("added_capability", "ALL", "critical", {"cap_add": ["ALL"]}),
    "sys-admin": ("added_capability", "SYS_ADMIN", "critical", {"cap_add": ["CAP_SYS_ADMIN"]}),
    "net-admin": ("added_capability", "NET_ADMIN", "high", {"cap_add": ["net_admin"]}),
    "sys-time": ("added_capability", "SYS_TIME", "medium", {"cap_add": ["SYS_TIME"]}),
    "seccomp": (
        "seccomp_unconfined", "", "high", {"security_opt": ["no-new-privileges", "seccomp=unconfined"]},
    ),
    "apparmor": (
        "apparmor_unconfined", "", "medium", {"security_opt": ["no-new-privileges", "apparmor=unconfined"]},
    ),
    "new-privileges": ("new_privileges_allowed", "", "low", {"security_opt": []}),
    "new-privileges-said": ("new_privileges_allowed", "", "low", {"security_opt": ["no-new-privileges:false"]}),
    "memory-device": ("host_device", "/dev/mem", "critical", {"devices": ["/dev/mem:/dev/mem:r"]}),
    "fuse": ("host_device", "/dev/fuse", "medium", {"devices": ["/dev/fuse"]}),
    "any-device": ("host_device", "a *:* rwm", "critical", {"device_cgroup_rules": ["a *:* rwm"]}),
    "no-health-check": ("no_health_check", "", "low", {"healthcheck": None}),
    "switched-off": ("no_health_check", "", "low", {"healthcheck": {"test": ["NONE"]}}),
    "no-memory-limit": ("no_memory_limit", "", "medium", {"mem_limit": None}),
    "no-pids-limit": ("no_process_limit", "", "low", {"pids_limit": None}),
    "any-pids": ("no_process_limit", "", "low", {"pids_limit": -1}),
    "no-log-limit": ("no_log_limit", "", "medium", {"log_config": None}),
    "latest": ("floating_image_tag", "", "low", {"image": f"{AGENT_IMAGE}:latest"}),
    "no-tag": ("floating_image_tag", "", "low", {"image": AGENT_IMAGE}),
    "writable": ("writable_root_filesystem", "", "low", {"read_only": False}),
    "no-restart": ("no_restart_policy", "", "info", {"restart_policy": None}),
    "password": (
        "secret_in_environment", "POSTGRES_PASSWORD", "high", {"environment": {"POSTGRES_PASSWORD": CANARY}},
    ),
    "url": (
        "secret_in_environment", "DB", "high", {"environment": {"DB": f"postgresql://app:{CANARY}@db:5432/app"}},
    ),
    "default-password": (
        "default_password_in_environment", "DB_PASS", "high", {"environment": {"DB_PASS": "ChangeMe"}},
    ),
    "argument": ("secret_in_command", "requirepass", "high", {"command": ["/bin/sh", "--requirepass", CANARY]}),
    "store": (
        "port_published_everywhere", "5432/tcp", "high", {"network_mode": None, "ports": {"5432/tcp": 15432}},
    ),
    "store-v6": (
        "port_published_everywhere", "11434/tcp", "high", {"network_mode": None, "ports": {"11434/tcp": ("::", 11434)}},
    ),
    "engine-port": (
        "port_published_everywhere", "2375/tcp", "critical",
        {"network_mode": None, "ports": {"2375/tcp": ("0.0.0.0", 2375)}},
    ),
    "grafana": ("port_published_everywhere", "3000/tcp", "medium", {"network_mode": None, "ports": {"3000/tcp": 3000}}),
    "port": ("port_published_everywhere", "8000/tcp", "low", {"network_mode": None, "ports": {"8000/tcp": 8000}}),
    "web": ("port_published_everywhere", "443/tcp", "info", {"network_mode": None, "ports": {"443/tcp": 443}}),
}  # fmt: skip

# What looks similar and is well.
TWINS: dict[str, dict[str, Any]] = {
    "plain": {},
    "default-capabilities": {"cap_add": ["CHOWN", "SETUID", "CAP_SETGID", "net_raw"]},
    "named-user": {"user": "agent"},
    "local-log": {"log_config": LogConfig(type="local")},
    "no-log": {"log_config": LogConfig(type="none")},
    "data": {"volumes": ["/srv/agent/data:/data", "planted-volume:/var/lib/data", "/etc/localtime:/etc/localtime:ro"]},
    "loopback": {"network_mode": None, "ports": {"5432/tcp": ("127.0.0.1", 15432), "6379/tcp": ("::1", 16379)}},
    "exposed": {"network_mode": None, "ports": {"9999/tcp": ("127.0.0.1", None)}},
    "own-namespaces": {"ipc_mode": "private"},
    "graphics": {
        "devices": ["/dev/null:/dev/nvidia0"], "device_requests": [DeviceRequest(count=-1, capabilities=[["gpu"]])],
    },
    "references": {
        "environment": {
            "POSTGRES_PASSWORD_FILE": "/run/secrets/db", "DB_PASSWORD": "", "API_KEY": "${API_KEY}",
            "JWT_SECRET": "/run/secrets/jwt", "MAX_TOKEN": "4096", "TOKEN_LIFETIME": "a-week", "PWD": "/app",
            "DB": "postgresql://app@db:5432/app", "DEBUG_TOKEN": "false", "KEYCLOAK_ADMIN": "admin",
        },
    },
    "arguments": {"command": ["/bin/sh", "--requirepass-file", "/run/secrets/x", "--tokens=5"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(docker_engine: RealEngine) -> Iterator[RealEngine]:
    docker_engine.clean()
    docker_engine.client.images.get(AGENT_IMAGE).tag(*PINNED.split(":"))
    for name, (_, _, _, options) in PLANTED.items():
        create(docker_engine, f"bad-{name}", options)
    for name, options in TWINS.items():
        create(docker_engine, f"good-{name}", options)
    yield docker_engine
    docker_engine.clean()
    docker_engine.client.images.remove(PINNED)


@pytest.fixture(scope="module")
def seen(planted: RealEngine, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return audit(planted, tmp_path_factory.mktemp("base"))


def create(engine: RealEngine, name: str, changes: dict[str, Any]) -> Any:
    """A container that is set up and never started: that is all the audit looks at."""
    options = {key: value for key, value in {**CLEAN, **changes}.items() if value is not None}
    image, command = options.pop("image", PINNED), options.pop("command", ["/bin/sh"])
    return engine.client.containers.create(image, command, name=name, **options)


def audit(engine: RealEngine, base_dir: Path, *, full: bool = True) -> Seen:
    return look(AUDIT, clients_of(base_dir, docker=DockerSettings(url=engine.url)), full=full)


def of(seen: Seen, name: str) -> list[Weakness]:
    return [one for one in seen.weaknesses if one.subject.partition("/")[0] == name]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_weakness_is_found_and_nothing_else(seen: Seen, name: str) -> None:
    rule, thing, severity, _ = PLANTED[name]
    found = [(w.rule, w.subject, w.severity) for w in of(seen, f"bad-{name}")]
    assert found == [(rule, f"bad-{name}/{thing}" if thing else f"bad-{name}", Severity(severity))]


@pytest.mark.parametrize("name", TWINS)
def test_its_clean_twin_is_not(seen: Seen, name: str) -> None:
    assert of(seen, f"good-{name}") == []


def test_everything_was_looked_at_and_has_a_remedy(seen: Seen) -> None:
    assert (seen.scanned, seen.missed) == (len(PLANTED) + len(TWINS), [])
    assert all(weakness.remedy and weakness.message.isprintable() for weakness in seen.weaknesses)


def test_no_value_of_a_secret_is_told(seen: Seen) -> None:
    told = json.dumps([vars(weakness) for weakness in seen.weaknesses])
    assert "POSTGRES_PASSWORD" in told
    assert not any(part in told for part in (CANARY, CANARY[:6], "ChangeMe"))


def test_a_standard_scan_leaves_out_what_is_stopped_and_says_so(planted: RealEngine, tmp_path: Path) -> None:
    running = create(
        planted, "runs", {"command": ["/bin/sleep", "1000"], "user": None, "cap_drop": None, "stop_signal": "SIGKILL"}
    )
    running.start()
    try:
        seen = audit(planted, tmp_path, full=False)
    finally:
        running.remove(force=True)
    assert (seen.scanned, [(w.rule, w.subject) for w in seen.weaknesses]) == (1, [("root_user", "runs")])
    assert seen.details["stopped_containers_left_out"] == len(PLANTED) + len(TWINS)


def test_every_rule_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security-containers.md").read_text()
    assert [rule for rule, *_ in PLANTED.values() if f"`{rule}`" not in page] == []

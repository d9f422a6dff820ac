"""A private Docker engine: its own containerd, directories and socket, and no hand on the host's network."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import psutil
from docker.models.containers import Container

from tests.services.binaries import need, need_root
from tests.services.docker_images import (
    AGENT_IMAGE,
    HEALTH_FILE,
    NOSHELL_IMAGE,
    agent_image,
    command_of,
    noshell_image,
)
from tests.services.process import Process, Service, plain_environment, private_directory, remove_directory
from tests.services.wait import wait_for

LABEL = "sutazai.test"
_LAYERS_BYTES = 2 << 30
"""More than our large images take, with all their layers."""

# cri and the opt plugin would make directories outside ours.
_CONTAINERD = """version = 2
root = "{directory}/containerd"
state = "{directory}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{directory}/containerd.sock"
"""


class DockerEngine(Service):
    """An engine that is running, with AGENT_IMAGE and NOSHELL_IMAGE in it.

    Containers use the host's network, as the engine has none of its own. `url` is for clients, `client` is one. `stop`
    takes the engine and its containers away, `start` brings the engine back without them. With `layers` images are kept
    as such where the file system can do that, which large ones need, and in memory where there is enough. `prefix` is a
    command to run the engine under.
    """

    def __init__(self, *, layers: bool = False, prefix: Sequence[str] = ()) -> None:
        need_root("dockerd")
        self._layers, self._prefix = layers, list(prefix)
        self._dockerd = need("dockerd", package="docker.io")
        self._containerd = need("containerd", package="containerd")
        self._docker = need("docker", package="docker-cli (docker.io before Debian 13)")
        self.directory = private_directory("docker", memory_bytes=_LAYERS_BYTES if layers else 0)
        self.socket = self.directory / "docker.sock"
        self.url = f"unix://{self.socket}"
        self._cgroup = self.directory.name
        try:
            self._start_containerd()
            self.start()
            self.client = docker.DockerClient(base_url=self.url, timeout=60)
            self._import(AGENT_IMAGE, agent_image())
            self._import(NOSHELL_IMAGE, noshell_image())
        except BaseException:
            self.close()
            raise

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to use this engine and no other."""
        # BuildKit needs a plug-in of the command line that not every system has.
        config = {"DOCKER_CONFIG": str(self.directory / "cli"), "DOCKER_BUILDKIT": "0"}
        return plain_environment(DOCKER_HOST=self.url, **config)

    def start(self) -> None:
        """Start dockerd on the directories it has had, and wait until it answers."""
        self.process = Process([*self._prefix, *self._command()], log_file=self.directory / "dockerd.log")
        self.process.wait_ready(self._answers, "the Docker engine answers", ignoring=(docker.errors.DockerException,))

    def run(
        self,
        image: str,
        name: str,
        *,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
        labels: Mapping[str, str] | None = None,
        wait: bool = True,
        **options: Any,
    ) -> Container:
        """Start a container and return it; with `port` and `wait`, once its web server answers.

        `options` are those of docker-py's `containers.create` (`healthcheck=`, `mem_limit=`).
        """
        container: Container = self.client.containers.create(
            image,
            list(command) if command is not None else command_of(image, port),
            name=name,
            environment={"PORT": str(port), **(environment or {})},
            labels={LABEL: "1", **(labels or {})},
            network_mode=options.pop("network_mode", "host"),
            # In an image without a shell nothing handles SIGTERM.
            stop_signal=options.pop("stop_signal", "SIGKILL" if image == NOSHELL_IMAGE else "SIGTERM"),
            **options,
        )
        container.start()
        if port and wait:
            wait_for(lambda: _listening(port), 30, f"{name} listens on {port}", detail=lambda: _log_of(container))
        return container

    def cli(self, *arguments: str, check: bool = True, timeout_seconds: float = 120) -> str:
        """What `docker ARGUMENTS` prints; raise with its error output when it fails and `check` is set."""
        done = subprocess.run(
            [self._docker, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
        if check and done.returncode != 0:
            said = f"{done.stderr}{done.stdout[-2000:]}"
            raise RuntimeError(f"docker {' '.join(arguments)} ended with {done.returncode}: {said}")
        return done.stdout

    def import_image(self, archive: Path, name: str, *changes: str) -> None:
        """Make an image of the file system in a tar archive; `changes` are lines of a Dockerfile (`USER nobody`)."""
        self.cli("import", *(f"--change={change}" for change in changes), str(archive), name, timeout_seconds=300)
        archive.unlink()

    def build(self, context: Path, tag: str, **arguments: str) -> str:
        """Build an image from a directory with a Dockerfile, with these build arguments; return what was said.

        By the builder that every engine has in it; its steps see the host's network, as the engine has none.
        """
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        return self.cli("build", "--network=host", "--tag", tag, *given, str(context), timeout_seconds=600)

    def set_health(self, name: str, *, healthy: bool) -> None:
        """Make /health of a container of AGENT_IMAGE answer 200, or 404."""
        self.cli("exec", name, *(["touch"] if healthy else ["rm", "-f"]), HEALTH_FILE)

    def state(self, name: str) -> Mapping[str, Any]:
        """`State` of `docker inspect`."""
        state: Mapping[str, Any] = self.client.containers.get(name).attrs["State"]
        return state

    def clean(self) -> None:
        """Remove every container, whatever state it is in."""
        for container in self.client.containers.list(all=True, ignore_removed=True):
            try:
                container.remove(force=True)
            except docker.errors.NotFound:
                continue

    def close(self) -> None:
        """Stop everything and remove its files, mounts and cgroups."""
        if hasattr(self, "client"):
            self._clean_at_the_end()
            self.client.close()
        for name in ("process", "containerd"):
            if hasattr(self, name):
                getattr(self, name).stop()
        self._unmount()
        self._remove_cgroups()
        remove_directory(self.directory)

    def _command(self) -> list[str]:
        (self.directory / "daemon.json").write_text("{}")
        options = {
            "config-file": self.directory / "daemon.json",
            "containerd": self.directory / "containerd.sock",
            "data-root": self.directory / "data",
            "exec-root": self.directory / "exec",
            "pidfile": self.directory / "docker.pid",
            "host": self.url,
            # Plain copies: no mounts, and it works on every file system; our images are 2 MB.
            "storage-driver": "vfs",
            "exec-opt": "native.cgroupdriver=cgroupfs",
            "cgroup-parent": f"/{self._cgroup}",
            "bridge": "none",
            **dict.fromkeys(("iptables", "ip6tables", "ip-forward", "ip-masq", "userland-proxy"), "false"),
        }
        if self._layers and _has_overlays(self.directory):
            options["storage-driver"] = "overlay2"
        return [self._dockerd, *(f"--{name}={value}" for name, value in options.items())]

    def _start_containerd(self) -> None:
        config = self.directory / "containerd.toml"
        config.write_text(_CONTAINERD.format(directory=self.directory))
        self.containerd = Process(
            [*self._prefix, self._containerd, "--config", str(config)], log_file=self.directory / "containerd.log"
        )
        self.containerd.wait_ready((self.directory / "containerd.sock").exists, "containerd listens")

    def _answers(self) -> bool:
        client = docker.DockerClient(base_url=self.url, timeout=10)
        try:
            return client.ping()
        finally:
            client.close()

    def _import(self, name: str, archive: bytes) -> None:
        self.client.api.import_image_from_data(archive, repository=name, tag="latest")

    def _clean_at_the_end(self) -> None:
        if not self.process.running:
            self.start()  # only it can end containers that it has left behind
        self.process.resume()
        self.clean()

    def _unmount(self) -> None:
        inside = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((m for m in inside if m.is_relative_to(self.directory)), reverse=True):
            subprocess.run(["umount", "--lazy", str(mount)], check=False, timeout=30)

    def _remove_cgroups(self) -> None:
        for found in [*Path("/sys/fs/cgroup").glob(f"*/{self._cgroup}"), Path("/sys/fs/cgroup") / self._cgroup]:
            if found.is_dir():
                for group in sorted((p for p in found.rglob("*") if p.is_dir()), reverse=True):
                    group.rmdir()
                found.rmdir()


def _has_overlays(directory: Path) -> bool:
    """Whether an overlay can be mounted on the file system of a directory."""
    parts = {name: directory / f"overlay-{name}" for name in ("lower", "upper", "work", "merged")}
    for part in parts.values():
        part.mkdir(exist_ok=True)
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    mount = ["mount", "-t", "overlay", "overlay", "-o", options, str(parts["merged"])]
    if subprocess.run(mount, capture_output=True, timeout=30).returncode:
        return False
    subprocess.run(["umount", str(parts["merged"])], check=True, timeout=30)
    return True


def _listening(port: int) -> bool:
    listening = (c.laddr for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN)
    return any(address and address.port == port for address in listening)


def _log_of(container: Container) -> str:
    return container.logs(tail=50).decode(errors="replace")

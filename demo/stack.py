"""Everything that `make demo` runs: agents, exporter, Alertmanager, Prometheus; started in order, ended in reverse."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from demo import configuration
from demo.agents import ContainerAgents, NoDocker, ProcessAgents, docker_url
from demo.api import Api, Exporter, Unreachable
from demo.ground import Ground
from demo.interrupts import interrupted_later, no_more_interrupts
from demo.layout import DemoError, Layout, Running
from demo.processes import Child, command, environment, exporter, program
from jobs.core.files import atomic_write

_READY_SECONDS = 60.0
_POLL_SECONDS = 0.2

Say = Callable[[str], None]


class Stack:
    """The running demo."""

    def __init__(self, layout: Layout, say: Say, *, docker: bool) -> None:
        self._layout, self._say, self._docker = layout, say, docker
        self._env = environment(layout.base, SUTAZAI_CONFIG_FILE=str(layout.config_file))
        self._children: list[Child] = []
        self._stack = ExitStack()
        self._told: Running | None = None
        self.exporter = Exporter(f"http://{layout.exporter}")

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException as error:
            self._close(type(error))
            raise
        return self

    def __exit__(self, why: type[BaseException] | None, *_: object) -> None:
        self._close(why)

    def _close(self, why: type[BaseException] | None) -> None:
        no_more_interrupts()
        if why is KeyboardInterrupt:
            self._say("\nEnding everything …")
        self._stack.close()

    def check(self) -> None:
        """DemoError when a part has ended by itself."""
        for child in self._children:
            child.check()
        self.agents.check()
        if self._told and self._told.processes != self.agents.processes:
            self._tell()

    def _start(self) -> None:
        prometheus = program("prometheus", package="prometheus")
        alertmanager = program("prometheus-alertmanager", "alertmanager", package="prometheus-alertmanager")
        ground = Ground(self._layout)
        self._stack.callback(ground.release)
        self.agents = self._start_agents(ground)
        self._say("Starting the exporter, Alertmanager and Prometheus: a few seconds.")
        self._configure()
        layout = self._layout
        self._run("the exporter", exporter("serve"))
        self._run("Alertmanager", [alertmanager, *self._flags(layout.alertmanager, "alertmanager", "storage.path"),
                                   "--cluster.listen-address="])  # fmt: skip
        self._run("Prometheus", [prometheus, *self._flags(layout.prometheus, "prometheus", "storage.tsdb.path")])
        for name, url in (("the exporter", layout.exporter), ("Alertmanager", layout.alertmanager),
                          ("Prometheus", layout.prometheus)):  # fmt: skip
            self._wait(name, url)
        self._tell()

    def _tell(self) -> None:
        """Let those who break it know what there is."""
        self._told = Running(
            directory=str(self._layout.directory),
            first_port=self._layout.first_port,
            pid=os.getpid(),
            docker_url=self.agents.docker_url,
            containers=self.agents.containers,
            processes=self.agents.processes,
            backups=self._backups,
        )
        self._told.write()

    def _start_agents(self, ground: Ground) -> ContainerAgents | ProcessAgents:
        url = docker_url() if self._docker else None
        containers = ContainerAgents(self._layout, url, self._say) if url else None
        if not containers:
            self._say("There is no Docker engine here." if self._docker else "Docker is left out, as asked.")
        # The containers of a demo that was killed have ports of ours.
        elif not self._works(containers, containers.connect):
            containers = None
        ground.clear()
        self._stack.callback(self._layout.told.unlink, missing_ok=True)
        if containers:
            self._stack.callback(containers.stop)
            if self._works(containers, containers.start):
                return containers
            containers.stop()
        processes = ProcessAgents(self._layout)
        self._stack.callback(processes.stop)
        processes.start()
        return processes

    def _works(self, containers: ContainerAgents, step: Callable[[], None]) -> bool:
        try:
            step()
        except NoDocker as error:
            self._say(f"Docker at {containers.docker_url} cannot be used: {error}")
            return False
        return True

    def _configure(self) -> None:
        """Write every part's configuration, the exporter's first: the others are made from it."""
        layout, env = self._layout, environment(self._layout.base)
        for directory in (layout.config_file.parent, layout.log.parent, layout.directory / "prometheus"):
            directory.mkdir(parents=True, exist_ok=True)
        bridge = command(exporter("token", "create", "--name", "alertmanager", "--scope", "alert"), env).strip()
        operate = command(exporter("token", "create", "--name", "demo", "--scope", "operate"), env)
        atomic_write(layout.token_file, operate.strip().encode(), mode=0o600)
        self._backups = not configuration.has_databases()
        docker = self.agents.docker_url
        document = configuration.exporter_document(layout, docker, bridge, backups=self._backups)
        self._write(layout.config_file, document)
        self._write(layout.directory / "prometheus" / "prometheus.yml", configuration.prometheus_document(layout))
        rules = layout.directory / "prometheus" / "rules"
        command(exporter("rules", "--output", str(rules)), self._env)
        configuration.shorten(rules)
        user = command(["id", "-un"], self._env).strip()
        output = str(layout.directory / "alertmanager")
        command(exporter("alertmanager-config", "--output", output, "--secrets-for", user), self._env)
        # The world is well in the beginning; the schedule only looks.
        command(exporter("run", "certificate-renewal"), self._env)
        if self._backups:
            command(exporter("run", "database-maintenance", "--mode", "backup"), self._env)

    def _write(self, file: Path, document: dict[str, Any]) -> None:
        atomic_write(file, yaml.safe_dump(document, sort_keys=False).encode(), mode=0o600)

    def _flags(self, address: str, name: str, storage: str) -> list[str]:
        directory = self._layout.directory / name
        config, data = directory / f"{name}.yml", directory / "data"
        return [f"--config.file={config}", f"--{storage}={data}", f"--web.listen-address={address}"]

    def _run(self, name: str, argv: list[str]) -> None:
        log_file = self._layout.directory / f"{name.removeprefix('the ').lower()}.log"
        with interrupted_later():
            child = Child(name, argv, log_file, self._env)
            self._stack.callback(child.stop)
        self._children.append(child)

    def _wait(self, name: str, address: str) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready(address):
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{name} does not answer at {address}; its log is in {self._layout.directory}")
            time.sleep(_POLL_SECONDS)

    def _ready(self, address: str) -> bool:
        try:
            Api(f"http://{address}").get("/-/ready")
        except Unreachable:
            return False
        return True

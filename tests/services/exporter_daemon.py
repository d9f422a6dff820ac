"""The exporter itself, as a user runs it: the daemon, and the command line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import requests
import yaml

from jobs.core.registry import all_jobs
from tests.services.local_http import TRANSIENT, ask
from tests.services.metrics import Metrics, value_in
from tests.services.ports import free_port
from tests.services.process import READY_SECONDS, Process, plain_environment, private_directory, remove_directory
from tests.services.wait import wait_for

REPOSITORY = Path(__file__).resolve().parents[2]

Config = Mapping[str, Any] | str


def command_line(*arguments: str) -> list[str]:
    """The command `sutazai-exporter ARGUMENTS` of this checkout."""
    return [sys.executable, "-m", "exporter", *arguments]


def environment_of(base_dir: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment for the exporter: none of the caller's SUTAZAI_* or DOCKER_*, and what the test adds."""
    own = {"PYTHONPATH": str(REPOSITORY), "SUTAZAI_BASE_DIR": str(base_dir), "HOME": str(base_dir.parent)}
    return plain_environment(**{**own, **(environment or {})})


def write_config(path: Path, config: Config) -> Path:
    """Write a configuration, given as a mapping or as YAML text."""
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(_plain(config)))
    return path


class ExporterDaemon:
    """A daemon that is running: `sutazai-exporter serve` on a port and base directory of its own.

    `prefix` is a command to run it under (`["prlimit", "--nofile=128"]`); it must end in exec, so that `pid`
    is the daemon's. With `wait=False` it is not waited for (`wait_ready` does).
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        base_dir: Path | None = None,
        port: int | None = None,
        arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
        wait: bool = True,
    ) -> None:
        self.directory = private_directory("exporter")
        self.base_dir = base_dir or self.directory / "base"
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config_file = write_config(self.directory / "exporter.yml", config if config is not None else {})
        self._environment = environment_of(self.base_dir, environment)
        self._arguments, self._prefix = list(arguments), list(prefix)
        self._descendants: list[psutil.Process] = []
        try:
            self.start(wait=wait)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        return self.process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it (again) on its configuration, base directory and port."""
        serve = command_line("serve", "--config.file", str(self.config_file))
        serve += ["--web.listen-address", f"127.0.0.1:{self.port}", *self._arguments]
        self.process = Process(
            [*self._prefix, *serve], log_file=self.directory / "log", env=self._environment, cwd=self.directory
        )
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout_seconds: float = READY_SECONDS) -> None:
        """Wait until /-/ready answers 200."""
        self.process.wait_ready(
            lambda: self.get("/-/ready").status_code == 200,
            "the exporter is ready",
            ignoring=TRANSIENT,
            timeout_seconds=timeout_seconds,
        )

    def configure(self, config: Config) -> None:
        """Write another configuration; SIGHUP (`hangup`) or a restart makes it count."""
        write_config(self.config_file, config)

    def hangup(self) -> None:
        """Send SIGHUP."""
        self.process.send(signal.SIGHUP)

    def stop(self, timeout_seconds: float = 30) -> int:
        """SIGTERM it, wait, and return its exit status (-9: it had to be killed)."""
        self._remember_descendants()
        return self.process.stop(timeout_seconds)

    def kill(self) -> None:
        """SIGKILL the daemon alone; its runs are left to themselves."""
        self._remember_descendants()
        self.process.kill()

    def close(self) -> None:
        """End it and whatever it has left running, and remove its files (not a `base_dir` that was given)."""
        if hasattr(self, "process"):
            self.stop()
        for process in self._descendants:
            if process.is_running():  # psutil compares start times: never a stranger with the same id
                process.kill()
        remove_directory(self.directory)

    def log(self) -> str:
        """Everything it has written to its standard output and error."""
        return self.process.log()

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path of it."""
        return ask("GET", self.url + path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST to a path of it."""
        return ask("POST", self.url + path, **options)

    def metrics(self) -> Metrics:
        """What it exposes on /metrics."""
        return Metrics(self._exposition())

    def _exposition(self) -> str:
        answer = self.get("/metrics")
        answer.raise_for_status()
        return answer.text

    def wait_metric(
        self,
        name: str,
        labels: Mapping[str, str] | None = None,
        predicate: Callable[[float], object] = lambda value: True,
        timeout_seconds: float = 30,
    ) -> float:
        """Wait until the one sample with these labels is there and as `predicate` wants; return its value."""

        def value() -> list[float]:
            found = value_in(self._exposition(), name, **(labels or {}))
            if not predicate(found):
                raise LookupError(f"it is {found:g}")
            return [found]

        what = f"{name}{dict(labels or {})} is as wanted"
        return wait_for(value, timeout_seconds, what, ignoring=(LookupError, *TRANSIENT), detail=self._tail)[0]

    def wait_no_metric(self, name: str, labels: Mapping[str, str] | None = None, timeout_seconds: float = 30) -> None:
        """Wait until no sample with these labels is exposed."""
        what = f"{name}{dict(labels or {})} is gone"
        wait_for(lambda: not self.metrics().samples(name, **(labels or {})), timeout_seconds, what, detail=self._tail)

    def wait_log(self, text: str, timeout_seconds: float = 30) -> None:
        """Wait until its log contains `text`."""
        wait_for(lambda: text in self.log(), timeout_seconds, f"the log says {text!r}", detail=self._tail)

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-60:])

    def _remember_descendants(self) -> None:
        if self.process.running:
            self._descendants += psutil.Process(self.pid).children(recursive=True)


def only(**jobs: Mapping[str, Any]) -> dict[str, Any]:
    """The section `jobs` in which the schedule and events start these jobs (by their keys) and no others.

    Each job that a new daemon begins with is a process of its own, for nothing where a test does not look at it.
    """
    return {**{job.key: {"enabled": False} for job in all_jobs().values()}, **jobs}


NO_JOBS = {"jobs": only()}
"""A configuration in which nothing runs by itself."""


def run_cli(
    *arguments: str,
    base_dir: Path,
    config: Config | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout_seconds: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `sutazai-exporter ARGUMENTS` to its end; a `config` is written beside the base directory."""
    environment = environment_of(base_dir)
    if config is not None:
        environment["SUTAZAI_CONFIG_FILE"] = str(write_config(base_dir.parent / "exporter.yml", config))
    return subprocess.run(
        command_line(*arguments),
        env={**environment, **(env or {})},
        cwd=base_dir.parent,
        input=stdin or "",
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
    )


def _plain(value: Any) -> Any:
    """`value` as YAML can write it: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value

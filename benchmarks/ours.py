"""Our own processes, as they are measured."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon, command_line, run_cli
from tests.services.local_http import ask
from tests.services.ports import free_port
from tests.services.process import Process, plain_environment, private_directory, remove_directory

EMPTY_TASK = "empty"
_EMPTY_JOB = '''"""A job that does nothing: what a run costs by itself."""

from jobs.core.job import Job
from jobs.core.model import Result
from jobs.core.settings import JobSettings


def run(settings, clients, request):
    return Result(status="OK")


JOB = Job("empty", "Do nothing.", cadences=(), settings=JobSettings, run=run)
'''


def with_empty_job() -> AbstractContextManager[Path]:
    """A copy of the packages that has one more job, EMPTY_TASK."""
    return with_job(EMPTY_TASK, _EMPTY_JOB)


@contextmanager
def with_job(name: str, source: str) -> Iterator[Path]:
    """A copy of the packages that has one more job."""
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as directory:
        for package in ("exporter", "jobs"):
            shutil.copytree(REPOSITORY / package, Path(directory, package))
        Path(directory, "jobs", f"{name}.py").write_text(source)
        yield Path(directory)


@contextmanager
def daemon(config: Any = None, packages: Path = REPOSITORY, *, wait: bool = True) -> Iterator[ExporterDaemon]:
    """A daemon of these packages; unless `config` says otherwise it leaves this machine's agents alone."""
    config = {"agents": {"listed": [], "discover": False}} | (config or {})
    running = ExporterDaemon(config, environment={"PYTHONPATH": str(packages)}, wait=wait)
    try:
        yield running
    finally:
        running.close()


class Starter:
    """Starts tasks of a daemon through its API."""

    def __init__(self, running: ExporterDaemon) -> None:
        made = run_cli("token", "create", "--name", "benchmark", "--scope", "operate", base_dir=running.base_dir)
        self._headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        self._daemon = running

    def __call__(self, task: str, target: str = "") -> None:
        """Start a task; raise for a refusal."""
        body = {"target": target} if target else {}
        self._daemon.post(f"/api/v1/tasks/{task}/start", json=body, headers=self._headers).raise_for_status()


class ModuleServer:
    """A server that is a module of the benchmarks: it gets a port, and the rest of its arguments from `arguments`.

    That is given a directory of the server's own. It is ready once it answers on `path`.
    """

    def __init__(self, module: str, path: str, arguments: Callable[[Path], Sequence[str]]) -> None:
        self.directory = private_directory(module.rpartition(".")[2].replace("_", "-"))
        self.port = free_port()
        self._path = path
        argv = [command_line()[0], "-m", module, str(self.port), *arguments(self.directory)]
        env = plain_environment(PYTHONPATH=str(REPOSITORY))
        self.process = Process(argv, log_file=self.directory / "log", env=env)
        self.process.wait_ready(self._answers, f"{module} answers", ignoring=(OSError,))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def close(self) -> None:
        """Stop it."""
        self.process.stop()
        remove_directory(self.directory)

    def _answers(self) -> bool:
        return ask("GET", f"http://127.0.0.1:{self.port}{self._path}").ok


class SeriesServer(ModuleServer):
    """`benchmarks.series_server` with the series of `exposition`."""

    def __init__(self, exposition: str) -> None:
        def arguments(directory: Path) -> Sequence[str]:
            file = directory / "series.txt"
            file.write_text(exposition)
            return [str(file)]

        super().__init__("benchmarks.series_server", "/metrics", arguments)

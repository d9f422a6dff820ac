"""A checkout of its own whose jobs a test writes, so that a run does exactly what the test needs it to do.

`exporter` and the packages below `jobs` are links to this repository's; each job is one new file. Whoever is
started with `environment` (a daemon, the command line) finds them, and so do the processes of its runs.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

import exporter.metrics
import exporter.processes.process
import exporter.settings
import jobs
import jobs.core.registry
from exporter.clock import SystemClock
from exporter.config import Configuration, load
from exporter.web.access.tokens import Tokens
from tests.services.exporter_daemon import ExporterDaemon

REPOSITORY = Path(__file__).resolve().parents[2]
TASK, KEY = "trial-work", "trial_work"
_JOB = '''
"""Does what a test wants: its work is a setting."""

import os, signal, subprocess, sys, time
from pathlib import Path

from pydantic import Field, SecretStr

from jobs.core.job import Job, JobError, ReportFiles
from jobs.core.model import *
from jobs.core.cadence import Cadence
from jobs.core.settings import JobSettings


class Settings(JobSettings):
    """What the run is to do."""

    code: str = Field("", description="Python that the run executes; what it leaves in `result` is the result.")
    password: SecretStr | None = Field(None, description="A secret of its own.")


def run(settings, clients, request):
    """Execute the code."""
    names = dict(globals(), settings=settings, clients=clients, request=request)
    names["result"] = Result(status="GOOD", report={"status": "GOOD"})
    exec(settings.code, names)
    return names["result"]


JOB = Job(
    name="NAME",
    summary="Does what a test wants.",
    cadences=CADENCES,
    settings=Settings,
    run=run,
    modes=("full", "light"),
    takes_target=True,
    metrics=(
        Family(name="sutazai_PREFIX_value", help="A value.", labels=("thing",)),
        Family(name="sutazai_PREFIX_things_total", help="Things.", labels=("thing",), type=MetricType.COUNTER),
        Family(name="sutazai_PREFIX_score", help="A score."),
    ),
    report=ReportFiles("reports/PREFIX", "PREFIX_report", "reports/latest_PREFIX_report.json", log_stem="PREFIX"),
)
'''


class TrialPackage:
    """The checkout in `directory`; with `real_jobs` it has this repository's jobs as well."""

    def __init__(self, directory: Path, *, real_jobs: bool = False, cadences: str = "()") -> None:
        self.directory = directory
        self._jobs = directory / "jobs"
        self._added: list[str] = []
        self._jobs.mkdir(parents=True)
        (directory / "exporter").symlink_to(REPOSITORY / "exporter")
        for file in (REPOSITORY / "jobs").iterdir():
            package = file.name == "__init__.py" or (file.is_dir() and file.name != "__pycache__")
            if package or (real_jobs and file.suffix == ".py"):
                (self._jobs / file.name).symlink_to(file)
        self.add(TASK, cadences=cadences)

    @property
    def environment(self) -> dict[str, str]:
        """What makes Python find this checkout before any other."""
        return {"PYTHONPATH": str(self.directory)}

    def add(self, name: str, *, prefix: str = "trial", cadences: str = "()") -> Path:
        """Add a job: one new file."""
        source = _JOB.replace("NAME", name).replace("PREFIX", prefix).replace("CADENCES", cadences)
        file = self._jobs / f"{name.replace('-', '_')}.py"
        file.write_text(source)
        self._added.append(f"jobs.{file.stem}")
        return file

    @contextmanager
    def in_process(self) -> Iterator[None]:
        """Let this very process know these jobs and no others, and its runs as well."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jobs, "__path__", [str(self._jobs)])
            patch.setattr(exporter.processes.process, "CODE", self.directory)
            self._forget()
            yield
        self._forget()

    def _forget(self) -> None:
        """Drop what was remembered of the jobs that there were."""
        for module in (jobs.core.registry, exporter.settings, exporter.metrics):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
        for name in self._added:
            sys.modules.pop(name, None)


def work(code: str = "", *, task: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    """A configuration whose trial task does this; `task` are its further settings, `sections` other sections."""
    return {**sections, "jobs": {KEY: {"code": code, **(task or {})}}}


def configuration_of(base_dir: Path, document: dict[str, Any]) -> Configuration:
    """A validated configuration made of this document alone."""
    base_dir.mkdir(parents=True, exist_ok=True)
    file = base_dir.with_suffix(".yml")
    file.write_text(yaml.safe_dump({"base_dir": str(base_dir), **document}))
    return load(file, environment={})


def operator(daemon: ExporterDaemon, scope: str = "operate") -> dict[str, str]:
    """Headers with a new token of a running daemon."""
    tokens = Tokens(daemon.base_dir / "secrets_secure" / "tokens.json")
    secret = tokens.create(f"test-{secrets.token_hex(4)}", (scope,), SystemClock().now())
    return {"Authorization": f"Bearer {secret}"}


def start(daemon: ExporterDaemon, headers: dict[str, str] | None = None, *, task: str = TASK, **body: str) -> None:
    """Have a daemon start a task, the trial one unless told."""
    answer = daemon.post(f"/api/v1/tasks/{task}/start", json=body, headers=headers or operator(daemon))
    assert answer.status_code == 202, answer.text


def wait_runs(daemon: ExporterDaemon, outcome: str, count: float = 1, timeout_seconds: float = 30) -> None:
    """Wait until so many runs of the trial task are counted with an outcome."""
    labels = {"task": TASK, "outcome": outcome}
    daemon.wait_metric("sutazai_task_runs_total", labels, lambda value: value == count, timeout_seconds)

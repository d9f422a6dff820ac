"""Which jobs there are: every module beside this package that has a `JOB`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import jobs

if TYPE_CHECKING:
    from jobs.core.job import Job


def load_job(name: str) -> Job:
    """Import the one job called `name` (`health-check`); raise KeyError where there is none."""
    module_name = name.replace("-", "_")
    if name not in job_names():
        raise KeyError(name)
    job: Job = importlib.import_module(f"jobs.{module_name}").JOB
    if job.name != name:
        raise ValueError(f"jobs/{module_name}.py calls its job {job.name!r}; a job is named as its file: {name!r}")
    return job


@cache
def all_jobs() -> Mapping[str, Job]:
    """Every job by its name, in the order of the names."""
    return MappingProxyType({name: load_job(name) for name in job_names()})


@cache
def job_names() -> tuple[str, ...]:
    """The name of every job, in order; none is loaded for it."""
    return tuple(sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(jobs.__path__) if not m.ispkg))

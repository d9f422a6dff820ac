"""Which jobs there are: every module beside this package that has a `JOB`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import jobs
from jobs.core.job import Job


def load_job(name: str) -> Job:
    """Import the one job called `name` (`health-check`); raise KeyError where there is none."""
    module_name = name.replace("-", "_")
    if module_name not in _module_names():
        raise KeyError(name)
    job: Job = importlib.import_module(f"jobs.{module_name}").JOB
    if job.name != name:
        raise ValueError(f"jobs/{module_name}.py calls its job {job.name!r}; a job is named as its file: {name!r}")
    return job


@cache
def all_jobs() -> Mapping[str, Job]:
    """Every job by its name, in the order of the names."""
    return MappingProxyType({name: load_job(name) for name in (m.replace("_", "-") for m in _module_names())})


def _module_names() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(jobs.__path__) if not m.ispkg)

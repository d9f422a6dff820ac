"""What may be asked for: a task that there is, in a mode that it has, of a target that it needs or takes."""

from __future__ import annotations

from exporter.misspelt import nearest
from jobs.core.job import Job
from jobs.core.model import Request
from jobs.core.registry import job_names, load_job
from jobs.core.settings import AGENT_NAME


class UnknownRequest(ValueError):
    """There is no such task, mode or target; the message names the nearest."""


def check(request: Request) -> tuple[Job, Request]:
    """The request's job, and the request with its mode filled in; raise UnknownRequest if there is none."""
    names = job_names()
    if request.task not in names:
        meant = nearest(request.task, names) or f"; there are {', '.join(names)}"
        raise UnknownRequest(f"no task is called {request.task!r}{meant}")
    job = load_job(request.task)
    mode = request.mode or job.modes[0]
    if mode not in job.modes:
        meant = nearest(mode, job.modes) or f"; it has {', '.join(job.modes)}"
        raise UnknownRequest(f"{job.name} has no mode {mode!r}{meant}")
    if mode in job.needs_target and not request.target:
        raise UnknownRequest(f"{job.name} {mode} is always about one thing: name it as the target")
    if request.target and not AGENT_NAME.fullmatch(request.target):
        raise UnknownRequest(f"{request.target!r} cannot be a target: letters, digits, '_', '.' and '-' only")
    return job, request.model_copy(update={"mode": mode})

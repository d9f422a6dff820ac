"""Arguments that a shell can complete: tasks, modes, agents, reports, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from exporter.failure import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.views.sources import Sources

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Names = Callable[[click.Context], Iterable[str]]


def completing(names: Names) -> Complete:
    """What completes from these names; while somebody types, what cannot be read is no reason to complain."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from exporter.config import ConfigError
        from exporter.store import StoreError

        try:
            return [CompletionItem(name) for name in names(context) if name.startswith(incomplete)]
        except (ConfigError, StoreError, OSError):
            return []

    return complete


def task_option(help_text: str = "Only this task.") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--task`, as the argument `task`."""
    return click.option("--task", metavar="TASK", shell_complete=completing(tasks), help=help_text)


def check_task(task: str | None) -> None:
    """Raise Failure, with the nearest name, where there is no such task."""
    from exporter.runs.asking import UnknownRequest, check
    from jobs.core.model import Request

    if task is None:
        return
    try:
        check(Request(task=task))
    except UnknownRequest as error:
        raise Failure(str(error), EXIT_USAGE) from None


def tasks(context: click.Context) -> Iterable[str]:
    """Every task's name."""
    from jobs.core.registry import job_names

    return job_names()


def agents(context: click.Context) -> Iterable[str]:
    """Every agent that was seen."""
    from exporter.views.agents import agents as view

    return [entry["agent"] for entry in view(_sources(context))]


def reports(context: click.Context) -> Iterable[str]:
    """`latest`, and the id of every report of the task that is asked for."""
    from exporter.views.reports import reports as view

    return ["latest", *(entry["id"] for entry in view(_sources(context), context.params.get("task")))]


def settings(context: click.Context) -> Iterable[str]:
    """The key of every setting."""
    from exporter.settings import leaf_fields

    return [".".join(path) for path, _ in leaf_fields()]


def _sources(context: click.Context) -> Sources:
    from exporter.app import open_sources
    from exporter.config import load

    return open_sources(load(context.params.get("config_file")))

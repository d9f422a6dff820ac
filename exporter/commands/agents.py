"""The command `agents`: how they are, and their release from quarantine."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.clock import SystemClock
from exporter.commands.base import config_option
from exporter.commands.run import run
from exporter.config import load


@click.group(no_args_is_help=False)
def agents() -> None:
    """The agents: how they are, and release from quarantine."""


@agents.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def list_agents(config_file: Path | None, as_json: bool) -> None:
    """How each agent was when it was last looked at."""
    from exporter import app, console
    from exporter.replay import replayed_metrics

    configuration = load(config_file)
    metrics = replayed_metrics(configuration, app.open_store(configuration, read_only=True), SystemClock().now())
    console.print_agents(metrics, as_json=as_json)


@agents.command()
@click.argument("agent")
@config_option
@click.option("--dry-run", is_flag=True, help="Print what would be done; change and write nothing.")
@click.pass_context
def release(context: click.Context, agent: str, config_file: Path | None, dry_run: bool) -> None:
    """Release AGENT from quarantine, give it its restarts back, and look at it at once.

    The same as `run agent-monitor --mode release --target AGENT`; a daemon on the same base directory takes
    the result up within a second.
    """
    context.invoke(run, task="agent-monitor", mode="release", target=agent, config_file=config_file, dry_run=dry_run)

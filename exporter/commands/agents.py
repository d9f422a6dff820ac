"""The command `agents`: how they are, their restart, and their release from quarantine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from exporter.commandline.arguments import agents as known_agents
from exporter.commandline.arguments import completing
from exporter.commandline.options import Group, config_option, dry_run_option, json_option

_agent_argument = click.argument("agent", shell_complete=completing(known_agents))


@click.group(cls=Group, default="list")
def agents() -> None:
    """The agents: how they are, restart, release from quarantine.

    \b
    Examples:
      sutazai-exporter agents list
      sutazai-exporter agents restart sutazai-agent-orchestrator --dry-run
      sutazai-exporter agents release sutazai-agent-orchestrator
    """


@agents.command("list")
@config_option
@json_option
def list_agents(config_file: Path | None, as_json: bool) -> None:
    """How each agent was when it was last looked at.

    \b
    Examples:
      sutazai-exporter agents list
      sutazai-exporter agents list --json
    """
    from exporter import app
    from exporter.commandline import console
    from exporter.commandline.tables import agent_table
    from exporter.config import load
    from exporter.views.agents import agents as view

    entries = view(app.open_sources(load(config_file)))
    nothing = "No agents are known yet; `sutazai-exporter run agent-monitor` looks for them."
    console.show(entries, agent_table, nothing, as_json=as_json)


@agents.command()
@_agent_argument
@config_option
@dry_run_option
@json_option
def restart(**order: Any) -> None:
    """Restart AGENT now, however it is: healthy, failing, or stopped by somebody.

    The same as `run agent-monitor --mode restart --target AGENT`; with `--mode repair` one that is healthy is left
    alone.

    \b
    Examples:
      sutazai-exporter agents restart sutazai-agent-orchestrator --dry-run
      sutazai-exporter agents restart sutazai-agent-orchestrator
    """
    _visit("restart", **order)


@agents.command()
@_agent_argument
@config_option
@dry_run_option
@json_option
def release(**order: Any) -> None:
    """Release AGENT from quarantine, give it its restarts back, and look at it at once.

    The same as `run agent-monitor --mode release --target AGENT`; a daemon on the same base directory takes
    the result up within a second.

    \b
    Examples:
      sutazai-exporter agents release sutazai-agent-orchestrator --dry-run
      sutazai-exporter agents release sutazai-agent-orchestrator
    """
    _visit("release", **order)


def _visit(mode: str, agent: str, **order: Any) -> None:
    from exporter.commandline.job_flags import Chosen
    from exporter.commandline.one_run import Order, carry_out

    carry_out(Order(task="agent-monitor", choice=Chosen(mode=mode), target=agent, **order))

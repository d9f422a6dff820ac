"""The command `ping`: whether the daemon answers."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.commandline.options import config_option, seconds_option
from exporter.failure import Failure

EXIT_SILENT = 1


@click.command()
@config_option
@seconds_option("--timeout", "timeout_seconds", least=0.1, most=600, default=4, help_text="Time for the answer.")
def ping(config_file: Path | None, timeout_seconds: float) -> None:
    """Whether the daemon that serves this base directory answers: for health checks of containers and supervisors.

    It is asked where it says that it listens, over TLS where its web configuration file says so, without password,
    token or certificate: an answer that lets nobody in is an answer.

    \b
    Examples:
      sutazai-exporter ping
      sutazai-exporter ping --timeout 2

    \b
    Exit codes: 0 it answers; 1 it does not, or there is none; 78 wrong configuration.
    """
    from exporter import app
    from exporter.commandline.beside import ask
    from exporter.config import load

    configuration = load(config_file)
    base_dir = configuration.settings.base_dir
    daemon = app.daemon_of(configuration)
    if daemon is None:
        raise Failure(f"{base_dir}: no daemon serves it; start one: sutazai-exporter serve", EXIT_SILENT)
    if not daemon.url:
        raise Failure(f"{base_dir}: the daemon (pid {daemon.pid}) does not listen yet; try again", EXIT_SILENT)
    reply = ask(daemon.url, "/-/healthy", timeout_seconds / 2)
    if reply.status is None or reply.status >= 500:
        reason = reply.error or f"status {reply.status}"
        raise Failure(f"{daemon.url}: no answer of the daemon (pid {daemon.pid}): {reason}; see its log", EXIT_SILENT)
    click.echo(f"The daemon (pid {daemon.pid}) answers at {daemon.url}.")

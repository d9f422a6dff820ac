"""The command line: each command reads its arguments, asks the part that does it, and prints."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from exporter import __version__
from exporter.commands.base import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure, config_option
from exporter.config import ConfigError, Configuration, load

_ELSEWHERE = ("agents", "alertmanager-config", "audit", "notify", "remediations", "rules", "run", "token")
"""Commands that have a module of their own in `exporter.commands`."""


class Commands(click.Group):
    """Loads a command that has its own module when it is asked for: a daemon keeps for months what it has loaded."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Every command's name."""
        return sorted([*super().list_commands(context), *_ELSEWHERE])

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of a name."""
        if name not in _ELSEWHERE:
            return super().get_command(context, name)
        module = name.replace("-", "_")
        command: click.Command = getattr(import_module(f"exporter.commands.{module}"), module)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(__version__, prog_name="sutazai-exporter")
def commands() -> None:
    """Measure, repair and watch over a self-hosted AI stack.

    \b
    Examples:
      sutazai-exporter serve                       serve on 127.0.0.1:10042
      sutazai-exporter run health-check            one check now, with its report
      sutazai-exporter run agent-monitor --dry-run what would be restarted
      sutazai-exporter history                     what ran, why, and what came of it
      sutazai-exporter notify --test               a test message through each channel
      sutazai-exporter remediations list           what alerts have brought about, or wait for

    Exit codes: 0 good; of `run` 1-4 its verdict, 75 somebody else is running it; 64 wrong usage,
    69 something needed cannot be used (the store, the port), 78 wrong configuration.
    """


@commands.command()
@config_option
@click.option("--web.listen-address", "listen_address", metavar="HOST:PORT", help="Address to serve on.")
@click.option("--web.telemetry-path", "telemetry_path", metavar="PATH", help="Path of the metrics.")
@click.option(
    "--web.config.file", "web_config_file", metavar="FILE", help="Web configuration file: TLS, users, headers."
)
@click.option("--log.level", "log_level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log.format", "log_format", type=click.Choice(["logfmt", "json"]))
def serve(config_file: Path | None, **given: str | None) -> None:
    """Run the daemon: schedule, Docker events, /metrics.

    SIGHUP or POST /-/reload loads the configuration anew; SIGTERM ends it after its runs.
    """
    from exporter import app
    from exporter.web.listening import Unavailable

    paths: dict[str, tuple[str, ...]] = {
        "listen_address": ("web", "listen_address"),
        "telemetry_path": ("web", "telemetry_path"),
        "web_config_file": ("web", "config_file"),
        "log_level": ("log", "level"),
        "log_format": ("log", "format"),
    }
    given["web_config_file"] = given["web_config_file"] or None  # exporters take an empty one for none
    flags = {paths[name]: value for name, value in given.items()}

    def configuration() -> Configuration:
        return load(config_file, flags=flags)

    try:
        app.serve(configuration(), configuration)
    except Unavailable as error:
        raise Failure(str(error), EXIT_UNAVAILABLE) from None


@commands.command()
@config_option
@click.option("--task", help="Only this task.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def history(config_file: Path | None, task: str | None, limit: int, as_json: bool) -> None:
    """What ran, why, how long, what came of it, and what was missed."""
    from exporter import app, console
    from exporter.runner import UnknownRequest, check
    from jobs.core.model import Request

    configuration = load(config_file)
    store = app.open_store(configuration, read_only=True)
    if task:
        try:
            check(Request(task=task))
        except UnknownRequest as error:
            raise Failure(str(error), EXIT_USAGE) from None
    console.print_history(store.ledger(task, limit), store.missed(task, limit), as_json=as_json)


@commands.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def tasks(config_file: Path | None, as_json: bool) -> None:
    """Every task: what it does, when it runs, how its last run ended."""
    from exporter import app, console
    from exporter.views.tasks import tasks as view

    configuration = load(config_file)
    store = app.open_store(configuration, read_only=True)
    console.print_tasks(view(app.sources(configuration, store)), as_json=as_json)


@commands.command("check-config")
@config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration: every error at once, exit code 78 if there is one."""
    configuration = load(config_file)
    if web_file := configuration.settings.web.config_file:
        from exporter.web.web_config import Files, read_web_config

        for warning in read_web_config(web_file, Files()).warnings:
            click.echo(f"sutazai-exporter: warning: {warning}", err=True)
    origins = sorted(set(configuration.origins.values()))
    click.echo(f"The configuration is good. It comes from {', '.join(['defaults', *origins])}.")


@commands.group(no_args_is_help=False)
def config() -> None:
    """The configuration."""


@config.command()
def reference() -> None:
    """Every setting as a Markdown table: key, type and limits, default, variable, meaning."""
    from exporter.reference import print_settings

    print_settings()


@commands.command()
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
def metrics(form: str) -> None:
    """The catalogue of every metric: name, type, labels, meaning."""
    from exporter.reference import print_catalogue

    print_catalogue(form)


def main() -> NoReturn:
    """The entry point: one line for a user's mistake, and sysexits' codes."""
    from exporter.store import StoreError

    try:
        code = commands.main(prog_name="sutazai-exporter", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"sutazai-exporter: {problem}", err=True)
        sys.exit(EXIT_CONFIG)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        remedy = f" See '{context.command_path} --help'." if context else ""
        click.echo(f"sutazai-exporter: {error.format_message()}{remedy}", err=True)
        sys.exit(EXIT_USAGE)
    except (Failure, StoreError) as error:
        click.echo(f"sutazai-exporter: {error}", err=True)
        sys.exit(error.code if isinstance(error, Failure) else EXIT_UNAVAILABLE)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or error.filename is not None:
            raise
        click.echo(f"sutazai-exporter: standard output cannot be written: {error.strerror}; make room", err=True)
        # What is still in its buffer would be written, and fail, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_UNAVAILABLE)


if __name__ == "__main__":
    main()

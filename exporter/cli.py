"""Every command; each reads its arguments, asks the part that does it, and prints."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from exporter import __version__
from exporter.clock import SystemClock
from exporter.commands.alertmanager_config import alertmanager_config
from exporter.commands.audit import audit
from exporter.commands.base import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure, config_option, user_name
from exporter.commands.notify import notify
from exporter.commands.remediations import remediations
from exporter.commands.rules import rules
from exporter.config import ConfigError, Configuration, load


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(__version__, prog_name="sutazai-exporter")
def commands() -> None:
    """Measure, repair and watch over a self-hosted AI stack.

    \b
    Examples:
      sutazai-exporter serve                       serve on 127.0.0.1:10042
      sutazai-exporter run health-check            one check now, with its report
      sutazai-exporter run agent-monitor --dry-run what would be restarted
      sutazai-exporter history                     what ran, why, and what came of it

    Exit codes: 0 good; of `run` 1-4 its verdict, 75 somebody else is running it; 64 wrong usage,
    69 something needed cannot be used (the store, the port), 78 wrong configuration.
    """


@commands.command()
@config_option
@click.option("--web.listen-address", "listen_address", metavar="HOST:PORT", help="Address to serve on.")
@click.option("--web.telemetry-path", "telemetry_path", metavar="PATH", help="Path of the metrics.")
@click.option("--log.level", "log_level", type=click.Choice(["debug", "info", "warning", "error"]))
@click.option("--log.format", "log_format", type=click.Choice(["logfmt", "json"]))
def serve(config_file: Path | None, **given: str | None) -> None:
    """Run the daemon: schedule, Docker events, /metrics.

    SIGHUP or POST /-/reload loads the configuration anew; SIGTERM ends it after its runs.
    """
    from exporter import app

    paths: dict[str, tuple[str, ...]] = {
        "listen_address": ("web", "listen_address"),
        "telemetry_path": ("web", "telemetry_path"),
        "log_level": ("log", "level"),
        "log_format": ("log", "format"),
    }
    flags = {paths[name]: value for name, value in given.items()}

    def configuration() -> Configuration:
        return load(config_file, flags=flags)

    try:
        app.serve(configuration(), configuration)
    except app.Unavailable as error:
        raise Failure(str(error), EXIT_UNAVAILABLE) from None


@commands.command()
@click.argument("task")
@config_option
@click.option("--mode", default="", help="One of the task's modes. [default: its first]")
@click.option("--target", default="", help="Only this one (an agent's name).")
@click.option("--dry-run", is_flag=True, help="Print what would be done; change and write nothing.")
@click.option("--scheduled", is_flag=True, help="Only if a slot of its schedule is due and unclaimed (for cron).")
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 86400),
    default=30,
    show_default=True,
    help="Seconds to wait for another run of the task to end.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as JSON.")
@click.option("--verbose", "-v", is_flag=True, help="Print the run's log and every finding.")
def run(
    task: str,
    config_file: Path | None,
    mode: str = "",
    target: str = "",
    dry_run: bool = False,
    scheduled: bool = False,
    wait_seconds: float = 30,
    as_json: bool = False,
    verbose: bool = False,
) -> None:
    """Run TASK once, now, and exit with its verdict.

    \b
    Examples:
      sutazai-exporter run health-check
      sutazai-exporter run agent-monitor --target sutazai-agent-orchestrator --dry-run
    """
    from exporter import app, run_screen
    from exporter.runner import UnknownRequest, check
    from jobs.core.model import Request

    if scheduled and (dry_run or mode or target):
        raise Failure(
            "--scheduled claims a slot, which says what to run: leave out --dry-run, --mode, --target", EXIT_USAGE
        )
    configuration = load(config_file)
    try:
        request = check(Request(task=task, mode=mode, target=target, dry_run=dry_run))[1]
        store = app.open_store(configuration, read_only=dry_run)
        runner = app.build_runner(configuration, store)
        run_screen.log_to_screen(configuration, verbose)
        if not dry_run:
            runner.close_cut_off()
        if scheduled:
            request = _due(request, configuration, store)
        with run_screen.run_screen(quiet=as_json) as watcher, run_screen.stopped_by_signals(runner):
            record = runner.run(request, watcher, wait_seconds=wait_seconds)
    except UnknownRequest as error:
        raise Failure(str(error), EXIT_USAGE) from None
    run_screen.print_record(record, as_json=as_json, verbose=verbose)
    if not dry_run:
        app.remind(configuration, store)
        with run_screen.stopped_by_signals(runner):
            app.send_notifications(configuration, store, runner.stop)
        _update_textfile(configuration, store)
    sys.exit(record.exit_code)


def _due(request: Any, configuration: Configuration, store: Any) -> Any:
    from exporter.plan import cadences_of
    from exporter.record import EXIT_SKIPPED
    from exporter.runner import check
    from exporter.scheduler import claim_due

    now = SystemClock().now()
    for cadence in cadences_of(configuration, request.task):
        due = claim_due(store, request.task, cadence, now)
        if due:
            return check(due)[1]
    raise Failure(f"{request.task}: no slot is due that was not claimed already; nothing was run", EXIT_SKIPPED)


def _update_textfile(configuration: Configuration, store: Any) -> None:
    directory = configuration.settings.textfile.directory
    if directory:
        from exporter.record import EXIT_NOT_OK
        from exporter.replay import replayed_metrics
        from exporter.textfile import write_textfile

        try:
            write_textfile(directory, replayed_metrics(configuration, store, SystemClock().now()).exposition)
        except OSError as error:
            raise Failure(f"{error.filename}: the textfile cannot be written: {error.strerror}", EXIT_NOT_OK) from None


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
    from exporter.plan import cadences_of
    from jobs.core.registry import all_jobs

    configuration = load(config_file)
    store = app.open_store(configuration, read_only=True)
    rows = [(job, cadences_of(configuration, name), store.last_record(name)) for name, job in all_jobs().items()]
    console.print_tasks(rows, as_json=as_json)


@commands.group(no_args_is_help=False)
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
    from exporter import app
    from exporter.bridge.remediation.audit import record_request
    from jobs.core.model import Request

    if not dry_run:
        asked = Request(task="agent-monitor", mode="release", target=agent)
        record_request(app.open_store(load(config_file)), SystemClock().now(), f"user:{user_name()}", asked)
    context.invoke(run, task="agent-monitor", mode="release", target=agent, config_file=config_file, dry_run=dry_run)


@commands.command("check-config")
@config_option
def check_config(config_file: Path | None) -> None:
    """Check the configuration: every error at once, exit code 78 if there is one."""
    configuration = load(config_file)
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


@commands.group(no_args_is_help=False)
def token() -> None:
    """Tokens for the API."""


@token.command()
@config_option
@click.option("--name", required=True, help="What the token is called.")
@click.option("--scope", "scopes", type=click.Choice(["read", "operate", "alert"]), multiple=True, required=True)
def create(config_file: Path | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and print it: this is the only time that it can be seen."""
    from exporter import app
    from exporter.web.tokens import TokenError, TokenFileError

    tokens = app.open_tokens(load(config_file))
    try:
        click.echo(tokens.create(name, scopes, SystemClock().now()))
    except TokenError as error:
        code = EXIT_UNAVAILABLE if isinstance(error, TokenFileError) else EXIT_USAGE
        raise Failure(str(error), code) from None
    except OSError as error:
        raise Failure(f"{tokens.file}: cannot be written: {error.strerror}", EXIT_UNAVAILABLE) from None


commands.add_command(alertmanager_config)
commands.add_command(audit)
commands.add_command(notify)
commands.add_command(remediations)
commands.add_command(rules)


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

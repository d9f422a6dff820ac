"""`notify`: try the channels, and look after the messages that wait and those that were given up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from exporter.commandline.options import Group, config_option, json_option
from exporter.failure import EXIT_CONFIG, EXIT_UNAVAILABLE, EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.bridge.outgoing.outbox import Entry, Outbox
    from exporter.config import Configuration

_ALL = 1_000_000
_SECTIONS = {"mail": "notifications.mail", "webhook": "notifications.webhook", "alertmanager": "alertmanager"}


def _only_one(context: click.Context, option: click.Parameter, names: tuple[str, ...]) -> str | None:
    if len(names) > 1:
        raise click.UsageError("--channel: name one, or none for all of them", context)
    return names[0] if names else None


_channel_option = click.option(
    "--channel", "name", metavar="NAME", multiple=True, callback=_only_one, help="Only this one. [default: all]"
)
_dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done; change nothing.")


@click.group(cls=Group, invoke_without_command=True, no_args_is_help=False)
@click.option("--test", "run_test", is_flag=True, help="The same as the command `test`.")
@_channel_option
@config_option
@click.pass_context
def notify(context: click.Context, run_test: bool, name: str | None, config_file: Path | None) -> None:
    """Messages by mail, webhook, handler and Alertmanager: try them, see what waits, what was given up.

    \b
    Examples:
      sutazai-exporter notify --test                  one test message through each channel, now
      sutazai-exporter notify --test --channel mail   through this one
      sutazai-exporter notify dead                    what was given up, and why
      sutazai-exporter notify retry --channel mail    send it again
    """
    if context.invoked_subcommand is None:
        if not run_test:
            raise click.UsageError("Missing command, or --test.", context)
        context.invoke(test, name=name, config_file=config_file)
    elif run_test or name or config_file:
        raise click.UsageError(f"options come after the command: notify {context.invoked_subcommand} …", context)


@notify.command()
@_channel_option
@config_option
def test(name: str | None, config_file: Path | None) -> None:
    """Send a test message through each channel, now, and say what happened.

    Exit code 0 if all took it, 69 if one did not, 78 if there is none.

    \b
    Examples:
      sutazai-exporter notify test --channel mail
    """
    from exporter.bridge.outgoing.postman import CourierError, send_at_once
    from exporter.clock import SystemClock
    from exporter.commandline import run_screen
    from exporter.commandline.mailing import test_message
    from exporter.config import load

    configuration = load(config_file)
    names = _channels(configuration, name)
    run_screen.log_to_screen(configuration, verbose=False)
    try:
        attempts = send_at_once(configuration, test_message(SystemClock().now()), names)
    except CourierError as error:
        raise Failure(str(error), EXIT_UNAVAILABLE) from None
    for attempt in attempts:
        word, remedy = ("sent", "") if attempt["worked"] else ("NOT SENT", f" → see {_section(attempt['channel'])}")
        click.echo(f"{attempt['channel']}: {word}: {attempt['detail']}{remedy}")
    if not all(attempt["worked"] for attempt in attempts):
        raise Failure("not every channel took the test message", EXIT_UNAVAILABLE)


@notify.command()
@_channel_option
@json_option
@config_option
def pending(name: str | None, as_json: bool, config_file: Path | None) -> None:
    """What waits to be sent: since when, how often it was tried, why it was not taken.

    \b
    Examples:
      sutazai-exporter notify pending
      sutazai-exporter notify pending --json
    """
    _print_entries("pending", name, config_file, "Nothing waits to be sent.", as_json=as_json)


@notify.command()
@_channel_option
@json_option
@config_option
def dead(name: str | None, as_json: bool, config_file: Path | None) -> None:
    """What was given up, and why.

    \b
    Examples:
      sutazai-exporter notify dead
      sutazai-exporter notify dead --channel mail --json
    """
    _print_entries("dead", name, config_file, "Nothing was given up.", as_json=as_json)


@notify.command()
@_channel_option
@_dry_run_option
@config_option
def retry(name: str | None, dry_run: bool, config_file: Path | None) -> None:
    """Have what was given up sent again: by the daemon at once, without one after the next run.

    \b
    Examples:
      sutazai-exporter notify retry --channel mail --dry-run
      sutazai-exporter notify retry
    """
    _change_dead(name, config_file, "sent again", lambda outbox, now: outbox.retry_dead(name, now), dry_run=dry_run)


@notify.command()
@_channel_option
@_dry_run_option
@config_option
def discard(name: str | None, dry_run: bool, config_file: Path | None) -> None:
    """Put aside what was given up: it is not sent, and counts no more as dead.

    \b
    Examples:
      sutazai-exporter notify discard --channel mail --dry-run
      sutazai-exporter notify discard
    """
    _change_dead(name, config_file, "put aside", lambda outbox, now: outbox.discard_dead(name, now), dry_run=dry_run)


def _channels(configuration: Configuration, name: str | None) -> Sequence[str]:
    from exporter.bridge.outgoing.channels import channel_names

    names = channel_names(configuration.settings)
    if not names:
        raise Failure(
            "no channel is configured; set notifications.mail.host, notifications.webhook.url, "
            "notifications.handlers or alertmanager.url",
            EXIT_CONFIG,
        )
    if name is not None and name not in names:
        raise Failure(_unknown(name, names), EXIT_USAGE)
    return [name] if name else names


def _section(channel: str) -> str:
    return _SECTIONS.get(channel, "notifications.handlers")


def _print_entries(state: str, name: str | None, config_file: Path | None, nothing: str, *, as_json: bool) -> None:
    from exporter import app
    from exporter.bridge.outgoing.outbox import Outbox
    from exporter.commandline import console
    from exporter.commandline.tables import message_table
    from exporter.config import load

    configuration = load(config_file)
    outbox = Outbox(app.open_store(configuration, read_only=True))
    entries = _of_channel(outbox, state, name)
    _check_known(configuration, outbox, name)
    if as_json:
        console.print_json([_entry_document(entry) for entry in entries])
        return
    console.print_whole(message_table(entries) if entries else nothing)


def _of_channel(outbox: Outbox, state: str, name: str | None) -> list[Entry]:
    return [entry for entry in outbox.entries(state, _ALL) if name in (None, entry.channel)]


def _check_known(configuration: Configuration, outbox: Outbox, name: str | None) -> None:
    """Fail where no channel is called so; one that was taken out may still have messages."""
    from exporter.bridge.outgoing.channels import channel_names

    names = channel_names(configuration.settings)
    if name is None or name in names or any(_of_channel(outbox, state, name) for state in ("pending", "dead")):
        return
    raise Failure(_unknown(name, names), EXIT_USAGE)


def _unknown(name: str, names: Sequence[str]) -> str:
    there = f"there are {', '.join(names)}" if names else "none is configured"
    return f"no channel is called {name!r}; {there}"


def _entry_document(entry: Entry) -> dict[str, Any]:
    return {
        "channel": entry.channel,
        "state": entry.state,
        "attempts": entry.attempts,
        "due": entry.due,
        "error": entry.error,
        "message": entry.message.model_dump(mode="json"),
    }


def _change_dead(
    name: str | None,
    config_file: Path | None,
    done: str,
    change: Callable[[Outbox, datetime], int],
    *,
    dry_run: bool,
) -> None:
    from exporter import app
    from exporter.bridge.outgoing.outbox import Outbox
    from exporter.clock import SystemClock
    from exporter.config import load

    configuration = load(config_file)
    outbox = Outbox(app.open_store(configuration, read_only=dry_run))
    _check_known(configuration, outbox, name)
    count = len(_of_channel(outbox, "dead", name)) if dry_run else change(outbox, SystemClock().now())
    where = f" in {name}" if name else ""
    click.echo(f"{count} message{'' if count == 1 else 's'}{where} {'would be' if dry_run else 'will be'} {done}.")

"""The command `token`: what opens the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.clock import SystemClock
from exporter.commandline.options import Group, config_option, json_option
from exporter.failure import EXIT_UNAVAILABLE, EXIT_USAGE, Failure, remedy_for

if TYPE_CHECKING:
    from exporter.web.access.tokens import Tokens


@click.group(cls=Group, default="list")
def token() -> None:
    """Tokens for the API.

    \b
    Examples:
      sutazai-exporter token create --name me --scope operate         start, stop, approve, read
      sutazai-exporter token create --name prometheus --scope scrape  nothing but the metrics
      sutazai-exporter token list
      sutazai-exporter token revoke me                                refused at once
    """


@token.command()
@config_option
@click.option("--name", required=True, help="What the token is called.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(["scrape", "read", "operate", "alert"]),
    multiple=True,
    required=True,
    help="What it opens: the metrics; all that there is to see; everything; the intake of alerts alone.",
)
@json_option
def create(config_file: Path | None, name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token and print it: this is the only time that it can be seen.

    \b
    Examples:
      sutazai-exporter token create --name grafana --scope read
      sutazai-exporter token create --name me --scope operate
    """
    with _tokens(config_file) as tokens:
        secret = tokens.create(name, scopes, SystemClock().now())
    if as_json:
        _print_json({"name": name, "scopes": list(scopes), "token": secret})
    else:
        click.echo(secret)


@token.command("list")
@config_option
@json_option
def list_tokens(config_file: Path | None, as_json: bool) -> None:
    """The tokens there are: their names, what they open, and when they were made.

    \b
    Examples:
      sutazai-exporter token list --json
    """
    with _tokens(config_file) as tokens:
        rows = [(token.name, token.scopes, token.created) for token in tokens.load()]
    if as_json:
        _print_json([{"name": name, "scopes": list(scopes), "created": created} for name, scopes, created in rows])
        return
    from rich.markup import escape

    from exporter.commandline import console

    shown = console.table_of("name", "scopes", "created")
    for name, scopes, created in rows:
        shown.add_row(escape(name), ", ".join(scopes), console.when(created))
    console.print_whole(shown if rows else "There are none; make one with 'sutazai-exporter token create'.")


@token.command()
@click.argument("name")
@config_option
@json_option
def revoke(name: str, config_file: Path | None, as_json: bool) -> None:
    """Take the token NAME away. A running daemon refuses it at once, and ends what it listens to.

    \b
    Examples:
      sutazai-exporter token revoke grafana
    """
    with _tokens(config_file) as tokens:
        revoked = tokens.revoke(name)
    if as_json:
        _print_json({"name": revoked.name, "scopes": list(revoked.scopes), "created": revoked.created})
    else:
        click.echo(f"{revoked.name} opens nothing any more.")


@contextmanager
def _tokens(config_file: Path | None) -> Iterator[Tokens]:
    """The tokens; what goes wrong with them is told in one line."""
    from exporter import app
    from exporter.config import load
    from exporter.web.access.tokens import TokenError, TokenFileError

    tokens = app.open_tokens(load(config_file))
    try:
        yield tokens
    except TokenError as error:
        code = EXIT_UNAVAILABLE if isinstance(error, TokenFileError) else EXIT_USAGE
        raise Failure(str(error), code) from None
    except OSError as error:
        remedy = remedy_for(error, "run this as the owner of the base directory, or set SUTAZAI_BASE_DIR")
        raise Failure(f"{tokens.file}: cannot be written: {error.strerror}; {remedy}", EXIT_UNAVAILABLE) from None


def _print_json(content: object) -> None:
    from exporter.commandline import console

    console.print_json(content)

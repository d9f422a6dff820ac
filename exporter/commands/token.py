"""The command `token`: what opens the API."""

from __future__ import annotations

from pathlib import Path

import click

from exporter.clock import SystemClock
from exporter.commands.base import EXIT_UNAVAILABLE, EXIT_USAGE, Failure, Group, config_option
from exporter.config import load


@click.group(cls=Group, no_args_is_help=False)
def token() -> None:
    """Tokens for the API.

    \b
    Examples:
      sutazai-exporter token create --name me --scope operate
    """


@token.command()
@config_option
@click.option("--name", required=True, help="What the token is called.")
@click.option("--scope", "scopes", type=click.Choice(["read", "operate", "alert"]), multiple=True, required=True)
def create(config_file: Path | None, name: str, scopes: tuple[str, ...]) -> None:
    """Make a token and print it: this is the only time that it can be seen.

    \b
    Examples:
      sutazai-exporter token create --name grafana --scope read
    """
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

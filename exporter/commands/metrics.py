"""The command `metrics`: the catalogue."""

from __future__ import annotations

import click


@click.command()
@click.option("--format", "form", type=click.Choice(["table", "markdown", "json"]), default="table", show_default=True)
def metrics(form: str) -> None:
    """The catalogue of every metric: name, type, labels, meaning.

    \b
    Examples:
      sutazai-exporter metrics
      sutazai-exporter metrics --format json
    """
    from exporter.commandline.reference import print_catalogue

    print_catalogue(form)

"""The command `rules`: the alert rules for the running configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from exporter.commandline.options import config_option, output_option
from exporter.commandline.output import Output, bring_up_to_date
from exporter.failure import EXIT_USAGE, Failure


@click.command()
@config_option
@output_option("the files to, one for each area. [default: all of them in one, to standard output]")
@click.option("--dry-run", is_flag=True, help="Say what would be written to --output, and write nothing.")
@click.option("--table", is_flag=True, help="Print a Markdown table of the alerts instead.")
def rules(config_file: Path | None, directory: Path | None, dry_run: bool, table: bool) -> None:
    """Write Prometheus's alert rules with the limits of this configuration.

    \b
    Examples:
      sutazai-exporter rules --output /etc/prometheus/rules
      sutazai-exporter rules | promtool check rules /dev/stdin
    """
    from exporter.config import load
    from exporter.rules.rendering import in_one, rendered
    from exporter.rules.table import COLUMNS, rows

    if dry_run and directory is None:
        raise Failure("--dry-run says what would be written: it needs --output DIR", EXIT_USAGE)
    if table and directory is not None:
        raise Failure("--table is printed: leave out --output", EXIT_USAGE)
    files = rendered(load(config_file).settings)
    if directory is not None:
        _write(directory, files, dry_run=dry_run)
    elif table:
        from exporter.commandline.reference import print_markdown

        print_markdown(COLUMNS, rows(files))
    else:
        click.echo(in_one(files), nl=False)


def _write(directory: Path, files: Mapping[str, str], *, dry_run: bool) -> None:
    """Bring the files of our names up to date, then say what became of each; others are left alone."""
    outputs = [Output(directory / name, text.encode()) for name, text in files.items()]
    bring_up_to_date(outputs, dry_run=dry_run)
    for path in sorted(set(directory.glob("sutazai-*.rules.yml")) - {output.path for output in outputs}):
        click.echo(f"left alone: {path} (this version has no such file; remove it unless it is your own)")

"""The command `rules`: the alert rules for the running configuration."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import click

from exporter.commands.base import EXIT_UNAVAILABLE, EXIT_USAGE, Failure, config_option
from exporter.config import load

_FILE_MODE = 0o644
"""Prometheus runs as a user of its own."""
_MAX_BYTES = 1 << 20


@click.command()
@config_option
@click.option(
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory to write the files to, one for each area. [default: all of them in one, to standard output]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written to --output, and write nothing.")
@click.option("--table", is_flag=True, help="Print a Markdown table of the alerts instead.")
def rules(config_file: Path | None, directory: Path | None, dry_run: bool, table: bool) -> None:
    """Write Prometheus's alert rules with the limits of this configuration.

    \b
    Examples:
      sutazai-exporter rules --output /etc/prometheus/rules
      sutazai-exporter rules | promtool check rules /dev/stdin
    """
    from exporter.rules.rendering import in_one, rendered
    from exporter.rules.table import print_table

    if dry_run and directory is None:
        raise Failure("--dry-run says what would be written: it needs --output DIR", EXIT_USAGE)
    if table and directory is not None:
        raise Failure("--table is printed: leave out --output", EXIT_USAGE)
    files = rendered(load(config_file).settings)
    if directory is not None:
        _write(directory, files, dry_run=dry_run)
    elif table:
        print_table(files)
    else:
        click.echo(in_one(files), nl=False)


def _write(directory: Path, files: Mapping[str, str], *, dry_run: bool) -> None:
    """Bring the files of our names up to date, then say what became of each; others are left alone."""
    states = {directory / name: _brought_up_to_date(directory / name, text, dry_run) for name, text in files.items()}
    for path, state in states.items():
        click.echo(f"{state}: {path}")
    for path in sorted(set(directory.glob("sutazai-*.rules.yml")) - states.keys()):
        click.echo(f"left alone: {path} (this version has no such file; remove it unless it is your own)")


def _brought_up_to_date(path: Path, text: str, dry_run: bool) -> str:
    """Write a file that is not as it should be; return what was done to it, or would be."""
    from jobs.core.files import atomic_write

    try:
        state = _state(path, text.encode())
        if state != "unchanged" and not dry_run:
            atomic_write(path, text.encode(), mode=_FILE_MODE)
    except OSError as error:
        reason = f"{path}: cannot be written: {error.strerror}; choose another --output, or mend that"
        raise Failure(reason, EXIT_UNAVAILABLE) from None
    return f"would be {state}" if dry_run and state != "unchanged" else state


def _state(path: Path, content: bytes) -> str:
    """What has to become of a file: `made`, `changed` or nothing (`unchanged`); raise OSError."""
    from jobs.core.files import UnfitFile, read_small

    try:
        same = read_small(path, _MAX_BYTES) == content
        return "unchanged" if same and stat.S_IMODE(path.lstat().st_mode) == _FILE_MODE else "changed"
    except FileNotFoundError:
        return "made"
    except UnfitFile:
        return "changed"

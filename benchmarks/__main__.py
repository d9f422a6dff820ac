"""`python -m benchmarks`: measure rows and print their tables."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module
from pathlib import Path

import click
from rich.console import Console

from benchmarks import machine, table
from benchmarks.harness import Row

ROWS = (
    *("scrape", "crowd", "rerender", "probes", "memory", "start", "recovery", "recovery_by_alert", "alert_intake"),
    *("logs", "backup", "maintenance", "verification", "containers", "security_walk", "security_secrets"),
)
EXIT_USAGE = 64


def row_named(name: str) -> Row:
    """A row by its name, which is its module's; raise click.UsageError naming the nearest."""
    if name not in ROWS:
        close = difflib.get_close_matches(name, ROWS, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(ROWS)}"
        raise click.UsageError(f"no row is called {name!r}; {hint}")
    row: Row = import_module(f"benchmarks.{name}").ROW
    return row


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[ROW]...", nargs=-1)
@click.option("--runs", type=click.IntRange(min=1), help="Pairs of each measurement. [default: the row's own]")
@click.option("--json", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write every run to FILE too.")
@click.option("--list", "list_rows", is_flag=True, help="Say what rows there are.")
def command(names: tuple[str, ...], runs: int | None, file: Path | None, list_rows: bool) -> None:
    """Measure speed and size beside the peers: all rows, or those that are named.

    Ours and the peer run in turns (A B A B); a ratio is the median of the pairs. Everything is started on
    loopback for the measurement and ended after it.
    """
    rows = [row_named(name) for name in names or ROWS]
    if list_rows:
        for row in rows:
            click.echo(f"{row.name:17} {row.summary}")
        return
    console, about = Console(highlight=False), machine.describe()
    if not console.is_terminal:
        console.width = 160
    console.print(about)
    measured = []
    for row in rows:
        with console.status(f"measuring {row.name}"):
            measured.append(table.Measured(row, list(row.results(runs))))
        table.show(console, measured[-1])
        if file:
            table.write_json(file, about, measured)


def main() -> None:
    """The entry point: one line for a user's mistake."""
    try:
        sys.exit(command.main(prog_name="python -m benchmarks", standalone_mode=False) or 0)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        click.echo(f"benchmarks: {error.format_message()}", err=True)
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()

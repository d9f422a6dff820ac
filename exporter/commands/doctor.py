"""The command `doctor`: what is reachable, what is missing, and what to do."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commandline.options import config_option, json_option, seconds_option
from exporter.failure import EXIT_UNAVAILABLE, EXIT_USAGE, Failure

if TYPE_CHECKING:
    from exporter.doctor.diagnosis import Check
    from exporter.doctor.examination import Entry

EXIT_TO_DO = 1
_TIMEOUT = "Time for each check; all run side by side."


@click.command()
@config_option
@click.option("--only", metavar="NAME", multiple=True, help="Only this check (docker, postgres:main); repeatable.")
@seconds_option("--timeout", "timeout_seconds", least=3, most=600, default=15, help_text=_TIMEOUT)
@json_option
def doctor(config_file: Path | None, only: tuple[str, ...], timeout_seconds: float, as_json: bool) -> int:
    """Look at everything the exporter needs, and say what is missing and what to do. Nothing is changed.

    \b
    Examples:
      sutazai-exporter doctor
      sutazai-exporter doctor --only docker --only postgres:main --json

    \b
    Exit codes: 0 nothing to do; 1 something to do; 64 wrong usage; 69 it could not even begin.
    """
    try:
        from exporter.commandline.doctor_screen import print_entries
        from exporter.doctor.checks import CHECKS
        from exporter.doctor.examination import examine, patient_of
    except ImportError as error:
        remedy = "install the exporter anew, with all that it needs: pip install --force-reinstall sutazai-exporter"
        raise Failure(f"a package cannot be loaded: {error}; {remedy}", EXIT_UNAVAILABLE) from None
    chosen = _chosen(CHECKS, only)
    try:
        entries = examine(patient_of(config_file, timeout_seconds), chosen, timeout_seconds, time.monotonic)
    except (OSError, RuntimeError, MemoryError) as error:
        raise Failure(f"the checks cannot be made: {error}; see ulimit -a", EXIT_UNAVAILABLE) from None
    entries = _wanted(entries, only)
    print_entries(entries, as_json=as_json)
    return EXIT_TO_DO if any(entry.to_do for entry in entries) else 0


def _chosen(checks: Sequence[Check], only: tuple[str, ...]) -> list[Check]:
    """The checks of these names, or of parts of theirs; raise Failure for a name that none has."""
    from exporter.misspelt import nearest

    names = [check.name for check in checks]
    for name in only:
        if name.partition(":")[0] not in names:
            told = nearest(name, names) or f"; there are {', '.join(names)}"
            raise Failure(f"no check is called {name!r}{told}", EXIT_USAGE)
    heads = {name.partition(":")[0] for name in only}
    return [check for check in checks if not only or check.name in heads]


def _wanted(entries: list[Entry], only: tuple[str, ...]) -> list[Entry]:
    for name in only:
        if not any(_is_of(entry, name) for entry in entries) and ":" in name:
            there = ", ".join(entry.name for entry in entries)
            raise Failure(f"nothing is called {name!r}; there are {there}", EXIT_USAGE)
    return [entry for entry in entries if not only or entry.name == "everything else" or _named(entry, only)]


def _named(entry: Entry, only: tuple[str, ...]) -> bool:
    return any(_is_of(entry, name) for name in only)


def _is_of(entry: Entry, name: str) -> bool:
    return f"{entry.name}:".startswith(f"{name}:")

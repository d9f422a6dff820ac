"""What `run` shows a person: progress on a terminal, then what came of it; JSON when asked.

Without `rich` where there is no terminal: cron starts this every few minutes, and importing it takes longer
than many a check.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import click

from exporter.config import Configuration
from exporter.logs import set_up
from exporter.record import Record
from exporter.redaction import Redactor
from exporter.runs.answer import Watcher
from exporter.runs.runner import Runner
from jobs.core.model import Outcome, Request, Result, Severity, clean_message

MAX_FINDINGS = 25
"""More than a screen of findings helps nobody at first sight; `--verbose` and the report have them all."""
MAX_MESSAGE = 60
"""Characters of what a run says that it is doing, beside the bar."""
LINE_SECONDS = 10.0
"""Where there is no terminal, a run that takes long is heard of no more often than this."""
_COLORS = {Outcome.ERROR: "red", Outcome.TIMEOUT: "red", Outcome.STOPPED: "yellow", Outcome.SKIPPED: "yellow"}
_SEVERITY_STYLES: dict[Severity, dict[str, Any]] = {
    Severity.CRITICAL: {"fg": "red", "bold": True},
    Severity.HIGH: {"fg": "red"},
    Severity.MEDIUM: {"fg": "yellow"},
    Severity.LOW: {"fg": "cyan"},
    Severity.INFO: {"dim": True},
}


def log_to_screen(configuration: Configuration, verbose: bool) -> None:
    """Log warnings to standard error; everything, if `verbose`."""
    level = "info" if verbose else "warning"
    set_up(level, configuration.settings.log.format, Redactor(configuration.secrets))
    logging.captureWarnings(True)


@dataclass
class CalmLines:
    """Progress where there is no terminal: a line now and then of a run that takes long, none of a short one."""

    write: Callable[[str], None]
    monotonic: Callable[[], float] = time.monotonic
    told: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.told = self.monotonic()

    def __call__(self, request: Request, done: int, total: int, message: str) -> None:
        """Hear how far a run is."""
        now = self.monotonic()
        if now - self.told >= LINE_SECONDS:
            self.told = now
            share = f"{min(1.0, done / total):.0%}, " if total > 0 else ""
            self.write(
                f"{request.task}: {share}{now - self.began:.0f} s: {' '.join(str(clean_message(message)).split())}"
            )


@contextmanager
def run_screen(*, quiet: bool) -> Iterator[Watcher]:
    """A watcher that shows a progress bar on a terminal, and calm lines where there is none."""
    if quiet:
        yield Watcher()
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":  # which moves no cursor
        yield Watcher(progress=CalmLines(lambda line: print_line(line, err=True)))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    name = TextColumn("{task.description}")
    columns = (SpinnerColumn(), name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True) as progress:
        bar = progress.add_task("starting", total=None)

        def show(request: Request, done: int, total: int, message: str) -> None:
            text = escape(" ".join(str(clean_message(message)).split())[:MAX_MESSAGE])
            progress.update(bar, completed=done, total=total or None, description=text)

        yield Watcher(progress=show)


@dataclass
class Signals:
    """Which signals came; `interrupted` is whether Ctrl-C was one of them."""

    interrupted: bool = False


@contextmanager
def stopped_by_signals(runner: Runner) -> Iterator[Signals]:
    """Let SIGTERM, Ctrl-C and the end of the terminal stop the run, which then ends as stopped.

    A terminal that has ended takes no more words: they must not hinder what is left to do. `nohup` is heeded.
    """
    came = Signals()

    def stop(number: int, frame: FrameType | None) -> None:
        came.interrupted |= number == signal.SIGINT
        runner.stop.set()
        if number == signal.SIGHUP:
            _write_into_nothing(terminals)

    terminals = [number for number in (1, 2) if os.isatty(number)]  # one that has ended is not known for one any more
    heeded = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_into_nothing(streams: Iterable[int]) -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    for number in streams:
        os.dup2(nothing, number)
    os.close(nothing)


def print_record(record: Record, *, as_json: bool, verbose: bool = False) -> None:
    """What came of a run: of many findings the worst, unless `verbose`."""
    if as_json:
        click.echo(json.dumps(json.loads(record.model_dump_json()), indent=2))
        return
    task, seconds = record.request.task, f"{record.duration_seconds:.1f} s"
    if record.outcome is not Outcome.OK or record.result is None:
        outcome = click.style(f"{task}: {record.outcome}", fg=_COLORS.get(record.outcome))
        print_line(f"{outcome} after {seconds}: {record.error}", err=True)
        return
    result = record.result
    print_line(f"{click.style(f'{task}: {result.status}', bold=True)} ({seconds}) {result.summary}")
    _print_actions(result, dry_run=record.request.dry_run)
    findings = sorted(result.findings, key=lambda f: -list(Severity).index(f.severity))
    shown = findings if verbose else findings[:MAX_FINDINGS]
    for finding in shown:
        severity = click.style(f"{finding.severity:8}", **_SEVERITY_STYLES[finding.severity])
        remedy = click.style(f" → {finding.remedy}", dim=True) if finding.remedy else ""
        print_line(f"  {severity} {finding.subject}: {finding.message}{remedy}")
    if more := len(findings) - len(shown):
        print_line(f"  and {more} more findings (--verbose)")
    for deduction in result.deductions:
        print_line(click.style(f"  -{deduction.points:g} points: {deduction.reason}", dim=True))
    if record.report:
        print_line(f"  report: {record.report}")


def _print_actions(result: Result, *, dry_run: bool) -> None:
    for action in result.actions:
        word = "did" if action.done else "would"
        print_line(f"  {word}: {action.verb} {action.subject} {action.detail}")
    if dry_run and not result.actions:
        print_line("  nothing would be changed")


def print_line(line: str, *, err: bool = False) -> None:
    """Print a line, in colours on a terminal that has them only, and not where NO_COLOR is set."""
    # click takes the colours off where there is no terminal (https://no-color.org and TERM=dumb are ours to keep).
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    click.echo(line, err=err, color=False if plain else None)

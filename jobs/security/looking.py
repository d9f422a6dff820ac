"""The looking itself: scanners side by side, each within its time, and the state that each has come to."""

from __future__ import annotations

import queue
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError
from jobs.core.side_by_side import Finished, side_by_side
from jobs.security.scanner import Look, NothingHere, OutOfTime, Scanner, Seen
from jobs.security.settings import Settings
from jobs.security.texts import counted, plain_line

if TYPE_CHECKING:
    from jobs.clients import Clients

_GRACE_SECONDS = 5.0
"""So long after its time (half as long again, if that is less) a scanner may still end; then it is left behind."""
_MORE_TIME = "raise jobs.security_scan.max_scanner_seconds and max_scan_seconds, or see what takes so long"


class State(StrEnum):
    """What became of a scanner in a scan. Unknown is never well; who is off or left out was not asked to look.

    Nothing here: there is nothing of what it looks at, and there was none lately.
    """

    OK = "ok"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    NOTHING_HERE = "nothing_here"
    LEFT_OUT = "left_out"
    OFF = "off"


@dataclass(frozen=True)
class Looked:
    """A scanner after a scan: what it told, why its state is not ok, how long it took (None where it did not end)."""

    scanner: Scanner
    state: State
    seen: Seen
    reason: str = ""
    remedy: str = ""
    seconds: float | None = None

    @property
    def looked(self) -> bool:
        """Whether it was through, if only in part."""
        return self.state in (State.OK, State.PARTIAL)

    @property
    def asked(self) -> bool:
        """Whether it was to look, and there was something to look at."""
        return self.state not in (State.LEFT_OUT, State.OFF, State.NOTHING_HERE)

    @property
    def found(self) -> int:
        """How many weaknesses it has told of."""
        return len(self.seen.weaknesses) + self.seen.dropped


class Looking:
    """One scan's looking. `lately` are the scanners that have looked at something within the last two weeks."""

    def __init__(
        self, settings: Settings, clients: Clients, *, full: bool, dry_run: bool, lately: Collection[str] = ()
    ) -> None:
        self._settings, self._clients, self._full, self._dry_run = settings, clients, full, dry_run
        self._lately = lately
        self._monotonic = clients.clock.monotonic
        self._deadline = self._monotonic() + settings.max_scan_seconds

    def all(self, scanners: Sequence[Scanner]) -> list[Looked]:
        """Every scanner after it has looked, or was not to, in the order given."""
        came_to = {scanner.name: self._unasked(scanner) for scanner in scanners}
        due = [scanner for scanner in scanners if came_to[scanner.name] is None]
        waiting: queue.SimpleQueue[Scanner] = queue.SimpleQueue()
        for scanner in due:
            waiting.put(scanner)
        ended: queue.SimpleQueue[Looked] = queue.SimpleQueue()
        workers = [partial(self._work, waiting, ended, len(due))] * min(len(due), self._settings.parallel_scanners)
        # Each of them ends with its last scanner's time; the limit here is for what cannot be.
        limit_seconds = self._settings.max_scan_seconds + 2 * _GRACE_SECONDS
        for worker in side_by_side(workers, limit_seconds, self._monotonic):
            if worker.error is not None:
                raise worker.error
        while not ended.empty():
            looked = ended.get()
            came_to[looked.scanner.name] = looked
        return [came_to[scanner.name] or _never_reached(scanner) for scanner in scanners]

    def _unasked(self, scanner: Scanner) -> Looked | None:
        area = getattr(self._settings, scanner.area)
        if not area.enabled or scanner.name in self._settings.disabled_scanners:
            return Looked(scanner, State.OFF, Seen(scanner.unit), "switched off by the settings")
        if scanner.full_only and not self._full:
            return Looked(scanner, State.LEFT_OUT, Seen(scanner.unit), "only a full scan has it")
        return None

    def _work(self, waiting: queue.SimpleQueue[Scanner], ended: queue.SimpleQueue[Looked], due: int) -> None:
        """Take one scanner after the other until there is none, or no time."""
        while not waiting.empty():
            try:
                scanner = waiting.get_nowait()
            except queue.Empty:
                return
            left_seconds = self._deadline - self._monotonic()
            looked = self._one(scanner, left_seconds) if left_seconds > 0 else _never_reached(scanner)
            ended.put(looked)
            self._tell(looked)
            self._clients.report.progress(ended.qsize(), due, scanner.name)

    def _one(self, scanner: Scanner, left_seconds: float) -> Looked:
        limit_seconds = min(self._settings.max_scanner_seconds, left_seconds)
        look = Look(
            self._settings,
            self._clients,
            full=self._full,
            unit=scanner.unit,
            deadline=self._monotonic() + limit_seconds,
            dry_run=self._dry_run,
        )
        task: Callable[[], None] = partial(scanner.scan, look)
        grace_seconds = min(_GRACE_SECONDS, limit_seconds / 2)
        end = next(side_by_side([task], limit_seconds + grace_seconds, self._monotonic), None)
        seen = look.so_far()
        nothing = end.error if end and isinstance(end.error, NothingHere) else None
        may_be = seen.scanned or seen.gaps() or scanner.name in self._lately
        if end and nothing and (nothing.sure or not may_be):
            return Looked(scanner, State.NOTHING_HERE, seen, plain_line(str(end.error), 500), seconds=end.seconds)
        return _concluded(scanner, seen, end, limit_seconds)

    def _tell(self, looked: Looked) -> None:
        report, seen = self._clients.report, looked.seen
        report.log(
            "info", f"{looked.scanner.name}: {seen.scanned} {seen.unit}, {counted(len(seen.weaknesses), 'finding')}"
        )
        if looked.reason:
            level = "info" if looked.state is State.NOTHING_HERE else "warning"
            report.log(level, f"{looked.scanner.name}, {looked.state.replace('_', ' ')}: {looked.reason}")


def _concluded(scanner: Scanner, seen: Seen, end: Finished | None, limit_seconds: float) -> Looked:
    """What a scanner came to by how it ended."""
    seconds = end.seconds if end else None
    unknown = partial(Looked, scanner, State.UNKNOWN, seen, seconds=seconds)
    off = f"if it is not wanted, name {scanner.name} in jobs.security_scan.disabled_scanners"
    if end is None:
        return unknown(f"it had not ended {limit_seconds:.0f} s after it began, and was left behind", _MORE_TIME)
    if isinstance(end.error, NothingHere):
        why = f"it may be there unseen: {seen.gaps()[0]}" if seen.gaps() else "a scan of the last two weeks saw some"
        return unknown(plain_line(f"{end.error}; {why}", 500), off)
    if isinstance(end.error, Absent):
        return unknown(plain_line(str(end.error), 500), off)
    if isinstance(end.error, ClientError):
        return unknown(plain_line(str(end.error), 500), _MORE_TIME if isinstance(end.error, OutOfTime) else "")
    if end.error is not None:
        return unknown(_fault(end.error), "this is a fault of the scanner: please report it")
    gaps = seen.gaps()
    told = f"{gaps[0]}{f'; and {len(gaps) - 1} more' if len(gaps) > 1 else ''}" if gaps else ""
    if seen.scanned == 0:
        return unknown(f"it has looked at no {scanner.unit} at all{': ' if told else ''}{told}", off)
    return Looked(scanner, State.PARTIAL if gaps else State.OK, seen, told, seconds=seconds)


def _fault(error: Exception) -> str:
    """Kind and place of an exception that nobody explains. Its text may quote what was read, a secret as well."""
    frames = traceback.extract_tb(error.__traceback__)
    place = next(
        (f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames) if "/jobs/" in f.filename), "?"
    )
    return f"it failed by {type(error).__name__} at {place}"


def _never_reached(scanner: Scanner) -> Looked:
    remedy = "raise jobs.security_scan.max_scan_seconds, or see which scanner takes so long"
    return Looked(scanner, State.UNKNOWN, Seen(scanner.unit), "the time of the scan was over before its turn", remedy)

"""What a Redis's figures mean: what is due, and what a person should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.core.model import Finding, Severity
from jobs.core.redis import Figures, Memory, Slow, Totals
from jobs.databases.redis_settings import RedisMaintenance

SUBJECT = "redis"
_RETAINED_SHARE = 0.1
"""An allocator that keeps less than this of its pages in reserve works as it should."""


class Verb(StrEnum):
    """What can be done for a server; none of it touches a key."""

    PUT_BACK = "put-back"
    DEFRAGMENT = "defragment"
    PURGE = "purge"
    SAVE = "save"


@dataclass(frozen=True)
class Step:
    """One thing that is due, and why."""

    verb: Verb
    reason: str


@dataclass(frozen=True)
class Reading:
    """The figures of one moment, what was counted since the run before, and whether saving is on.

    `saves` is None where the server does not let us see its configuration. `slow` are commands of the slow log, slowest
    first. `unknown` are findings about what could not be read.
    """

    where: str
    at: datetime
    figures: Figures
    counted: Totals
    saves: bool | None
    slow: Sequence[Slow] = ()
    unknown: Sequence[Finding] = ()


def due(reading: Reading, settings: RedisMaintenance, *, everything: bool) -> list[Step]:
    """What is due, in the order in which it is done: a save forks, which is best done last.

    `everything`: changes are saved however young the last save is.
    """
    return [*_memory_steps(reading.figures.memory, settings), *_save_steps(reading, settings, everything)]


def _memory_steps(memory: Memory, settings: RedisMaintenance) -> Iterator[Step]:
    least = settings.redis_reclaim_min_mb << 20
    fragmented = is_fragmented(memory, settings)
    if fragmented and settings.redis_defrag_seconds:
        yield Step(Verb.DEFRAGMENT, f"{_megabytes(memory.fragmented_bytes)} are lost between its data")
    active_bytes = memory.used_bytes + (memory.fragmented_bytes or 0)
    if (memory.retained_bytes or 0) >= max(least, _RETAINED_SHARE * active_bytes):
        yield Step(Verb.PURGE, f"{_megabytes(memory.retained_bytes)} are kept in empty pages")
    elif fragmented and settings.redis_defrag_seconds:
        yield Step(Verb.PURGE, "what defragmentation frees goes back to the system")


def is_fragmented(memory: Memory, settings: RedisMaintenance) -> bool:
    """Whether so much is lost between the data that it is worth moving."""
    ratio, wasted = memory.fragmentation_ratio or 0, memory.fragmented_bytes or 0
    return ratio > settings.redis_max_fragmentation_ratio and wasted >= settings.redis_reclaim_min_mb << 20


def _save_steps(reading: Reading, settings: RedisMaintenance, everything: bool) -> Iterator[Step]:
    kept = reading.figures.persistence
    # Where saving is off, a file written now would be loaded at the next start, however old it is by then.
    if not reading.saves or not kept.changes:
        return
    age = _age(reading)
    if everything or age is None or age > timedelta(hours=settings.redis_save_max_age_hours):
        yield Step(Verb.SAVE, f"{kept.changes} changes, the last save is {_told(age)} old")
    elif kept.changes > settings.redis_save_max_changes:
        yield Step(Verb.SAVE, f"{kept.changes} changes since the last save")


def persisting(reading: Reading, settings: RedisMaintenance) -> bool | None:
    """Whether what should be on disk gets there; None where nothing should, or nobody can tell."""
    kept = reading.figures.persistence
    if kept.aof_write_ok is False or (reading.saves and not kept.save_ok):
        return False
    if kept.aof_enabled:
        return True
    if not reading.saves:
        return None
    return not _unsaved_too_long(reading, settings)


def judge(reading: Reading, settings: RedisMaintenance) -> list[Finding]:
    """Everything that a person should know of."""
    return [
        *_of_memory(reading, settings),
        *_of_clients(reading, settings),
        *_of_commands(reading),
        *_of_persistence(reading, settings),
        *_of_replication(reading, settings),
        *reading.unknown,
    ]


def _of_memory(reading: Reading, settings: RedisMaintenance) -> Iterator[Finding]:
    memory, where = reading.figures.memory, f"Redis at {reading.where}"
    used_percent = 100 * memory.used_bytes / memory.max_bytes if memory.max_bytes else 0
    room = "raise maxmemory, let keys expire, or choose a maxmemory-policy that evicts"
    if used_percent >= 100 and not memory.evicts:
        yield finding("full", Severity.HIGH, f"{where} is full and refuses writes (OOM)", room)
    elif used_percent > settings.redis_max_memory_percent and not memory.evicts:
        message = f"{where} uses {used_percent:.0f} % of its maxmemory and will refuse writes beyond it"
        yield finding("memory_high", Severity.MEDIUM, message, room)
    if reading.counted.evicted_keys:
        message = f"{where} has evicted {reading.counted.evicted_keys} keys for want of memory"
        yield finding("evicting", Severity.LOW, message, "raise maxmemory if these were no mere cache entries")
    if is_fragmented(memory, settings):
        message = f"{where}: {_megabytes(memory.fragmented_bytes)} are lost to fragmentation (ratio"
        message += f" {memory.fragmentation_ratio:.2f})"
        remedy = "run database-maintenance, or restart Redis when it suits"
        yield finding("fragmented", Severity.MEDIUM, message, remedy)
    overhead = memory.overhead_bytes or 0
    if overhead >= max(settings.redis_reclaim_min_mb << 20, memory.used_bytes / 2):
        message = f"{where}: {_megabytes(overhead)} of its process are not its allocator's"
        yield finding("overhead", Severity.LOW, message, "look at modules and scripts; a restart gives it back")


def _of_clients(reading: Reading, settings: RedisMaintenance) -> Iterator[Finding]:
    figures, where = reading.figures, f"Redis at {reading.where}"
    limit = figures.max_clients
    if reading.counted.rejected_connections:
        message = f"{where} has rejected {reading.counted.rejected_connections} connections (maxclients)"
        yield finding("rejecting", Severity.MEDIUM, message, "raise maxclients, or find who holds them: CLIENT LIST")
    elif limit and 100 * figures.clients / limit > settings.redis_max_clients_percent:
        message = f"{where}: {figures.clients} of {limit} clients are connected"
        yield finding("clients_high", Severity.MEDIUM, message, "raise maxclients, or find who holds them: CLIENT LIST")


def _of_commands(reading: Reading) -> Iterator[Finding]:
    if reading.counted.slow_commands:
        message = f"Redis at {reading.where}: {reading.counted.slow_commands} commands were slow"
        if reading.slow:
            worst = reading.slow[0]
            message += f"; {worst.command} with {worst.arguments} arguments took {worst.seconds:.3f} s"
        yield finding("slow_commands", Severity.LOW, message, "SLOWLOG GET shows them with their arguments")


def _of_persistence(reading: Reading, settings: RedisMaintenance) -> Iterator[Finding]:
    kept, where = reading.figures.persistence, f"Redis at {reading.where}"
    log = "look at its log: disk full, directory not writable, no memory to fork"
    if kept.aof_write_ok is False:
        yield finding("aof_failed", Severity.HIGH, f"{where} cannot write its append-only file", log)
    if not kept.save_ok:
        yield finding("save_failed", Severity.HIGH, f"{where}: the last save to disk failed", log)
    elif reading.saves and not kept.aof_enabled and _unsaved_too_long(reading, settings):
        message = f"{where}: {kept.changes} changes are not on disk, the last save is {_told(_age(reading))} old"
        yield finding("not_saved", Severity.MEDIUM, message, "look at its log and its save setting")
    elif reading.saves is False and not kept.aof_enabled:
        message = f"{where} keeps nothing on disk: its data are gone when it stops"
        yield finding("nothing_saved", Severity.INFO, message, "set save or appendonly, unless it is a mere cache")


def _of_replication(reading: Reading, settings: RedisMaintenance) -> Iterator[Finding]:
    found, where = reading.figures.replication, f"Redis at {reading.where}"
    if found.link_up is False:
        message = f"{where}: the link to its master is down, its data grow old"
        yield finding("link_down", Severity.HIGH, message, "look at the master and the network between them")
    if (found.lag_seconds or 0) > settings.redis_max_lag_seconds:
        message = f"{where}: a replica is {found.lag_seconds} s behind"
        yield finding("replica_behind", Severity.MEDIUM, message, "look at that replica: INFO replication names it")


def finding(kind: str, severity: Severity, message: str, remedy: str = "") -> Finding:
    """A finding about this server."""
    return Finding(kind=kind, subject=SUBJECT, severity=severity, message=message, remedy=remedy)


def _unsaved_too_long(reading: Reading, settings: RedisMaintenance) -> bool:
    age = _age(reading)
    limit = timedelta(hours=2 * settings.redis_save_max_age_hours)
    return reading.figures.persistence.changes > 0 and (age is None or age > limit)


def _age(reading: Reading) -> timedelta | None:
    saved = reading.figures.persistence.last_save
    return reading.at - saved if saved else None


def _told(age: timedelta | None) -> str:
    return f"{age.total_seconds() / 3600:.1f} h" if age is not None else "of unknown age,"


def _megabytes(count: int | None) -> str:
    return f"{(count or 0) / 1e6:.1f} MB"

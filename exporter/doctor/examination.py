"""All checks made side by side, each under the same deadline, and what they came to."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from exporter.bridge.outgoing.channels.base import one_line
from exporter.clock import SystemClock
from exporter.config import ConfigError, Configuration, load
from exporter.doctor.diagnosis import FINE, Check, Diagnosis, Look, Patient, State, unknown
from exporter.processes.marks import RUN_ID_VARIABLE, kill_marked
from exporter.redaction import Redactor
from exporter.settings import settings_model
from jobs.clients import Clients
from jobs.core.ports import Budgets, History
from jobs.core.settings import World
from jobs.core.side_by_side import side_by_side

MAX_TEXT = 600
"""Characters of a detail or a remedy."""
_REMEDIES = {
    errno.EACCES: "run this as its owner, or as root",
    errno.EPERM: "run this as its owner, or as root",
    errno.EMFILE: "raise the limit of open files: ulimit -n 1024",
    errno.ENFILE: "raise the limit of open files: sysctl fs.file-max",
}
_SHARE = 3
"""A check may ask so many silent services one after the other and still say which of them it was."""


@dataclass(frozen=True)
class Entry:
    """What is told of one thing, without secrets and in one line each."""

    name: str
    state: State
    detail: str
    remedy: str

    @property
    def to_do(self) -> bool:
        """Whether a person has something to do."""
        return self.state not in FINE


class _Silent:
    """Nobody hears how far a client is (jobs.core.ports.Reporter)."""

    def progress(self, done: int, total: int, message: str) -> None: ...

    def log(self, level: str, message: str) -> None: ...


def patient_of(config_file: Path | None, deadline_seconds: float, root: Path = Path("/")) -> Patient:
    """What there is to look at, as the environment and the configuration say; a wrong one is part of what is seen."""
    configuration: Configuration | None = None
    problems: tuple[str, ...] = ()
    try:
        configuration = load(config_file)
    except ConfigError as error:
        problems = tuple(error.problems)
    limit_seconds = deadline_seconds / _SHARE
    world: World = _hurried(configuration.settings if configuration else settings_model()(), limit_seconds)
    clients = Clients(
        world=world,
        clock=SystemClock(),
        report=_Silent(),
        open_budgets=_nothing_is_spent,
        open_history=_nothing_is_remembered,
        config_file=configuration.file if configuration else None,
    )
    return Patient(configuration, problems, clients, os.environ, limit_seconds, root)


def examine(
    patient: Patient, checks: Sequence[Check], deadline_seconds: float, monotonic: Callable[[], float]
) -> list[Entry]:
    """Make the checks and tell what they came to, in their order; what is not done by the deadline is unknown."""
    asked = list(_asked(patient, checks))
    redactor = Redactor(patient.configuration.secrets if patient.configuration else ())
    late = [unknown(f"no answer within {deadline_seconds:g} s", "see what hangs there; --timeout gives it longer")]
    found: list[list[Diagnosis]] = [late for _ in asked]
    tasks = [partial(_looked, look, patient) for _, look in asked]
    with _no_program_outlives_it():
        for done in side_by_side(tasks, deadline_seconds, monotonic):
            found[done.index] = done.value if done.error is None else [_unforeseen(done.error)]
    return [_entry(name, one, redactor) for (name, _), told in zip(asked, found, strict=True) for one in told]


@contextmanager
def _no_program_outlives_it() -> Iterator[None]:
    """Mark the programs that are started within, and end those that are left."""
    mark = f"doctor-{os.getpid()}"
    os.environ[RUN_ID_VARIABLE] = mark
    try:
        yield
    finally:
        del os.environ[RUN_ID_VARIABLE]
        kill_marked(f"{RUN_ID_VARIABLE}={mark}", os.getpid())


def _asked(patient: Patient, checks: Sequence[Check]) -> Iterator[tuple[str, Look]]:
    waiting = 0
    for check in checks:
        if check.needs_configuration and patient.configuration is None:
            waiting += 1
        elif check.split is None:
            yield check.name, check.look
        else:
            for part, look in check.split(patient).items():
                yield f"{check.name}:{part}", look
    if waiting:
        told = unknown(f"{waiting} checks wait for a configuration without errors", "mend the configuration first")
        yield "everything else", lambda patient: [told]


def _looked(look: Look, patient: Patient) -> list[Diagnosis]:
    return list(look(patient))


def _unforeseen(error: Exception) -> Diagnosis:
    """A check that could not be made: what it looks at is unknown."""
    file = getattr(error, "filename", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, "see what is wrong there, and run this again")
    return unknown(f"it could not be looked at: {f'{file}: ' if file else ''}{reason}", remedy)


def _entry(name: str, told: Diagnosis, redactor: Redactor) -> Entry:
    whole = f"{name}:{told.about}" if told.about else name
    name, detail, remedy = (redactor.text(one_line(text, MAX_TEXT)) for text in (whole, told.detail, told.remedy))
    return Entry(name, told.state, detail, remedy)


def _hurried(world: World, limit_seconds: float) -> World:
    """The same with time-outs that end before a check's own deadline: a client says best who was silent."""

    def least(seconds: float) -> dict[str, float]:
        return {"timeout_seconds": min(seconds, limit_seconds)}

    connect = {"connect_timeout_seconds": int(max(2, min(world.postgres.connect_timeout_seconds, limit_seconds)))}
    return world.model_copy(
        update={
            "docker": world.docker.model_copy(update=least(world.docker.timeout_seconds)),
            "postgres": world.postgres.model_copy(update=connect),
            "redis": world.redis.model_copy(update=least(world.redis.timeout_seconds)),
            "agents": world.agents.model_copy(update=least(world.agents.timeout_seconds)),
            "endpoints": tuple(one.model_copy(update=least(one.timeout_seconds)) for one in world.endpoints),
        }
    )


def _nothing_is_spent() -> Budgets:
    raise NotImplementedError("doctor changes nothing")


def _nothing_is_remembered() -> History:
    raise NotImplementedError("doctor looks at what is, not at what was")

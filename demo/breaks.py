"""What can be broken, one by one: what is done, what should happen, and by which alert and remediation it shows."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, replace

from demo import file_breaks
from demo.layout import AGENTS
from demo.scene import Scene

Act = Callable[[Scene], None]
_FIRST, _SECOND = AGENTS


def _nothing(scene: Scene) -> None:
    """Nothing to be tidied up."""


@dataclass(frozen=True)
class Break:
    """One thing that goes wrong. Without a `remedy` nobody mends it by himself, and `tidy` does what a person would.

    `tidy` also leaves nothing broken where something else went wrong; `check` says what can be seen of the repair;
    `left_out` says why it cannot be shown here.
    """

    name: str
    does: str
    expects: str
    alert: str
    act: Act = _nothing
    remedy: str = ""
    tidy: Act = _nothing
    check: Act = _nothing
    left_out: str = ""
    limit_seconds: float = 120


def _kill(scene: Scene) -> None:
    scene.signal(_FIRST, signal.SIGKILL)


def _kill_process(scene: Scene) -> None:
    _kill(scene)
    _look(scene)


def _started_again(scene: Scene) -> None:
    """The demo does it."""
    scene.wait(lambda: scene.answers(_FIRST), 60, f"{_FIRST} is started again")
    _look(scene)


def _freeze(scene: Scene) -> None:
    scene.signal(_SECOND, signal.SIGSTOP)
    _look(scene)


def _thaw(scene: Scene) -> None:
    scene.signal(_SECOND, signal.SIGCONT)
    _look(scene)


def _pause(scene: Scene) -> None:
    scene.container(_FIRST).pause()
    _look(scene)


def _unpause(scene: Scene) -> None:
    container = scene.container(_FIRST)
    if container.status == "paused":
        container.unpause()
    _look(scene)


def _look(scene: Scene) -> None:
    """Have the monitor look now, where no event makes it: it does within a minute by itself."""
    scene.start("agent-monitor", "check")


_FILES = (
    Break(
        "fill-log",
        does="writes 4 MB into a log that may have 1 MB",
        expects="within two minutes it is seen to grow too fast; it is moved into an archive, and no line is lost",
        alert="LogGrowth",
        remedy="rotate-logs",
        act=file_breaks.fill_log,
        check=file_breaks.count_lines,
        limit_seconds=240,
    ),
    Break(
        "expire-certificate",
        does="puts a certificate in place that expired yesterday",
        expects="it is found, replaced by a new one, and the new one is good",
        alert="CertificateInvalid",
        remedy="renew-certificate",
        act=file_breaks.expire_certificate,
    ),
    Break(
        "corrupt-backup",
        does="makes a backup of the configuration and turns over one bit in it",
        expects="it is found, a new backup is made and found whole; the damaged one is thrown away by hand",
        alert="BackupDamaged",
        remedy="new-backup",
        act=file_breaks.corrupt_backup,
        tidy=file_breaks.throw_away_backup,
    ),
    Break(
        "stop-job",
        does="holds the lock of the health check, so that it cannot run",
        expects="75 s after its last success the check is stale, which is told; once the lock is free it runs again",
        alert="TaskStale",
        act=file_breaks.hold_lock,
        tidy=file_breaks.free_lock,
        limit_seconds=240,
    ),
)


def breaks_of(scene: Scene) -> tuple[Break, ...]:
    """Every break. What happens to agents depends on whether there is an engine that can restart them."""
    every = (*(_with_docker() if scene.has_docker else _without_docker()), *_FILES)
    if scene.running.backups:
        return every
    why = "there is a PostgreSQL or Redis here, of which the demo makes no backup"
    return tuple(replace(one, left_out=why) if one.name == "corrupt-backup" else one for one in every)


def _with_docker() -> tuple[Break, ...]:
    return (
        Break(
            "kill-agent",
            does=f"kills {_FIRST} (docker kill)",
            expects="the engine's event is heard at once, the alert fires, the agent is restarted and answers",
            alert="AgentDown",
            remedy="restart-agent",
            act=_kill,
        ),
        Break(
            "freeze-agent",
            does=f"freezes {_SECOND} (SIGSTOP): it runs, takes connections and answers nothing",
            expects="the look finds it, the alert fires, the agent is restarted and answers",
            alert="AgentDown",
            remedy="restart-agent",
            act=_freeze,
        ),
        Break(
            "pause-agent",
            does=f"pauses {_FIRST} (docker pause), as a person does",
            expects="it is told of, and left alone: what a person has paused nobody restarts; then it is unpaused",
            alert="AgentPaused",
            act=_pause,
            tidy=_unpause,
        ),
    )


def _without_docker() -> tuple[Break, ...]:
    told = "the alert fires, and nothing else: without Docker there is nothing that could be restarted"
    return (
        Break(
            "kill-agent",
            does=f"kills {_FIRST} (SIGKILL)",
            expects=f"{told}; half a minute later the demo starts it again",
            alert="AgentDown",
            act=_kill_process,
            tidy=_started_again,
        ),
        Break(
            "freeze-agent",
            does=f"freezes {_SECOND} (SIGSTOP): it takes connections and answers nothing",
            expects=f"{told}; then it is thawed",
            alert="AgentDown",
            act=_freeze,
            tidy=_thaw,
        ),
        Break(
            "pause-agent",
            does=f"pauses {_FIRST} (docker pause)",
            expects="it is told of, and left alone",
            alert="AgentPaused",
            left_out="only a container can be paused, and there is no Docker engine here",
        ),
    )


ALERTS = frozenset(one.alert for one in (*_with_docker(), *_without_docker(), *_FILES))
"""What all of them are told by."""

"""The text of our units: the daemon as a service, or a one-shot service and a timer for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exporter.install.invocation import Invocation
from exporter.install.sandbox import CACHE, HOME, Sandbox
from jobs.core.cadence import Cadence

SERVICE = "sutazai-exporter.service"
WATCHDOG_SECONDS = 60
SPREAD_SECONDS = 20
"""Tasks that are due at the same minute begin within this time; a run that begins two minutes late is a late one."""
_AFTER = "network-online.target docker.service postgresql.service redis-server.service ollama.service"
_VERDICTS = "1 2 3 75"
"""Exit codes of a run that worked: what it found is told elsewhere. 75: a daemon or another run was there first."""


@dataclass(frozen=True)
class UnitContent:
    """What of a unit depends on the installation."""

    how: Invocation
    sandbox: Sandbox
    stop_seconds: int


def unit_name(task: str, kind: str) -> str:
    """The name of a task's `service` or `timer`."""
    return f"sutazai-{task}.{kind}"


def daemon_service(content: UnitContent) -> str:
    """The service that serves /metrics and keeps the schedule."""
    return _text(
        {
            "Unit": [
                "Description=SutazAI Exporter: measures, repairs and watches over this host's AI stack",
                "Wants=network-online.target",
                f"After={_AFTER}",
            ],
            "Service": [
                "Type=notify",
                f"ExecStart={_command(content.how.argv('serve'))}",
                "ExecReload=/bin/kill -HUP $MAINPID",
                "Restart=on-failure",
                "RestartSec=5",
                # Wrong usage and a wrong configuration do not get better by trying again.
                "RestartPreventExitStatus=64 78",
                f"WatchdogSec={WATCHDOG_SECONDS}",
                # Its runs give way to the services that they look after.
                "CPUWeight=50",
                *_common(content),
            ],
            "Install": ["WantedBy=multi-user.target"],
        }
    )


def task_service(task: str, summary: str, runs: int, content: UnitContent, *, tells: bool) -> str:
    """The service that runs what is due of a task: of `runs` schedules, that is, each once. Its timer starts it.

    Without `tells` it leaves its messages for the next run of another task to send: it has no network.
    """
    command = f"ExecStart={_command(content.how.argv('run', task, '--scheduled'))}"
    return _text(
        {
            "Unit": [f"Description=SutazAI {task}: {_escaped(summary)}", f"After={_AFTER}"],
            "Service": [
                "Type=oneshot",
                *[command] * runs,
                f"SuccessExitStatus={_VERDICTS}",
                "CPUWeight=50",
                "IOWeight=50",
                *_common(content),
                *([] if tells else ["Environment=SUTAZAI_NOTIFICATIONS__RUN_SECONDS=0"]),
            ],
        }
    )


def task_timer(task: str, cadences: Sequence[Cadence]) -> str:
    """The timer of a task: all its schedules; what passed while the machine was off is made up for once."""
    return _text(
        {
            "Unit": [f"Description=SutazAI {task}, by the clock"],
            "Timer": [
                *(f"OnCalendar={cadence.on_calendar()}" for cadence in cadences),
                "Persistent=true",
                "AccuracySec=1s",
                f"RandomizedDelaySec={SPREAD_SECONDS}",
                # The same delay each time: runs keep their distance.
                "FixedRandomDelay=true",
            ],
            "Install": ["WantedBy=timers.target"],
        }
    )


def _common(content: UnitContent) -> list[str]:
    environment = {"HOME": str(HOME), **content.how.environment}
    return [
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in environment.items()),
        f"CacheDirectory={CACHE}",
        "CacheDirectoryMode=0700",
        # The first signal is for the program alone, which ends its runs and enters that in the ledger.
        "KillMode=mixed",
        f"TimeoutStopSec={content.stop_seconds}",
        *content.sandbox.directives(),
        # A directory that is not there must not keep the unit from starting; the program says what it misses.
        *(f"ReadWritePaths={_quoted(f'-{path}')}" for path in sorted(set(content.sandbox.writes))),
    ]


def _text(sections: Mapping[str, Sequence[str]]) -> str:
    blocks = ("\n".join([f"[{name}]", *lines]) for name, lines in sections.items())
    return "\n\n".join(blocks) + "\n"


def _command(argv: Sequence[str]) -> str:
    """A command line for Exec…= (systemd.service(5)): a `$` would begin a variable."""
    first, *rest = argv
    return " ".join([_quoted(first), *(_quoted(word).replace("$", "$$") for word in rest)])


def _quoted(text: str) -> str:
    """A word as systemd.syntax(7) has it, in quotes only where it takes them."""
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"')
    plain = escaped == text and text and not set(text) & set(" '\";#")
    return escaped if plain else f'"{escaped}"'


def _escaped(text: str) -> str:
    """Text in which a `%` is one."""
    return text.replace("%", "%%")


def below(root: Path, path: Path) -> Path:
    """Where a path of the finished system is in a directory that stands for it."""
    return root / path.relative_to("/")

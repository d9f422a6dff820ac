"""What is remembered of an agent between runs: the file `data/agent-monitor/NAME.json`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from jobs.core.agents.state import WINDOW_SECONDS, State, Stop
from jobs.core.settings import AgentName

_COUNT = Field(0, ge=0, le=10**9)


class _Remembered(BaseModel):
    # Unknown keys are let go, so that an older version can read a newer one's file and keep a quarantine.
    model_config = ConfigDict(frozen=True, extra="ignore")


class Verdict(_Remembered):
    """Who ended a container; `finished` is the engine's own spelling of when."""

    container_id: str = Field(max_length=128)
    finished: str = Field(max_length=64)
    stop: Stop


class Attempt(_Remembered):
    """A restart by this monitor that may have left its container down: of which, from when, until when."""

    container_id: str = Field(max_length=128)
    began: AwareDatetime
    ended: AwareDatetime


class AgentRecord(_Remembered):
    """The memory of one agent. The first eight fields are those of the original script's state file."""

    agent_name: AgentName
    port: int = Field(0, ge=0, le=65535)
    consecutive_failures: int = _COUNT
    last_successful_check: AwareDatetime | None = None
    last_restart: AwareDatetime | None = None
    restarts_in_hour: tuple[AwareDatetime, ...] = Field((), max_length=1000)
    total_restarts: int = _COUNT
    status: State | None = None
    last_check: AwareDatetime | None = None
    quarantined_since: AwareDatetime | None = None
    quarantine_reason: str = Field("", max_length=1000)
    verdict: Verdict | None = None
    attempt: Attempt | None = None

    def updated(self, **changes: object) -> AgentRecord:
        """A copy with some fields changed, checked like any other."""
        return AgentRecord.model_validate({**dict(self), **changes})

    def with_restarts(self, spent: Sequence[datetime], now: datetime) -> AgentRecord:
        """A copy whose `restarts_in_hour` are those of `spent` that still count at `now`."""
        since = now - timedelta(seconds=WINDOW_SECONDS)
        return self.updated(restarts_in_hour=tuple(at for at in spent if at > since)[-1000:])


def parse_record(content: bytes, name: str) -> AgentRecord:
    """Given the content of the state file of agent `name`, return its record; ValueError where it is not one."""
    record = AgentRecord.model_validate_json(content, strict=True)
    if record.agent_name != name:
        raise ValueError(f"it is the state of {record.agent_name}")
    return record


def render_record(record: AgentRecord) -> bytes:
    """The content of a state file, for people to read as well."""
    return record.model_dump_json(indent=2).encode() + b"\n"

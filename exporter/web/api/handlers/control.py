"""What people have the exporter do: start a task, stop it, restart or release an agent, load the configuration."""

from __future__ import annotations

import json
from typing import Any, Protocol

from starlette.responses import PlainTextResponse, Response

from exporter.guide_names import task_of
from exporter.runs.asking import UnknownRequest, check
from exporter.runs.tickets import NOBODY, Asker, OnBegin
from exporter.store.idempotency import Keys, OtherRequest, TooManyKeys, UnderWay
from exporter.web.answers import HEADERS, Problem, answer
from exporter.web.api.operations import Call
from jobs.core.model import Request, Trigger
from jobs.core.ports import Clock
from jobs.core.registry import all_jobs

AGENTS = "agent-monitor"
"""The task that restarts agents and releases them."""


class Controlled(Protocol):
    """What of the daemon is controlled."""

    def submit(self, request: Request, asker: Asker = NOBODY) -> None:
        """Enqueue a request; raise UnknownRequest."""

    def stop_task(self, task: str, by: str, target: str | None = None) -> list[Request]:
        """End what the daemon runs of a task."""
        ...

    def holder(self, task: str, target: str | None = None) -> str:
        """Which other process runs the task; empty where none does."""
        ...

    def is_stopping(self) -> bool:
        """Whether nothing is begun any more."""
        ...

    def known_agents(self) -> frozenset[str]:
        """The agents that are listed, and those that were seen."""
        ...

    def seen_agents(self) -> frozenset[str]:
        """The agents that were seen; none before the first look."""
        ...

    def reload(self) -> list[str]:
        """Load the configuration anew; return what is wrong with it."""
        ...


class Control:
    """The handlers. Each may wait for the disk."""

    def __init__(self, daemon: Controlled, keys: Keys, clock: Clock) -> None:
        self._daemon, self._keys, self._clock = daemon, keys, clock

    def start(self, call: Call) -> Response:
        """Start a task."""
        return self._submit(call, Request(task=task_of(call.values["task"]), trigger=Trigger.API, **call.body))

    def restart(self, call: Call) -> Response:
        """Restart an agent."""
        return self._ask_monitor(call, "restart")

    def release(self, call: Call) -> Response:
        """Release an agent from quarantine and give it its restarts back."""
        return self._ask_monitor(call, "release")

    def stop(self, call: Call) -> Response:
        """End what the daemon runs of a task."""
        task, target = task_of(call.values["task"]), call.body.get("target")
        if task not in all_jobs():
            raise Problem(404, unknown("task", task, list(all_jobs())))
        stopping = self._daemon.stop_task(task, f"token:{call.who}", target)
        if not stopping:
            raise Problem(409, self._why_not(task, target))
        return answer({"stopping": [request.model_dump(mode="json") for request in stopping]}, 202)

    def reload(self, call: Call) -> Response:
        """Load the configuration anew, or keep the old one and say why."""
        problems = self._daemon.reload()
        if problems:
            raise Problem(422, "the configuration was not reloaded: " + "; ".join(problems))
        return PlainTextResponse("The configuration was reloaded.\n", headers=HEADERS)

    def _ask_monitor(self, call: Call, mode: str) -> Response:
        agent, known = call.values["agent"], self._daemon.known_agents()
        if self._daemon.seen_agents() and agent not in known:
            raise Problem(404, unknown("agent", agent, sorted(known)))
        return self._submit(call, Request(task=AGENTS, mode=mode, target=agent, trigger=Trigger.API))

    def _submit(self, call: Call, asked: Request) -> Response:
        if self._daemon.is_stopping():
            raise Problem(503, "the exporter is stopping: nothing was started")
        wanted = asked.model_copy(update={"reason": f"asked for by token:{call.who}"})
        try:
            _, whole = check(wanted)
            first = {"accepted": wanted.model_dump(mode="json")}
            key = str(call.values.get("Idempotency-Key") or "").strip('"')
            if key:
                return answer(json.loads(self._once(call.who, key, whole, first)), 202)
            self._daemon.submit(wanted)
        except UnknownRequest as error:
            raise Problem(404, str(error)) from None
        return answer(first, 202)

    def _once(self, who: str, key: str, wanted: Request, first: dict[str, Any]) -> str:
        def enqueue(mark: OnBegin) -> None:
            # What ends without having begun (skipped, or stopped while it waited) is over as well.
            self._daemon.submit(wanted, Asker(lambda record: mark() if record else None, mark))

        asked = json.dumps([wanted.task, wanted.mode, wanted.target])
        try:
            return self._keys.answer(who, key, asked, self._clock.now(), json.dumps(first), enqueue)
        except OtherRequest:
            detail = f"the Idempotency-Key {key!r} was given with another request; a new request takes a new key"
            raise Problem(422, detail) from None
        except TooManyKeys:
            detail = "too many keys within 24 hours: take fewer new ones, or ask without"
            raise Problem(429, detail, {"retry-after": "3600"}) from None
        except UnderWay:
            detail = f"the first request with the Idempotency-Key {key!r} is being answered; ask again"
            raise Problem(409, detail, {"retry-after": "1"}) from None

    def _why_not(self, task: str, target: str | None) -> str:
        holder = self._daemon.holder(task, target)
        what = f"{task} for {target}" if target else task
        if holder:
            return f"{what} is run by another process ({holder}): stop it where it was started"
        return f"nothing of {what} is running or waiting"


def unknown(kind: str, name: str, known: list[str]) -> str:
    """That there is no such thing, and what may have been meant."""
    import difflib  # for a mistake alone

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"no {kind} is called {name[:100]!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known[:20])}"
    )

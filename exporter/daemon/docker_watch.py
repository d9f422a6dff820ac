"""Docker events that cannot wait for the schedule: a container that dies asks for a run at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exporter import metrics
from jobs.clients.docker_events import DockerEvents
from jobs.core.agents.discovery import agent_of_container
from jobs.core.containers import ContainerEvent
from jobs.core.model import Request, Trigger
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.daemon import Daemon

logger = logging.getLogger(__name__)


class DockerWatch:
    """Hands events of agents' containers to the daemon as requests of the jobs that wake on them."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._connected_before = False
        settings = daemon.configuration.settings.docker
        self._events = DockerEvents(settings.url, self._on_event, self._on_connection)

    def start(self) -> None:
        """Begin to listen, on a thread."""
        self._events.start()

    def stop(self) -> None:
        """Stop listening."""
        self._events.stop()

    def _on_connection(self, connected: bool) -> None:
        self._daemon.metrics.set(metrics.EVENTS_CONNECTED, float(connected))
        if connected and self._connected_before:
            # What happened in between nobody told us, and an engine that was started anew has forgotten it.
            self._ask_for_runs("", "Docker's events were lost for a while", "")
        self._connected_before = self._connected_before or connected

    def _on_event(self, event: ContainerEvent) -> None:
        agent = agent_of_container(self._daemon.configuration.settings.agents, event.name, event.labels)
        if agent is not None:
            self._ask_for_runs(agent, f"container {event.name}: {event.action}", event.action)

    def _ask_for_runs(self, target: str, reason: str, action: str) -> None:
        """Submit a run of every job that wakes on the action (on any, if it is empty)."""
        settings = self._daemon.configuration.settings
        for job in all_jobs().values():
            wakes = action in job.wakes_on if action else bool(job.wakes_on)
            if wakes and getattr(settings.jobs, job.key).enabled:
                self._daemon.submit(Request(task=job.name, target=target, trigger=Trigger.EVENT, reason=reason))

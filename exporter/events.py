"""Docker events that cannot wait for the schedule: a container that dies asks for a run at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from exporter import metrics
from jobs.clients.docker_events import DockerEvents
from jobs.core.agent_discovery import agent_of_container
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

    def _on_event(self, event: ContainerEvent) -> None:
        settings = self._daemon.configuration.settings
        agent = agent_of_container(settings.agents, event.name, event.labels)
        if agent is None:
            return
        for job in all_jobs().values():
            if event.action in job.wakes_on and getattr(settings.jobs, job.key).enabled:
                reason = f"container {event.name}: {event.action}"
                self._daemon.submit(Request(task=job.name, target=agent, trigger=Trigger.EVENT, reason=reason))

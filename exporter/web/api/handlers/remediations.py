"""What alerts have brought about, the answers that it waits for, and the audit log."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from exporter.bridge.remediation import audit, receiving, remediations
from exporter.bridge.remediation.desk import Desk
from exporter.settings import Settings
from exporter.store import Store
from exporter.views.alerts import remediation_document
from exporter.web.answers import Problem, answer
from exporter.web.api.operations import Call
from jobs.core.ports import Clock


class Remediations:
    """The handlers. Each may wait for the disk."""

    def __init__(self, store: Store, settings: Callable[[], Settings], clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    def listing(self, call: Call) -> Response:
        """Remediations, newest first."""
        found = remediations.listing(self._store, call.values["limit"], only_open=call.values["open"])
        return answer({"remediations": [remediation_document(entry) for entry in found]})

    def entries(self, call: Call) -> Response:
        """The audit log, newest first."""
        return answer({"entries": audit.entries(self._store, call.values["limit"])})

    def approve(self, call: Call) -> Response:
        """Let a remediation that waits be done."""
        return self._answer(call, approved=True)

    def reject(self, call: Call) -> Response:
        """End a remediation that waits."""
        return self._answer(call, approved=False)

    def _answer(self, call: Call, *, approved: bool) -> Response:
        desk = Desk(self._store, self._settings(), self._clock.now(), f"token:{call.who}")
        try:
            return answer(remediation_document(receiving.answer(desk, call.values["id"], approved=approved)))
        except receiving.Unknown as error:
            raise Problem(404, str(error)) from None
        except receiving.NotWaiting as error:
            raise Problem(409, str(error)) from None

"""What people see through the API: the documents of `exporter.views`, which are loaded when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from exporter.guide_names import task_of
from exporter.store import Store
from exporter.web.answers import HEADERS, Problem, answer
from exporter.web.api.handlers.control import unknown
from exporter.web.api.operations import Call
from exporter.web.api.readers import Shared
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.sources import Sources

MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "sarif": "application/sarif+json"}
"""The forms of reports (SARIF: https://www.iana.org/assignments/media-types/application/sarif+json)."""
_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; "
_PAGE_POLICY += "base-uri 'none'; form-action 'none'"
"""A report holds what containers, databases and files are called: as a page it may show, and do nothing at all."""


class Reading:
    """The handlers. Each plain function may wait for the disk."""

    def __init__(self, sources: Callable[[], Sources], store: Store) -> None:
        self._sources, self._store = sources, store
        self.shared_status = Shared(self.status_document)
        """The status, for many at once."""

    async def status(self, call: Call) -> Response:
        """Everything at a glance."""
        return answer(await self.shared_status.get())

    def status_document(self) -> Any:
        """The same, as a document."""
        from exporter.views import status

        return status.status(self._sources(), serving=True)

    def tasks(self, call: Call) -> Response:
        """Every task."""
        from exporter.views import tasks

        return answer(tasks.tasks(self._sources()))

    def task(self, call: Call) -> Response:
        """One task."""
        from exporter.views import tasks

        return answer(tasks.task(self._sources(), _known(task_of(call.values["task"]))))

    def runs(self, call: Call) -> Response:
        """The ledger, newest first."""
        from exporter.views import tasks

        task, limit = _wanted(call), call.values["limit"]
        found = tasks.runs(self._sources(), task, limit)
        return answer({"runs": found, "missed": self._store.missed(task, limit)})

    def run(self, call: Call) -> Response:
        """One run, whole."""
        record = self._store.record(call.values["id"])
        if record is None:
            raise Problem(404, f"there is no run {call.values['id']} that is over; /api/v1/runs lists those there are")
        return answer(record.model_dump(mode="json"))

    def agents(self, call: Call) -> Response:
        """The agents."""
        from exporter.views import agents

        return answer({"agents": agents.agents(self._sources())})

    def findings(self, call: Call) -> Response:
        """What stands."""
        from exporter.views import findings

        return answer({"findings": findings.findings(self._sources(), _wanted(call))})

    def backups(self, call: Call) -> Response:
        """The backups."""
        from exporter.views import backups

        return answer({"backups": backups.backups(self._sources())})

    def configuration(self, call: Call) -> Response:
        """The settings in force."""
        from exporter.views import settings

        return answer({"settings": settings.settings(self._sources())})

    def reports(self, call: Call) -> Response:
        """The reports there are."""
        from exporter.views import reports

        return answer({"reports": reports.reports(self._sources(), _wanted(call))})

    def latest_report(self, call: Call) -> Response:
        """The newest report of a task, itself."""
        from exporter.views import reports

        task, sources = _known(task_of(call.values["task"])), self._sources()
        newest = [entry["id"] for entry in reports.reports(sources, task) if entry["latest"]]
        if not newest:
            raise Problem(404, f"{task} has left no report yet; 'sutazai-exporter run {task}' makes one")
        return _content(sources, newest[0], call.values["format"])

    def report(self, call: Call) -> Response:
        """One report, itself."""
        return _content(self._sources(), call.values["id"], call.values["format"])


def _content(sources: Sources, report_id: str, form: str) -> Response:
    from exporter.views import reports

    try:
        content = reports.content(sources, report_id, form)
    except KeyError:
        detail = f"there is no report {report_id[:100]!r} as {form}; /api/v1/reports lists those there are"
        raise Problem(404, detail) from None
    except OSError as error:
        raise Problem(503, f"the report {report_id} cannot be read: {error.strerror}") from None
    headers = {**HEADERS, "content-disposition": f'inline; filename="{report_id}.{form}"'}
    if form == "html":
        headers["content-security-policy"] = _PAGE_POLICY
    return Response(content, media_type=MEDIA_TYPES[form], headers=headers)


def _wanted(call: Call) -> str | None:
    """The task that the query names, if it names one."""
    task = call.values["task"]
    return None if task is None else _known(task_of(task))


def _known(task: str) -> str:
    if task not in all_jobs():
        raise Problem(404, unknown("task", task, list(all_jobs())))
    return task

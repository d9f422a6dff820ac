"""What people see through the API: the documents of `exporter.views`, which are loaded when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response

from exporter.guide_names import task_of
from exporter.store import Store, StoreError
from exporter.web.answers import HEADERS, Problem, answer, encoded
from exporter.web.api.handlers.control import unknown
from exporter.web.api.operations import Call
from exporter.web.api.readers import Kept, Shared
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import Status
    from exporter.views.sources import Sources

MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "sarif": "application/sarif+json"}
"""The forms of reports (SARIF: https://www.iana.org/assignments/media-types/application/sarif+json)."""
_PAGE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; "
_PAGE_POLICY += "base-uri 'none'; form-action 'none'"
"""A report holds what containers, databases and files are called: as a page it may show, and do nothing at all."""


class ToldStatus(NamedTuple):
    """The status, and its JSON."""

    document: Status
    body: bytes


class Reading:
    """The handlers. Each plain function may wait for the disk."""

    def __init__(self, sources: Callable[[], Sources], store: Store) -> None:
        self._sources, self._store = sources, store
        self._looked: tuple[object, Sources | None] = (None, None)
        self.kept_status = Kept(self._status, self._mark)
        """The status as it is told."""
        self.shared_status = Shared(self.kept_status.get)
        """The same, for many at once."""

    async def status(self, call: Call) -> Response:
        """Everything at a glance."""
        told: ToldStatus = await self.shared_status.get()
        return Response(told.body, media_type=MEDIA_TYPES["json"], headers=HEADERS)

    def _status(self) -> ToldStatus:
        from exporter.views import status

        document = status.status(self._look(), serving=True)
        return ToldStatus(document, encoded(document))

    def _look(self) -> Sources:
        """What is to be looked at; of a ledger that is as it was, what the status has read before is not read again."""
        sources, ledger = self._sources(), self._ledger()
        read_of, before = self._looked
        if before is not None and ledger == read_of:
            sources = before.later(sources)
        self._looked = (ledger, sources)
        return sources  # and not what another thread has put there meanwhile

    def _ledger(self) -> object:
        """What is different after every change of the ledger."""
        try:
            if not self._store.is_stalled:  # it is not asked as well
                return self._store.change_mark()
        except StoreError:
            pass  # the status says so
        return object()

    def _mark(self) -> object:
        """What is different after every change of what the status is made of."""
        sources = self._sources()
        return self._ledger(), sources.exposition.text.crc, id(sources.configuration)

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

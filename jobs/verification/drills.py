"""Restore drills: the newest backup of each database, restored for real and compared with its manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import ClientError
from jobs.core.backups import Kind, Manifest
from jobs.core.drills import Drill, DrillState, differences, major_of
from jobs.verification.integrity import Checked, State
from jobs.verification.items import Form, Item
from jobs.verification.places import Places, Where
from jobs.verification.reading import Damaged, Reading, Unverifiable, Vanished, unzipped

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.pg_scratch import Scratch
    from jobs.clients.postgres_content import Content

ATTEMPTS = 3
"""Of a database whose newest backup cannot be restored, so many are tried for the newest that can."""


@dataclass(frozen=True)
class Evidence:
    """A drill with what was found, for the file that is kept of it."""

    drill: Drill
    item: Item
    found: dict[str, Any]


def candidates(items: Iterable[Item]) -> list[list[Item]]:
    """The dumps of each database, newest first: one is restored of each, or of all with `verify_all`."""
    by_source: dict[str, list[Item]] = {}
    for item in sorted(items, key=lambda item: item.created, reverse=True):
        if item.kind == Kind.DATABASE:
            by_source.setdefault(item.source, []).append(item)
    return [by_source[source] for source in sorted(by_source)]


class Drills:
    """Makes drills, each with its own limit, as long as there are `left_seconds`."""

    def __init__(
        self,
        clients: Clients,
        places: Places,
        left_seconds: Callable[[], float],
        *,
        limit_seconds: float,
        jobs: int,
        extensions: tuple[str, ...],
    ) -> None:
        self._clients, self._places, self._left_seconds = clients, places, left_seconds
        self._limit_seconds, self._jobs, self._extensions = limit_seconds, jobs, extensions

    def of_source(self, checked: Sequence[Checked], *, verify_all: bool) -> list[Evidence]:
        """Drill the dumps of one database, newest first, until one is restored; with `verify_all`, every one."""
        made: list[Evidence] = []
        for one in checked:
            if one.state is State.GONE:
                continue
            made.append(self.drill(one))
            settled = made[-1].drill.state is not DrillState.FAILED or len(made) >= ATTEMPTS
            if settled and not verify_all:
                break
        return made

    def drill(self, checked: Checked) -> Evidence:
        """Restore one dump and compare it; whatever comes of it is in what this returns."""
        item, began, now = checked.item, self._clients.clock.monotonic(), self._clients.clock.now()
        found: dict[str, Any] = {}
        state, reason = DrillState.RESTORED, ""
        try:
            self._make(checked, found)
        except Damaged as damage:
            state, reason = DrillState.FAILED, str(damage)
        except (Unverifiable, Vanished, ClientError) as error:
            state, reason = DrillState.UNKNOWN, str(error)
        except OSError as error:
            state, reason = DrillState.UNKNOWN, f"{error.strerror}"
        drill = Drill(
            source=item.source,
            backup=item.name,
            created=item.created,
            at=now,
            state=state,
            reason=reason,
            where=found.get("where", ""),
            restore_seconds=found.get("restore_seconds"),
            seconds=round(self._clients.clock.monotonic() - began, 3),
        )
        return Evidence(drill, item, found)

    def _make(self, checked: Checked, found: dict[str, Any]) -> None:
        if checked.state is State.FAILED:
            raise Damaged(checked.reason)
        if checked.state is State.UNKNOWN:
            raise Unverifiable(f"its file could not be checked: {checked.reason}")
        if checked.cluster:
            raise Unverifiable("it is a dump of a whole cluster (pg_dumpall), which is not restored in drills")
        if self._left_seconds() <= 0:
            raise Unverifiable("the time of the run was over")
        manifest = checked.item.backup.manifest if checked.item.backup else None
        major = major_of(manifest.server_version if manifest and manifest.server_version else checked.server_version)
        where = self._places.for_dump(checked.item.source, major, checked.item.bytes)
        found["where"] = where.name
        scratch = self._places.scratch(where, extensions=self._extensions, own_role_allowed=manifest is not None)
        with scratch as database:
            self._load(checked, where, database, found)
            content = self._content(database, found)
        found |= {"schema_fingerprint": content.schema_fingerprint, "row_counts": dict(content.row_counts)}
        _compare(manifest, content, where.major, major, found)

    def _limit(self) -> float:
        return max(1.0, min(self._limit_seconds, self._left_seconds()))

    def _load(self, checked: Checked, where: Where, database: Scratch, found: dict[str, Any]) -> None:
        from jobs.clients.pg_load import DumpRejected, load_custom, load_plain

        began = self._clients.clock.monotonic()
        try:
            if checked.item.form is Form.CUSTOM_DUMP:
                pg_restore, parameters = where.find_pg_restore(), database.parameters
                load_custom(checked.item.path, pg_restore, parameters, jobs=self._jobs, timeout_seconds=self._limit())
            else:
                with Reading(checked.item.path) as reading:
                    text = unzipped(reading.chunks())
                    load_plain(text, database.parameters, timeout_seconds=self._limit())
                    reading.finish()
                    if reading.sha256 != checked.sha256:
                        raise Damaged("it was changed since its file was checked")
        except DumpRejected as error:
            raise Damaged(f"it cannot be restored: {error}") from None
        found["restore_seconds"] = round(self._clients.clock.monotonic() - began, 3)

    def _content(self, database: Scratch, found: dict[str, Any]) -> Content:
        from jobs.clients.pg_scratch import as_server
        from jobs.clients.postgres_content import read_content

        began = self._clients.clock.monotonic()
        with as_server(database).session() as session:
            content = read_content(session, timeout_seconds=self._limit())
        found["compare_seconds"] = round(self._clients.clock.monotonic() - began, 3)
        return content


def _compare(
    manifest: Manifest | None, content: Content, restored_on: int, came_from: int | None, found: dict[str, Any]
) -> None:
    if manifest is None or manifest.schema_fingerprint is None:
        raise Unverifiable("it was restored, but there is no manifest that says what should be in it")
    different = differences(manifest, content.schema_fingerprint, content.row_counts)
    found["differences"] = different
    if not different:
        return
    same_rows = content.row_counts == manifest.row_counts
    if restored_on != came_from and same_rows:
        raise Unverifiable(f"PostgreSQL {restored_on} spells its schema differently: only its rows could be compared")
    more = f" (and {len(different) - 1} more differences)" if len(different) > 1 else ""
    raise Damaged(f"{different[0]}{more}")

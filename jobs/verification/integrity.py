"""Is a backup's file whole? Each is read once; what can be told from its content is told from the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.errors import Absent, ClientError
from jobs.core.backups import Kind
from jobs.core.drills import major_of
from jobs.core.plain_dump import HEADER, HEADER_BYTES, TRAILER, TRAILER_BYTES, is_of_a_cluster, server_version
from jobs.verification import pem, texts
from jobs.verification.archives import check_archive
from jobs.verification.items import LIST_NAME, Form, Item
from jobs.verification.reading import Damaged, Reading, Unverifiable, Vanished, unzipped

if TYPE_CHECKING:
    from jobs.core.backups import Manifest

_CUSTOM_MAGIC = b"PGDMP"
_MAX_PEM_BYTES = 1 << 20
_MAX_KEPT_BYTES = 16 << 20
_MAX_NOTES = 20
_PAIR_NAMES = re.compile(r".+\.(?:pem|crt|key)")


class State(StrEnum):
    """What came of a check."""

    VERIFIED = "verified"
    FAILED = "failed"
    UNKNOWN = "unknown"
    GONE = "gone"


@dataclass(frozen=True)
class Checked:
    """What is known of an item: `reason` why it failed or is unknown, `notes` what else an operator should know.

    `sha256` and `bytes_read` are of the file, where it was read whole; `server_version` of the server that a dump
    came from, `cluster` whether it is a dump of all its databases.
    """

    item: Item
    state: State
    reason: str = ""
    sha256: str = ""
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    server_version: str = ""
    cluster: bool = False


@dataclass
class _Findings:
    notes: list[str] = field(default_factory=list)
    server_version: str = ""
    cluster: bool = False


class Integrity:
    """Checks items.

    `expired` says when the time is over, `find_pg_restore` where that program is, of a major version or the newest (or
    raises Absent).
    """

    def __init__(
        self, expired: Callable[[], bool], find_pg_restore: Callable[[int | None], str], monotonic: Callable[[], float]
    ) -> None:
        self._expired, self._find_pg_restore, self._monotonic = expired, find_pg_restore, monotonic

    def check(self, item: Item) -> Checked:
        """Check one item; whatever is wrong with it is in what this returns."""
        began, found, sha256 = self._monotonic(), _Findings(), ""
        state, reason = State.VERIFIED, ""
        try:
            sha256 = self._directory(item) if item.form is Form.PAIR else self._file(item, found)
        except Damaged as damage:
            state, reason = State.FAILED, str(damage)
        except Unverifiable as error:
            state, reason = State.UNKNOWN, str(error)
        except Vanished:
            state, reason = State.GONE, "it was removed in the meantime"
        except OSError as error:
            state, reason = State.UNKNOWN, f"it could not be looked at: {error.strerror}"
        return Checked(
            item=item,
            state=state,
            reason=reason,
            sha256=sha256 if state is State.VERIFIED else "",
            seconds=self._monotonic() - began,
            notes=tuple(found.notes[:_MAX_NOTES]),
            server_version=found.server_version,
            cluster=found.cluster,
        )

    def _file(self, item: Item, found: _Findings) -> str:
        manifest = item.backup.manifest if item.backup else None
        if item.backup and manifest is None:
            found.notes.append(item.backup.problem or "it has no manifest")
        elif manifest is None:
            found.notes.append("it has no manifest")
        with Reading(item.path, self._expired) as reading:
            _compare_size(reading, manifest)
            self._content(item, manifest, reading, found)
            reading.finish()
            _compare(reading, manifest)
            sha256 = reading.sha256
        if item.form is Form.CUSTOM_DUMP:
            self._listed(item, found)
        return sha256

    def _content(self, item: Item, manifest: Manifest | None, reading: Reading, found: _Findings) -> None:
        chunks = reading.chunks()
        if item.form is Form.SQL:
            _plain_dump(unzipped(chunks, self._expired), found)
        elif item.form is Form.TAR:
            members = manifest.members if manifest else None
            _Archive(item.kind, found).check(unzipped(chunks, self._expired), members)
        elif item.form is Form.RDB:
            _rdb(chunks, manifest)
        elif item.form is Form.CUSTOM_DUMP:
            if not next(chunks, b"").startswith(_CUSTOM_MAGIC):
                raise Damaged("it does not begin as a custom dump does (PGDMP)")
        elif item.form is Form.PEM:
            pem.check_pem(item.path.name, b"".join(_bounded(chunks, _MAX_PEM_BYTES)))

    def _listed(self, item: Item, found: _Findings) -> None:
        """pg_restore's own view of a custom dump. It lists damaged ones, too: this can only find more."""
        from jobs.clients.pg_load import DumpRejected, listing, read_through

        try:
            manifest = item.backup.manifest if item.backup else None
            pg_restore = self._find_pg_restore(major_of(manifest.server_version) if manifest else None)
            found.server_version, entries = listing(item.path, pg_restore)
            if not item.has_manifest:
                read_through(item.path, pg_restore, timeout_seconds=600)
        except DumpRejected as error:
            raise Damaged(f"pg_restore: {error}") from None
        except Absent as error:
            if not item.has_manifest:
                raise Unverifiable(str(error)) from None
            found.notes.append(f"its contents were not listed: {error}")
            return
        except ClientError as error:
            raise Unverifiable(f"pg_restore: {error}") from None
        # A database may be empty: then its manifest says so.
        if not entries and (manifest is None or manifest.row_counts):
            raise Damaged("it holds nothing")

    def _directory(self, item: Item) -> str:
        contents: dict[str, bytes] = {}
        for path in sorted(item.path.iterdir()):
            if _PAIR_NAMES.fullmatch(path.name):
                contents[path.name] = _whole(path, self._expired)
                pem.check_pem(path.name, contents[path.name])
        if not contents:
            raise Damaged("there is no certificate or key in it")
        if item.has_own_list:
            pem.check_list(_whole(item.path / LIST_NAME, self._expired), contents)
        pem.check_pairs(contents)
        return ""


class _Archive:
    """What is looked for in the files of an archive."""

    def __init__(self, kind: str, found: _Findings) -> None:
        self._kind, self._found = kind, found
        self._pem: dict[str, bytes] = {}
        self._kept_bytes = 0

    def check(self, unpacked: Iterator[bytes], members: Mapping[str, str] | None) -> None:
        """Check it, and that keys in it belong to their certificates."""
        self._found.notes += check_archive(unpacked, members, self._look)
        pem.check_pairs(self._pem)

    def _look(self, name: str, content: bytes) -> None:
        if problem := texts.problem_of(name, content):
            self._found.notes.append(problem)
        of_certificates = self._kind == Kind.CERTIFICATES and name.endswith(pem.SUFFIXES)
        if of_certificates and self._kept_bytes + len(content) <= _MAX_KEPT_BYTES:
            if content.startswith(b"-----BEGIN"):
                pem.check_pem(name, content)
            self._kept_bytes += len(content)
            self._pem[name] = content


def _compare_size(reading: Reading, manifest: Manifest | None) -> None:
    if reading.size_bytes == 0:
        raise Damaged("it is empty")
    if manifest and reading.size_bytes != manifest.bytes:
        raise Damaged(f"it has {reading.size_bytes} bytes and should have {manifest.bytes}")


def _compare(reading: Reading, manifest: Manifest | None) -> None:
    if manifest and (reading.bytes_read != manifest.bytes or reading.sha256 != manifest.sha256):
        raise Damaged(f"its sha256 is {reading.sha256[:12]}… and should be {manifest.sha256[:12]}…: it was changed")


def _plain_dump(unpacked: Iterator[bytes], found: _Findings) -> None:
    head, tail = b"", b""
    for piece in unpacked:
        if len(head) < HEADER_BYTES:
            head += piece[:HEADER_BYTES]
        tail = (tail + piece[-TRAILER_BYTES:])[-TRAILER_BYTES:]
    if not head:
        raise Damaged("it unpacks to nothing")
    if not HEADER.search(head):
        raise Damaged("it does not begin as a dump by pg_dump does")
    if not TRAILER.search(tail):
        raise Damaged("it does not end as a dump by pg_dump does: it is cut off")
    found.server_version, found.cluster = server_version(head), is_of_a_cluster(head)


def _rdb(chunks: Iterator[bytes], manifest: Manifest | None) -> None:
    from jobs.core.rdb import RdbCheck, RdbError

    check = RdbCheck()
    try:
        for chunk in chunks:
            check.feed(chunk)
        facts = check.finish()
    except RdbError as error:
        raise Damaged(str(error)) from None
    if manifest and manifest.keys is not None and facts.keys is not None and facts.keys != manifest.keys:
        raise Damaged(f"it has {facts.keys} keys and should have {manifest.keys}")


def _whole(path: Path, expired: Callable[[], bool]) -> bytes:
    with Reading(path, expired) as reading:
        return b"".join(_bounded(reading.chunks(), _MAX_PEM_BYTES))


def _bounded(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    for chunk in chunks:
        limit -= len(chunk)
        if limit < 0:
            raise Damaged("it is too big for what it should be")
        yield chunk

"""A plain dump (SQL text by pg_dump) taken apart, so that it is restored without psql.

psql obeys lines that begin with a backslash: `\\! rm -rf ~` in a dump is a command to the shell of whoever restores it.
Here SQL goes to the server as it is, which knows no such commands: to it a backslash outside a literal is a syntax
error. Rows go there as data of COPY FROM STDIN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

HEADER = re.compile(rb"-- PostgreSQL database (cluster )?dump\r?\n")
TRAILER = re.compile(rb"-- PostgreSQL database (cluster )?dump complete\r?\n")
HEADER_BYTES, TRAILER_BYTES = 1024, 300
"""Where header and trailer are looked for: since 15.14 pg_dump writes `\\unrestrict` and a key after the trailer."""
_VERSION = re.compile(rb"^-- Dumped from database version ([0-9][^\r\n]{0,99})", re.MULTILINE)

_BATCH_BYTES = 64 << 10
MAX_SQL_BYTES = 64 << 20
"""One function or row (a large object, or with --inserts) may be so long, and no more."""
_COPY = re.compile(rb"^(COPY [^\n]+ FROM stdin);\r?\n", re.MULTILINE)
_END_OF_ROWS = b"\n\\.\n"

_ENTRY = re.compile(rb"^(?=--\n-- (?:Data for )?Name: )", re.MULTILINE)
_TITLE = re.compile(rb"--\n-- (?:Data for )?Name: (.*); Type: ([A-Z ]+); Schema: ")
_STATEMENT_END = re.compile(rb";\n+(?=--\n-- (?:Data for )?Name: |INSERT INTO |SELECT pg_catalog\.lo)")
# Whose it is and who may use it belongs to the server it came from; a role that is no superuser may make none of these.
NOT_RESTORED = frozenset(
    {"ACL", "DEFAULT ACL", "EVENT TRIGGER", "PUBLICATION", "PUBLICATION TABLE", "SECURITY LABEL", "SUBSCRIPTION"}
)
_OWNER = re.compile(rb"(?<=\n\n)ALTER [A-Z][^\n]* OWNER TO [^\n]+;\n")
_ONLY_COMMENTS = re.compile(rb"(?:--[^\n]*(?:\n|$)|\s)*")
_FOR_PSQL_OR_OTHER_VERSIONS = re.compile(
    rb"^(?:\\(?:un)?restrict [A-Za-z0-9]+|SET transaction_timeout = 0;|SET default_tablespace = [^\n]*;)\n",
    re.MULTILINE,
)


class Unusable(Exception):
    """The text is no dump that can be taken apart; the message says why."""


def server_version(head: bytes) -> str:
    """Which server a plain dump came from, by its first bytes; empty where it does not say."""
    match = _VERSION.search(head)
    return match[1].decode("ascii", "replace") if match else ""


def is_of_a_cluster(head: bytes) -> bool:
    """Whether it is by pg_dumpall, of all databases of a server."""
    match = HEADER.search(head)
    return bool(match and match[1])


class Rows:
    """A table's rows in COPY's text format. `read` gives them piece by piece, at last nothing."""

    def __init__(self, statement: bytes, dump: PlainDump) -> None:
        self.statement, self._dump, self._ended = statement, dump, False

    def read(self, size: int = -1) -> bytes:
        """The next piece, of whatever length; empty at the end. Raises Unusable where the dump is cut off."""
        if self._ended:
            return b""
        piece, self._ended = self._dump.rows()
        return piece


class PlainDump:
    """Given a dump's text in pieces, `parts` gives SQL to be run and Rows to be copied, in their order.

    The Rows must be read to their end before the next part is asked for. What concerns owners, privileges and other
    servers is left out.
    """

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._buffer, self._line_start = pieces, b"", True

    def parts(self) -> Iterator[bytes | Rows]:
        """The dump, part by part."""
        looked = 0
        while True:
            match = _COPY.search(self._buffer, looked)
            if match:
                yield from _sql(self._buffer[: match.start()])
                self._buffer, self._line_start, looked = self._buffer[match.end() :], True, 0
                rows = Rows(match[1], self)
                yield rows
                while rows.read():
                    pass
                continue
            if len(self._buffer) > _BATCH_BYTES and (cut := _last_cut(self._buffer)):
                yield from _sql(self._buffer[:cut])
                self._buffer = self._buffer[cut:]
            if len(self._buffer) > MAX_SQL_BYTES:
                raise Unusable(f"it has a statement of more than {MAX_SQL_BYTES >> 20} MiB")
            looked = self._buffer.rfind(b"\n") + 1
            if not self._more():
                yield from _sql(self._buffer)
                return

    def rows(self) -> tuple[bytes, bool]:
        """A piece of the rows of the table that is being read, and whether it is the last."""
        while True:
            if self._line_start and self._buffer.startswith(_END_OF_ROWS[1:]):
                self._buffer = self._buffer[len(_END_OF_ROWS) - 1 :]
                return b"", True
            end = self._buffer.find(_END_OF_ROWS)
            if end >= 0:
                piece, self._buffer = self._buffer[: end + 1], self._buffer[end + len(_END_OF_ROWS) :]
                return piece, True
            # The end may be at the seam of two pieces.
            kept = len(_END_OF_ROWS) - 1
            if len(self._buffer) > kept:
                piece, self._buffer = self._buffer[:-kept], self._buffer[-kept:]
                self._line_start = piece.endswith(b"\n")
                return piece, False
            if not self._more():
                raise Unusable("it is cut off within the rows of a table")

    def _more(self) -> bool:
        piece = next(self._pieces, None)
        if piece is None:
            return False
        self._buffer += piece
        return True


def _last_cut(text: bytes) -> int:
    """Where the last whole statement ends that another surely follows; 0 for nowhere."""
    cut = 0
    for match in _STATEMENT_END.finditer(text):
        cut = match.end()
    return cut


def _sql(text: bytes) -> Iterator[bytes]:
    kept = b"".join(entry for entry in _ENTRY.split(text.replace(b"\r\n", b"\n")) if _is_restored(entry))
    kept = _FOR_PSQL_OR_OTHER_VERSIONS.sub(b"", _OWNER.sub(b"", kept))
    if not _ONLY_COMMENTS.fullmatch(kept):
        yield kept


def _is_restored(entry: bytes) -> bool:
    title = _TITLE.match(entry)
    if title is None:
        return True
    kind = title[2].decode("ascii")
    of_an_extension = kind == "COMMENT" and title[1].startswith(b"EXTENSION ")
    return kind not in NOT_RESTORED and not of_an_extension

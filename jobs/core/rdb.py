"""Whether a file is a whole Redis snapshot (RDB), told from the stream of its bytes.

The format is that of Redis's rdb.c (https://rdb.fnordig.de/file_format.html describes it): a magic with a version,
auxiliary fields, each database with the number of its keys, the end opcode, and since version 5 a CRC-64 (Jones) of all
that came before. Values are not walked: the checksum speaks for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_MAGIC = re.compile(rb"REDIS(\d{4})|VALKEY(\d{3})")
_MAGIC_BYTES = 9
_HEAD_BYTES = 65536
_CHECKSUM_BYTES = 8
_FIRST_WITH_CHECKSUM = 5
_END, _SELECT_DATABASE, _SIZES, _AUXILIARY = 0xFF, 0xFE, 0xFB, 0xFA
_FUNCTION, _SLOT = 0xF5, 0xF4
_MAX_YEAR_9999 = 253402300799


class RdbError(ValueError):
    """The stream is no whole RDB file; the message is one line that says why."""


@dataclass(frozen=True)
class RdbFacts:
    """A whole RDB file. `keys` are those of its first database, the only ones told without walking the values.

    `keys` is None where the file does not tell. Without `checksum` the server was told to write none
    (`rdbchecksum no`): then only the beginning and the end are proven.
    """

    bytes: int
    rdb_version: int
    redis_version: str
    created: datetime | None
    keys: int | None
    checksum: bool


class RdbCheck:
    """Feed it a file piece by piece, and `finish` says what it is. It keeps 64 KiB, however large the file."""

    def __init__(self) -> None:
        # Only now: the daemon imports this module's users, and checks nothing.
        import anycrc

        self._crc64: Any = anycrc.Model("CRC64-REDIS")
        self._crc, self._bytes, self._head, self._tail = 0, 0, b"", b""

    def feed(self, piece: bytes) -> None:
        """Take the next piece; raise RdbError as soon as it cannot become an RDB file."""
        had_magic = len(self._head) >= _MAGIC_BYTES
        self._head += piece[: _HEAD_BYTES - len(self._head)]
        self._bytes += len(piece)
        if not had_magic and len(self._head) >= _MAGIC_BYTES:
            _version(self._head)
        # The last nine bytes are the end opcode and a checksum, which is not part of what it sums up.
        held = self._tail + piece
        settled = max(0, len(held) - _CHECKSUM_BYTES - 1)
        self._crc = self._crc64.calc(held[:settled], self._crc)
        self._tail = held[settled:]

    def finish(self) -> RdbFacts:
        """What the file is; raise RdbError where it is damaged or not whole."""
        version = _version(self._head)
        has_checksum = version >= _FIRST_WITH_CHECKSUM
        if not self._ends(has_checksum):
            raise RdbError(f"it is cut off: the end mark is missing after {self._bytes} bytes")
        stored = int.from_bytes(self._tail[1:], "little") if has_checksum else 0
        computed = self._crc64.calc(self._tail[:1], self._crc)
        if stored and stored != computed:
            raise RdbError(f"its checksum is {computed:016x} and should be {stored:016x}: it was damaged")
        fields, keys = _beginning(self._head)
        return RdbFacts(
            bytes=self._bytes,
            rdb_version=version,
            redis_version=_printable(fields.get(b"redis-ver") or fields.get(b"valkey-ver") or b""),
            created=_created(fields.get(b"ctime", b"")),
            keys=keys,
            checksum=stored != 0,
        )

    def _ends(self, has_checksum: bool) -> bool:
        if not has_checksum:
            return self._bytes > _MAGIC_BYTES and self._tail[-1] == _END
        return self._bytes >= _MAGIC_BYTES + _CHECKSUM_BYTES + 1 and self._tail[0] == _END


def _version(head: bytes) -> int:
    magic = _MAGIC.match(head)
    if not magic:
        raise RdbError("it does not begin as an RDB file does (REDIS and four digits)")
    return int(magic[1] or magic[2])


def _printable(text: bytes) -> str:
    return re.sub(r"[^!-~]", "?", text[:64].decode("ascii", "replace"))


def _created(text: bytes) -> datetime | None:
    if not re.fullmatch(rb"\d{1,12}", text) or int(text) > _MAX_YEAR_9999:
        return None
    return datetime.fromtimestamp(int(text), UTC)


class _Beyond(Exception):
    """The beginning that was kept ends here, or goes on in a way that is not known."""


def _beginning(head: bytes) -> tuple[dict[bytes, bytes], int | None]:
    """The auxiliary fields, and the number of keys in the first database (0 without one, None where not told)."""
    fields: dict[bytes, bytes] = {}
    cursor = _Cursor(head, _MAGIC_BYTES)
    try:
        for opcode in cursor.opcodes():
            if opcode == _END:
                return fields, 0
            if opcode == _AUXILIARY:
                name, value = cursor.string(), cursor.string()
                fields[name] = value
            elif opcode == _SELECT_DATABASE:
                cursor.number()
            elif opcode == _SIZES:
                return fields, cursor.number()
            elif opcode == _FUNCTION:
                cursor.string()
            elif opcode == _SLOT:
                cursor.number(), cursor.number(), cursor.number()
            else:
                break
    except _Beyond:
        pass
    return fields, None


class _Cursor:
    """A place in the beginning of the file; raises _Beyond where that ends."""

    def __init__(self, head: bytes, at: int) -> None:
        self._head, self._at = head, at

    def opcodes(self) -> Iterator[int]:
        """The opcode here, and after whoever asked has read what belongs to it, the next."""
        while True:
            yield self._take(1)[0]

    def number(self) -> int:
        """A length; raise _Beyond for an encoded value."""
        number, encoded = self._length()
        if encoded:
            raise _Beyond
        return number

    def string(self) -> bytes:
        """A string; integers as their digits, what is compressed as nothing."""
        number, encoded = self._length()
        if not encoded:
            return self._take(number)
        if number in (0, 1, 2):
            return str(int.from_bytes(self._take(1 << number), "little", signed=True)).encode()
        if number != 3:
            raise _Beyond
        compressed, _ = self.number(), self.number()
        self._take(compressed)
        return b""

    def _length(self) -> tuple[int, bool]:
        first = self._take(1)[0]
        kind, low = first >> 6, first & 0x3F
        if kind == 0:
            return low, False
        if kind == 1:
            return (low << 8) | self._take(1)[0], False
        if kind == 3:
            return low, True
        return int.from_bytes(self._take(8 if first == 0x81 else 4), "big"), False

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._head):
            raise _Beyond
        taken, self._at = self._head[self._at : end], end
        return taken

"""An archive, looked at as it passes and never unpacked: is each file in it what it was, and is it safe to unpack?"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from jobs.verification.reading import Damaged, Unverifiable, told

MAX_MEMBERS = 1_000_000
MAX_LOOKED_INTO_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20
_MAX_READ_BYTES = 16 << 20
"""tarfile reads a header of whatever length it says, and we read content in blocks of 1 MiB."""


def check_archive(
    unpacked: Iterator[bytes], expected: Mapping[str, str] | None, look: Callable[[str, bytes], None]
) -> list[str]:
    """Read a tar stream to its end; raise Damaged, else return what an operator should know of it.

    `expected` has the sha256 of each file by name, None where nobody wrote it down. `look` gets the name and content
    of each file of up to 1 MiB, and may raise Damaged.
    """
    seen: dict[str, str] = {}
    links: dict[PurePosixPath, str] = {}
    notes: list[str] = []
    try:
        # Not tarfile's own stream mode: that gathers a header of any length before anybody is asked.
        with tarfile.TarFile(fileobj=_Stream(unpacked)) as tar:  # type: ignore[arg-type]  # it needs no more
            for count, member in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise Damaged(f"it has more than {MAX_MEMBERS} members")
                note = _judge_name(member, links, trusted=expected is not None)
                notes += [note] if note else []
                if member.isfile():
                    if member.name in seen:
                        raise Damaged(f"it has {member.name!r} twice")
                    seen[member.name] = _sum(tar, member, look)
                elif member.issym():
                    links[_path(member.name)] = member.linkname
            for _ in unpacked:  # what follows the end of the archive is still in the checksum of the file
                pass
    except (tarfile.TarError, EOFError, UnicodeError, ValueError, OverflowError) as error:
        raise Damaged(f"it is no archive: {told(error)}") from None
    if expected is None and not seen:
        raise Damaged("there is no file in it")
    if expected is not None:
        _compare(seen, expected)
    return notes


def _judge_name(member: tarfile.TarInfo, links: Mapping[PurePosixPath, str], *, trusted: bool) -> str:
    """Raise Damaged for what must never be unpacked; return a note on a link that leads out of the archive.

    Those that we made keep links as they were. `trusted` says that it is one of them.
    """
    path = _path(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise Damaged(f"it has {member.name!r}, which would be unpacked elsewhere")
    if any(parent in links for parent in path.parents):
        raise Damaged(f"it has {member.name!r}, which would be unpacked through a link")
    if not (member.isfile() or member.isdir() or member.issym()):
        raise Damaged(f"it has {member.name!r}, which is no file, directory or symbolic link")
    if member.sparse is not None:
        raise Unverifiable(f"it has {member.name!r}, a sparse file, which is not looked into")
    if member.issym() and _leads_out(path, member.linkname):
        if not trusted:
            raise Damaged(f"it has {member.name!r}, a link to {member.linkname!r}")
        return f"{member.name} is a link to {member.linkname}, which is not in it"
    return ""


def _leads_out(link: PurePosixPath, target: str) -> bool:
    if PurePosixPath(target).is_absolute():
        return True
    depth = len(link.parent.parts)
    for part in PurePosixPath(target).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(name)


def _sum(tar: tarfile.TarFile, member: tarfile.TarInfo, look: Callable[[str, bytes], None]) -> str:
    file, total, kept = tar.extractfile(member), hashlib.sha256(), b""
    if file is None:
        raise Damaged(f"{member.name!r} in it cannot be read")
    while block := file.read(_BLOCK_BYTES):
        total.update(block)
        if member.size <= MAX_LOOKED_INTO_BYTES:
            kept += block
    if member.size <= MAX_LOOKED_INTO_BYTES:
        look(member.name, kept)
    return total.hexdigest()


def _compare(seen: Mapping[str, str], expected: Mapping[str, str]) -> None:
    missing, more = sorted(expected.keys() - seen.keys()), sorted(seen.keys() - expected.keys())
    changed = sorted(name for name in expected.keys() & seen.keys() if expected[name] != seen[name])
    for names, what in ((missing, "is missing"), (more, "is not in its manifest"), (changed, "differs")):
        if names:
            others = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise Damaged(f"{names[0]!r} {what}{others}")


class _Stream:
    """Pieces of bytes as a file for tarfile, which only ever goes on, or back by the one byte that it looks at."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._buffer, self._last, self._at = pieces, b"", b"", 0

    def tell(self) -> int:
        """How many bytes were read."""
        return self._at

    def seek(self, position: int) -> None:
        """Go there: ahead by reading, or back by one."""
        if position == self._at - 1 and self._last:
            self._buffer, self._last, self._at = self._last + self._buffer, b"", position
        while position > self._at:
            if not self.read(min(position - self._at, _BLOCK_BYTES)):
                return
        if position < self._at:
            raise ValueError("it would have to be read twice")

    def read(self, size: int) -> bytes:
        """The next `size` bytes, less only at the end."""
        if size > _MAX_READ_BYTES:
            raise Damaged(f"it has a header of {size} bytes")
        parts, length = [self._buffer], len(self._buffer)
        while length < size and (piece := next(self._pieces, None)) is not None:
            parts.append(piece)
            length += len(piece)
        data = b"".join(parts)
        self._buffer = data[size:]
        self._at += len(data[:size])
        self._last = data[:size][-1:]
        return data[:size]

"""Going through directory trees with two processes that share the work.

This is the inside of programs of our own (`mode_walk`, `secret_search`), started beside the run: a fork copies next to
nothing, meets no other thread's locks, and what a tree does to it can be ended when its time is over. It imports only
what starts in a moment. What a directory is called is never trusted: one that was opened must be the very one that its
parent's listing named, whatever has been put in its place or on the way to it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import select
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Directory = tuple[str, int, int]
"""Path, device and inode. Bytes of a path that are not UTF-8 are lone surrogates, as in all of Python."""
Visit = Callable[[str, int, int], list[Directory]]
"""Given a directory's path, descriptor and device, look at what it holds and return the directories to go into."""

VANISHED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
"""What opening a name gives that was removed or replaced meanwhile."""
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 2048  # a path's piece that the kernel surely takes at once; it takes 4095 bytes
_GIFT = 1024
_END_LETTERS = 600  # no pattern is about more of a path's end: that of a long one is not gone through at every step
_FLUSH_BYTES, _FLUSH_SECONDS = 1 << 16, 0.2
_HUNGRY = b"?"


class Output:
    """Records as JSON lines on standard output; both processes write whole lines, so that none is torn."""

    def __init__(self) -> None:
        self._lock = os.memfd_create("output")
        self._lines: list[str] = []
        self._bytes = 0
        self._count = 0
        self._due = 0.0

    def tell(self, *record: object) -> None:
        """One record; it goes out with others."""
        line = json.dumps(record)
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes > _FLUSH_BYTES:
            self.flush()

    def count(self, things: int) -> None:
        """So many more things were looked at; told now and then."""
        self._count += things
        if time.monotonic() > self._due:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        self._lines.append(json.dumps(["count", self._count]))
        view = memoryview("".join(f"{line}\n" for line in self._lines).encode("ascii"))
        self._lines, self._bytes, self._count = [], 0, 0
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            while view:
                view = view[os.write(1, view) :]
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
        self._due = time.monotonic() + _FLUSH_SECONDS


def walk(roots: Sequence[str], visit: Visit, output: Output) -> int:
    """Go through all roots with two processes; return the exit status: 0 unless one of them failed."""
    ours, theirs = socket.socketpair()
    output.flush()  # else both would have it
    process = os.fork()
    if not process:
        ours.close()
        _Side([], theirs, visit, output).go()
        output.flush()
        os._exit(0)
    theirs.close()
    _Side(_starts(roots, output), ours, visit, output).go()
    output.flush()
    ours.close()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def _starts(roots: Sequence[str], output: Output) -> list[Directory]:
    starts = []
    for root in roots:
        try:
            status = os.lstat(root)
            if stat.S_ISDIR(status.st_mode):
                starts.append((root, status.st_dev, status.st_ino))
            else:
                output.tell("unread", root, os.strerror(errno.ENOTDIR))
        except OSError as error:
            output.tell("unread", root, error.strerror)
    return starts


class Skips:
    """Which paths are left out: those listed, those that match an absolute pattern, those whose end matches another.

    `parents` are the directories, each with a `/` at its end, in which those listed are.
    """

    def __init__(self, orders: Mapping[str, list[str]]) -> None:
        self._paths = frozenset(orders["skipped"])
        self.parents = frozenset(f"{path.rpartition('/')[0]}/" for path in self._paths)
        self._absolute = re.compile("|".join(orders["absolute"]) or r"(?!)", re.DOTALL)
        self._ends = re.compile(f"(?:{'|'.join(orders['ends']) or '(?!)'})\\Z", re.DOTALL)

    def leave_out(self, path: str) -> bool:
        """Whether this one is left out."""
        if path in self._paths or self._absolute.fullmatch(path):
            return True
        return self._ends.search(path, max(0, len(path) - _END_LETTERS)) is not None


class _Side:
    """One of the two processes. Who has nothing left asks the other, and gets half of what that one has waiting.

    Both have asked: both are done.
    """

    def __init__(self, waiting: list[Directory], peer: socket.socket, visit: Visit, output: Output) -> None:
        self._waiting, self._peer, self._visit, self._output = waiting, peer, visit, output
        self._asked = select.poll()
        self._asked.register(peer, select.POLLIN)
        self._peer_is_hungry = False
        # The directory that was gone through last stays open: the next one is mostly in it.
        self._last, self._last_path = -1, ""

    def go(self) -> None:
        """Go through all there is, until both are done."""
        while self._waiting or self._fed():
            self._enter(*self._waiting.pop())
            if not self._peer_is_hungry and self._asked.poll(0):
                self._peer_is_hungry = self._peer.recv(1) == _HUNGRY
                if not self._peer_is_hungry:  # the other has failed: all that is left is ours
                    self._asked.unregister(self._peer)
            if self._peer_is_hungry and len(self._waiting) > 1:
                self._give()

    def _enter(self, path: str, device: int, inode: int) -> None:
        try:
            descriptor = self._open(path)
            if self._last_path:
                os.close(self._last)
            self._last, self._last_path = descriptor, path
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) == (device, inode):
                self._waiting += self._visit(path, descriptor, device)
        except OSError as error:
            if error.errno not in VANISHED:
                self._output.tell("unread", path, error.strerror)

    def _open(self, path: str) -> int:
        parent, _, name = path.rpartition("/")
        if parent and parent == self._last_path:
            return os.open(name, _FLAGS, dir_fd=self._last)
        return open_directory(path)

    def _give(self) -> None:
        # The oldest are the nearest to the root, and so the largest.
        number = min(len(self._waiting) // 2, _GIFT)
        gift = json.dumps(self._waiting[:number]).encode("ascii")
        del self._waiting[:number]
        self._peer_is_hungry = False
        self._peer.sendall(len(gift).to_bytes(8, "big") + gift)

    def _fed(self) -> bool:
        if self._peer_is_hungry:
            self._tell_peer()
            return False
        if not self._tell_peer():
            return False
        first = self._peer.recv(1)
        if first in (_HUNGRY, b""):
            return False
        length = int.from_bytes(first + self._received(7), "big")
        self._waiting = [tuple(directory) for directory in json.loads(self._received(length))]
        return True

    def _tell_peer(self) -> bool:
        try:
            self._peer.sendall(_HUNGRY)
        except (BrokenPipeError, ConnectionResetError):  # it has ended, or failed
            return False
        return True

    def _received(self, length: int) -> bytes:
        content = bytearray()
        while len(content) < length:
            piece = self._peer.recv(length - len(content))
            if not piece:
                raise EOFError("the other process has failed")
            content += piece
        return bytes(content)


def open_directory(path: str) -> int:
    """A descriptor of a directory that is no link, however long its path is."""
    try:
        return os.open(path, _FLAGS)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
    descriptor = os.open("/", _FLAGS)
    for piece in _pieces(path):
        try:
            deeper = os.open(piece, _FLAGS, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = deeper
    return descriptor


def _pieces(path: str) -> list[str]:
    pieces = [""]
    for name in path.strip("/").split("/"):
        if len(os.fsencode(pieces[-1] + name)) > _PIECE:
            pieces.append("")
        pieces[-1] += f"{name}/"
    return [piece.rstrip("/") for piece in pieces if piece]


def order() -> dict[str, Any]:
    """What the program is to do: its only argument, a JSON object. It gives way to everything else."""
    os.nice(19)
    told: dict[str, Any] = json.loads(sys.argv[1])
    return told

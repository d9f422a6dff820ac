"""A program: go through directory trees and tell of everything whose mode, owner or name deserves a second look.

It reads modes, owners and, of files that may hold a key and are open to others, the beginning; whether what it tells of
is weak is decided by whoever started it (`jobs.clients.tree`). Most files need one system call and no second look, so
what is common is decided first.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import stat
import sys
from collections.abc import Callable, Iterable, Mapping

from jobs.clients.walk import Directory, Output, Skips, order, walk

_NAMES = """
.pgpass .netrc .my.cnf .git-credentials .npmrc .pypirc .vault-token .s3cfg .boto shadow gshadow shadow- gshadow-
authorized_keys ssh_host_rsa_key ssh_host_dsa_key ssh_host_ecdsa_key ssh_host_ed25519_key credentials config.json config
kubeconfig admin.conf identity
"""
_SUFFIXES = ".pem .key .crt .cer .p8 .pk8 .pk1 .ppk .p12 .pfx .jks .keystore .kdbx .kubeconfig .env"
NAMES, SUFFIXES = frozenset(_NAMES.split()), frozenset(_SUFFIXES.split())
BEGINNINGS = frozenset(("id_", ".en"))
KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-")
HEAD_BYTES = 1 << 16

_KIND, _FILE, _DIRECTORY, _LINK = 0o170000, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
_DEVICES = (stat.S_IFBLK, stat.S_IFCHR)
_SET = stat.S_ISUID | stat.S_ISGID
_ANY_EXECUTE = 0o111
_OPEN_DIRECTORY = stat.S_ISVTX | 0o002
_CAPABILITY = "security.capability"


class Known(dict[int, bool]):
    """Whether an id belongs to somebody, asked once for each."""

    def __init__(self, ask: Callable[[int], object]) -> None:
        self._ask = ask

    def __missing__(self, number: int) -> bool:
        try:
            self._ask(number)
            self[number] = True
        except KeyError:
            self[number] = False
        return self[number]


class ModeWalk:
    """Looks at each entry of a directory. `strict` are trees of which everything open to others is told,

    `guarded` those in which nobody but root may write.
    """

    def __init__(self, orders: Mapping[str, list[str]], output: Output) -> None:
        self._output = output
        self._strict, self._guarded = _below(orders["strict"]), _below(orders["guarded"])
        self._watched = (*self._strict, *self._guarded)
        # Where a directory or file stands that is itself one of them.
        self._parents = frozenset(f"{os.path.dirname(place[:-1]).rstrip('/')}/" for place in self._watched)  # noqa: PTH120
        self._skips = Skips(orders)
        self._users, self._groups = Known(pwd.getpwuid), Known(grp.getgrgid)
        # Modes of files seen before: of the closed ones nothing is to be told, of the plain ones the name decides.
        self._closed: set[int] = set()
        self._plain: set[int] = set()

    def start(self, roots: Iterable[str]) -> None:
        """Look at the roots themselves, which are in no directory that is gone through."""
        for root in roots:
            with contextlib.suppress(OSError):  # going into it tells why
                directory, _, name = root.rpartition("/")
                self._look(f"{directory}/" if name else "", name or "/", -1, os.lstat(root))
                self._output.count(1)

    def visit(self, path: str, descriptor: int, device: int) -> list[Directory]:
        """Look at everything in a directory; return the directories in it that are to be gone into."""
        below: list[Directory] = []
        prefix = path if path.endswith("/") else f"{path}/"
        watched = prefix in self._parents or prefix.startswith(self._watched)
        mounts_below, looked_at = prefix in self._skips.parents, 0
        plain, users, groups = self._plain, self._users, self._groups
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                # What is mounted is not even looked at.
                if mounts_below and self._skips.leave_out(prefix + name):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                looked_at += 1
                mode = status.st_mode
                # Nearly all files; written out, as a call takes as long as all of this.
                if (
                    mode in plain
                    and name[name.rfind(".") :] not in SUFFIXES
                    and name not in NAMES
                    and name[:3] not in BEGINNINGS
                    and users[status.st_uid]
                    and groups[status.st_gid]
                    and not watched
                ):
                    continue
                is_directory = mode & _KIND == _DIRECTORY
                if is_directory and self._skips.leave_out(prefix + name):
                    continue
                if watched or not self._is_dull(status):
                    self._look(prefix, name, descriptor, status)
                if is_directory and status.st_dev == device:
                    below.append((prefix + name, status.st_dev, status.st_ino))
        self._output.count(looked_at)
        return below

    def _is_dull(self, status: os.stat_result) -> bool:
        mode = status.st_mode
        if not (self._users[status.st_uid] and self._groups[status.st_gid]):
            return False
        return mode in self._closed or (mode & _KIND == _DIRECTORY and mode & _OPEN_DIRECTORY != 0o002)

    def _look(self, prefix: str, name: str, directory: int, status: os.stat_result) -> None:
        mode, kind = status.st_mode, status.st_mode & _KIND
        open_to_others = kind == _FILE and bool(mode & 0o077)
        # What is set beside these bits deserves to be told wherever it is.
        quiet = kind in (_FILE, _LINK) and not mode & (_SET | _ANY_EXECUTE) and (kind == _LINK or not mode & 0o002)
        if quiet:
            (self._plain if open_to_others else self._closed).add(mode)
        capabilities = _capabilities(directory, name) if kind == _FILE and mode & _ANY_EXECUTE else ""
        named = open_to_others and _is_named(name)
        key = named and _holds_key(directory, name, status)
        known = self._users[status.st_uid], self._groups[status.st_gid]
        place = f"{prefix}{name}/"
        if (
            named
            or capabilities
            or not all(known)
            or (kind == _FILE and mode & (_SET | 0o002))
            or (kind == _DIRECTORY and mode & _OPEN_DIRECTORY == 0o002)
            or kind in _DEVICES
            or (mode & 0o7177 and place.startswith(self._strict))
            or ((mode & 0o022 or status.st_uid) and kind != _LINK and place.startswith(self._guarded))
        ):
            ids = (status.st_uid, status.st_gid)
            self._output.tell("entry", prefix + name, mode, *ids, *known, capabilities, key, status.st_rdev)


def _below(directories: list[str]) -> tuple[str, ...]:
    return tuple(f"{directory.rstrip('/')}/" for directory in directories)


def _is_named(name: str) -> bool:
    return name in NAMES or name[:3] in BEGINNINGS or name[name.rfind(".") :] in SUFFIXES


def _capabilities(directory: int, name: str) -> str:
    """The attribute that gives an executable rights of root's (capabilities(7)), in hexadecimal digits."""
    try:
        os.fchdir(directory)
        if _CAPABILITY in os.listxattr(name, follow_symlinks=False):
            return os.getxattr(name, _CAPABILITY, follow_symlinks=False).hex()
    except OSError:  # it is gone, or its file system has no attributes
        pass
    return ""


def _holds_key(directory: int, name: str, listed: os.stat_result) -> bool:
    """Whether the file that was listed begins with a private key, or has one among its certificates."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:  # gone, or not readable for us: then its name alone is judged
        return False
    try:
        status = os.fstat(descriptor)
        same = (status.st_dev, status.st_ino) == (listed.st_dev, listed.st_ino)
        return same and KEY.search(os.read(descriptor, HEAD_BYTES)) is not None
    except OSError:  # a disk that cannot be read tells nothing of modes
        return False
    finally:
        os.close(descriptor)


def main() -> None:
    """Do what the only argument says."""
    orders, output = order(), Output()
    looking = ModeWalk(orders, output)
    looking.start(orders["roots"])
    sys.exit(walk(orders["roots"], looking.visit, output))


if __name__ == "__main__":
    main()

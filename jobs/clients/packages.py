"""Which package a file came with: dpkg's own files are read, rpm is asked.

A package's lists of files name paths as they were packed: what stands in `/usr/bin` may be listed in `/bin`, which is a
link to it on merged systems, and a file that was diverted stands elsewhere than it is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError

_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_RPM_DATABASES = ("usr/lib/sysimage/rpm", "var/lib/rpm")
_DPKG_DATABASE = "var/lib/dpkg"
_RPM_SECONDS = 120.0


class Packages:
    """The packages of the system whose files are below `root`."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def owners(self, paths: Collection[str]) -> Mapping[str, str]:
        """The package of each path that came with one.

        Raise Absent where there is neither dpkg's database nor rpm's, ClientError where it cannot be read.
        """
        if not paths:
            return {}
        if (self._root / _DPKG_DATABASE / "info").is_dir():
            try:
                return self._dpkg_owners(paths)
            except OSError as error:
                raise ClientError(f"{error.filename}: {error.strerror}") from None
        if any((self._root / database).is_dir() for database in _RPM_DATABASES):
            return _rpm_owners(self._root, paths)
        raise Absent("there is neither dpkg's database nor rpm's")

    def settled(self, paths: Collection[str]) -> frozenset[str]:
        """The paths whose mode the administrator has settled with dpkg-statoverride(1), whose file is read."""
        try:
            text = (self._root / _DPKG_DATABASE / "statoverride").read_text(errors="surrogateescape")
        except FileNotFoundError:
            return frozenset()
        except OSError as error:
            raise ClientError(f"{error.filename}: {error.strerror}") from None
        listed = {line.split(" ", 3)[3] for line in text.splitlines() if line.count(" ") >= 3}
        return frozenset(path for path in paths if listed.intersection(self._names(path)))

    def _dpkg_owners(self, paths: Collection[str]) -> dict[str, str]:
        diversions = self._diversions()
        names = {name: path for path in paths for name in self._names(path)}
        # A diverted file is listed under the name that it gave up, which is now another package's.
        moved = {original: names[place] for original, (place, _) in diversions.items() if place in names}
        wanted = names.keys() | moved.keys()
        owners: dict[str, str] = {}
        for listing in sorted((self._root / _DPKG_DATABASE / "info").glob("*.list")):
            package = listing.stem.partition(":")[0]
            for name in wanted.intersection(listing.read_text(errors="surrogateescape").split("\n")):
                diverter = diversions[name][1] if name in diversions else ""
                if name in moved and package != diverter:
                    owners[moved[name]] = package
                elif name in names and diverter in ("", package):
                    owners[names[name]] = package
        return owners

    def _names(self, path: str) -> Iterator[str]:
        """What a list of files may call a path."""
        yield path
        if path.startswith("/usr/"):
            first = path.split("/")[2]
            if first in _MERGED and _leads_to_usr(self._root / first):
                yield path.removeprefix("/usr")

    def _diversions(self) -> dict[str, tuple[str, str]]:
        """Where each diverted name leads, and for which package (`:` is the administrator's own diversion).

        Three lines each: name, place, package (dpkg's lib/dpkg/db-fsys-divert.c).
        """
        try:
            text = (self._root / _DPKG_DATABASE / "diversions").read_text(errors="surrogateescape")
        except FileNotFoundError:
            return {}
        lines = text.splitlines()
        return {
            name: (place, package) for name, place, package in zip(lines[::3], lines[1::3], lines[2::3], strict=False)
        }


def _leads_to_usr(link: Path) -> bool:
    return link.is_symlink() and str(link.readlink()) in (f"usr/{link.name}", f"/usr/{link.name}")


def _rpm_owners(root: Path, paths: Collection[str]) -> dict[str, str]:
    """All files of the packages that own any of the paths are listed; what they do not own is an error to rpm."""
    argv = ["rpm", "--root", str(root), "-qf", "--queryformat", r"[%{=NAME}\t%{FILENAMES}\n]", "--", *sorted(paths)]
    owners = {}
    with commands.Child(argv, timeout_seconds=_RPM_SECONDS) as child:
        for line in b"".join(child.chunks()).decode(errors="surrogateescape").splitlines():
            package, _, path = line.partition("\t")
            if path in paths:
                owners[path] = package
        child.wait(check=False)
    return owners

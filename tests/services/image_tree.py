"""The file system of an image, as a tar archive: this machine's own programs, their libraries, and busybox."""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tests.services.binaries import need

# What programs and wheels expect of every system (PEP 600).
_OF_EVERY_SYSTEM = tuple(f"lib{name}" for name in (
    "c.so.6", "dl.so.2", "gcc_s.so.1", "m.so.6", "pthread.so.0", "resolv.so.2", "rt.so.1", "stdc++.so.6", "util.so.1",
))  # fmt: skip
_USERS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"


class ImageTree:
    """An archive to be filled; in it from the beginning are busybox with all its programs, users and directories."""

    def __init__(self, file: Path) -> None:
        self._file, self._tar = file, tarfile.open(file, "w")  # noqa: SIM115 (closed by finish)
        self.directory("tmp", mode=0o1777)
        for name in ("opt", "root", "srv"):
            self.directory(name)
        self.text("etc/passwd", _USERS)
        self.text("etc/group", "root:x:0:\nnogroup:x:65534:\n")
        busybox = need("busybox", package="busybox-static")
        self._tar.add(Path(busybox).resolve(), "bin/busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True, timeout=60)
        for applet in applets.stdout.split():
            if applet != "busybox":
                self.link(f"bin/{applet}", "busybox")

    def programs(self, *files: Path, into: str = "bin", name: str = "") -> None:
        """Programs of this machine, the one `name` where it is given."""
        for file in files:
            self._tar.add(file.resolve(), f"{into}/{name or file.name}")

    def libraries_of(self, files: Iterable[Path]) -> None:
        """The shared libraries that these programs load, where the loader looks by itself."""
        listed = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False, timeout=60)
        found = {path.name: path for path in map(Path, re.findall(r"(/\S+\.so\S*) \(0x", listed.stdout))}
        if "libc.so.6" not in found:
            return  # all of them are static
        usual = found["libc.so.6"].parent
        common = {name: usual / name for name in _OF_EVERY_SYSTEM if (usual / name).exists()}
        for path in {**common, **found}.values():
            # The loader itself must be where programs say.
            place = path if path.name.startswith("ld-") else usual / path.name
            self._tar.add(path.resolve(), str(place).lstrip("/"))

    def tree(self, directory: Path, into: str, wanted: Callable[[str], bool]) -> None:
        """Those files of a directory whose path within it is wanted; they belong to root, who alone may write them."""

        def as_roots(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            entry.uid, entry.gid, entry.uname, entry.gname, entry.mode = 0, 0, "", "", entry.mode & ~0o022
            return entry if wanted(entry.name.removeprefix(into)) else None

        self._tar.add(directory, into, filter=as_roots)

    def directory(self, name: str, *, mode: int = 0o755, owner: int = 0) -> None:
        """A directory."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(entry)

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file with a text."""
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(text), mode
        self._tar.addfile(entry, io.BytesIO(text.encode()))

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def finish(self) -> Path:
        """The whole archive."""
        self._tar.close()
        return self._file


def program_image(file: Path, program: Path, name: str, data: Sequence[str] = (), share: Sequence[Path] = ()) -> Path:
    """An image with one program of this machine as /bin/`name`, and directories that belong to nobody (65534).

    `share` are directories of files that the program looks for where they are.
    """
    tree = ImageTree(file)
    tree.programs(program, name=name)
    tree.libraries_of([program])
    for directory in data:
        tree.directory(directory, owner=65534)
    for shared in share:
        tree.tree(shared, str(shared).lstrip("/"), lambda path: True)
    return tree.finish()

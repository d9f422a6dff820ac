"""Images for the private Docker engine, made of the static busybox: no registry is asked for anything."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.services.binaries import need

AGENT_IMAGE = "sutazai-test-agent"
"""Serves HEALTH_FILE on 127.0.0.1:$PORT and ends at once when it is told to. Has a shell."""

NOSHELL_IMAGE = "sutazai-test-noshell"
"""Holds the same web server under the name /httpd, and nothing else: no check can run in it."""

HEALTH_FILE = "/www/health"
"""The file behind /health of both images; without it /health answers 404."""

_APPLETS = ("sh", "httpd", "rm", "touch", "cat", "echo", "kill", "sleep", "test", "ps", "dd", "yes", "seq", "tail")

# As process 1 a program is not ended by a signal that it does not handle, so the shell handles it.
_SERVE = """trap 'exit 0' TERM
echo "listening on $PORT"
httpd -f -p "127.0.0.1:$PORT" -h /www &
wait $!"""


def agent_image() -> bytes:
    """The file system of AGENT_IMAGE as a tar archive."""
    archive = _Archive()
    archive.file("bin/busybox", _busybox(), 0o755)
    for applet in _APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    archive.file("serve", _SERVE.encode(), 0o644)
    archive.file(HEALTH_FILE, b"ok\n", 0o644)
    archive.directory("tmp", 0o1777)
    return archive.finish()


def noshell_image() -> bytes:
    """The file system of NOSHELL_IMAGE as a tar archive."""
    archive = _Archive()
    # busybox is what its name says: as httpd it is a web server only.
    archive.file("httpd", _busybox(), 0o755)
    archive.file(HEALTH_FILE, b"ok\n", 0o644)
    return archive.finish()


def command_of(image: str, port: int) -> list[str] | None:
    """The command for a container of `image`; None where the image has one."""
    if image == NOSHELL_IMAGE:
        return ["/httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/www"]
    return ["/bin/sh", "/serve"] if image == AGENT_IMAGE else None


def _busybox() -> bytes:
    return Path(need("busybox", package="busybox-static")).read_bytes()


class _Archive:
    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w")  # noqa: SIM115 (closed by finish)

    def file(self, name: str, content: bytes, mode: int) -> None:
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.size, entry.mode = len(content), mode
        self._tar.addfile(entry, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def directory(self, name: str, mode: int) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self._tar.addfile(entry)

    def finish(self) -> bytes:
        self._tar.close()
        return self._buffer.getvalue()

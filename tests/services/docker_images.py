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

IMAGE_SECRET = "AKIA" + "Q3EGRXYFKE7CANRY"
"""The secret in the weak image of `packages_image`. It never was one, nor looks like one in this file."""

_DPKG_STATUS = """Package: {}
Status: install ok installed
Maintainer: Nobody <nobody@example.org>
Architecture: amd64
Version: {}
Description: for tests

"""
_WEAK_DOCKERFILE = 'FROM debian:latest\nUSER root\nCMD ["/bin/true"]\n'
_CLEAN_DOCKERFILE = 'FROM debian:12.5\nHEALTHCHECK CMD /bin/true\nUSER 1000\nCMD ["/bin/true"]\n'

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


def packages_image(*, weak: bool) -> bytes:
    """The file system of a Debian with a few packages, as far as a scanner of images looks; or its clean twin.

    The one program in it is /bin/sleep.
    """
    openssl, werkzeug = ("3.0.11-1~deb12u1", "0.15.2") if weak else ("3.0.15-1~deb12u1", "0.15.3")
    archive = _Archive()
    archive.file("bin/sleep", _busybox(), 0o755)
    archive.file("etc/os-release", b'ID=debian\nVERSION_ID="12"\n', 0o644)
    archive.file("etc/debian_version", b"12.5\n", 0o644)
    packages = {"openssl": openssl, **({"oldlib": "1.0-1"} if weak else {})}
    status = "".join(_DPKG_STATUS.format(name, version) for name, version in packages.items())
    archive.file("var/lib/dpkg/status", status.encode(), 0o644)
    metadata = f"Metadata-Version: 2.1\nName: Werkzeug\nVersion: {werkzeug}\n".encode()
    archive.file(f"usr/lib/python3/dist-packages/Werkzeug-{werkzeug}.dist-info/METADATA", metadata, 0o644)
    archive.file("app/Dockerfile", (_WEAK_DOCKERFILE if weak else _CLEAN_DOCKERFILE).encode(), 0o644)
    archive.file("app/.env", f"AWS_ACCESS_KEY_ID={IMAGE_SECRET if weak else ''}\n".encode(), 0o644)
    return archive.finish()


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

"""The ground that a demo stands on: a directory and ports that are nobody else's."""

from __future__ import annotations

import shutil
import socket
import time

from demo.layout import DemoError, Layout
from exporter.locks import Busy, FileLock

_ENDING_SECONDS, _POLL_SECONDS = 30.0, 0.2
_FREE_MB = 300
"""`backup_min_free_mb`, and what the demo needs itself."""
_ELSEWHERE = "name another directory (make demo DEMO_DIR=...)"


class Ground:
    """A directory that is locked for one demo until `release`, or until that is gone."""

    def __init__(self, layout: Layout) -> None:
        """Take the directory; DemoError where it is not a demo's, or a demo is running in it."""
        directory, self._layout = layout.directory, layout
        try:
            if directory.exists() and any(directory.iterdir()) and not layout.mark.is_file():
                raise DemoError(f"{directory}: was not made by a demo; {_ELSEWHERE}", 64)
            self._lock = FileLock(layout.mark, "a demo")
            free_mb = shutil.disk_usage(directory).free // 10**6
        except Busy:
            raise DemoError(f"{directory}: a demo is running here already; end it with Ctrl-C") from None
        except OSError as error:
            raise _unusable(error) from None
        if free_mb < _FREE_MB:
            self.release()
            raise DemoError(f"{directory}: {free_mb} MB are free, {_FREE_MB} are needed; make room, or {_ELSEWHERE}")

    def release(self) -> None:
        """Let another demo have it."""
        self._lock.release()

    def clear(self) -> None:
        """Remove what an earlier demo has left, once the ports are free: until then it can still be looked at."""
        # A demo that has ended by itself has taken this away; what is left of a killed one is just ending.
        self._take_ports(_ENDING_SECONDS if self._layout.told.exists() else 0)
        try:
            for path in self._layout.directory.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path != self._layout.mark:
                    path.unlink()
        except OSError as error:
            raise _unusable(error) from None

    def _take_ports(self, patience_seconds: float) -> None:
        deadline = time.monotonic() + patience_seconds
        while taken := [port for port in self._layout.ports if not _is_free(port)]:
            if time.monotonic() > deadline:
                raise DemoError(f"port {taken[0]} is taken; name the first of {len(self._layout.ports)} others: "
                                "make demo DEMO_PORT=20140")  # fmt: skip
            time.sleep(_POLL_SECONDS)


def _unusable(error: OSError) -> DemoError:
    return DemoError(f"{error.filename}: {error.strerror}; {_ELSEWHERE}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

"""Renewals that are killed: one copy of a base directory for each change to the disk that a renewal makes.

`python -m tests.services.killed_renewals TEMPLATE WORK MODE SETTINGS` makes WORK/1, WORK/2 … and in each runs the
renewal until it is about to make its first, second … change, where the process kills itself with SIGKILL. The last one
ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from tests.services.certificate_runs import CertificateRuns

_CHANGES = frozenset(
    {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown"}
)


def _run(base_dir: Path, mode: str, settings: dict[str, Any], at: int) -> None:
    left, place = [at], str(base_dir)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in _CHANGES or writes) and str(arguments[0]).startswith(place):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    runs = CertificateRuns(base_dir, **settings)
    sys.addaudithook(hook)
    runs.run(mode)


def main(template: Path, work: Path, mode: str, settings: dict[str, Any]) -> None:
    """Kill one after the other, until one ends by itself; print how many there were."""
    # So that what is loaded on first use is there.
    CertificateRuns(work / "warm-up", **settings).run()
    for at in range(1, 500):
        base_dir = work / str(at)
        shutil.copytree(template, base_dir, symlinks=True)
        child = os.fork()
        if child == 0:
            _run(base_dir, mode, settings, at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            print(at if status == 0 else f"failed with {status}")  # noqa: T201
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))

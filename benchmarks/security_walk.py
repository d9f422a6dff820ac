"""The modes and owners of 500,000 files: this exporter's walk beside GNU find, which is spared the names.

The walk also knows forty names of keys and credentials and looks into such files; for find that would be forty patterns
to compare with each name, which takes it several times as long.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Figure, Gap, Row, in_turns, ratio_at_most
from benchmarks.machine import need
from jobs.clients.tree import Told, Trees, entries

FILES, FILES_EACH, WIDTH = 500_000, 50, 40
_BY_MODE = {"open": 0o666, "tool": 0o4755, "run": 0o2755}
_WEAK = {**_BY_MODE, ".env": 0o644, "key.pem": 0o640}
_SECONDS = 600.0
_OWNERS = ("-o", "-nouser", "-o", "-nogroup")


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Both with the files' entries in the kernel's cache, and both with the least priority, as a scan has it."""
    find = need("find", package="findutils")
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as name:
        root = Path(name, "tree")
        places = _plant(root)
        sides = {
            "ours": lambda: _ours(root, places),
            "peer": lambda: _find(find, root, places, *_OWNERS),
            "modes": lambda: _find(find, root, places),
        }
        walked = in_turns(sides, runs + 1)
    # The first turn has warmed the cache.
    ours, peer, modes = (walked[side][1:] for side in sides)
    what = f"{FILES:,} files checked, wall"
    yield Figure(what, "s", ours, peer, "GNU find, modes and owners", ratio_at_most(0.6))
    yield Figure(what, "s", ours, modes, "GNU find, modes alone")


def _plant(root: Path) -> int:
    """Make the tree; return in how many directories there is one of each weak kind: in every hundredth."""
    places = 0
    for number in range(FILES // FILES_EACH):
        directory = root / f"{number % WIDTH}" / f"{number // WIDTH % WIDTH}" / f"{number}"
        directory.mkdir(parents=True)
        names = [f"file-{index}.txt" for index in range(FILES_EACH)]
        modes = dict.fromkeys(names, 0o644)
        if number % 100 == 0:
            modes = {**dict.fromkeys(names[len(_WEAK) :], 0o644), **_WEAK}
            places += 1
        _fill(directory, modes)
    return places


def _fill(directory: Path, modes: dict[str, int]) -> None:
    descriptor = os.open(directory, os.O_DIRECTORY)
    for name, mode in modes.items():
        file = os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=descriptor)
        os.fchmod(file, mode)
        os.close(file)
    os.close(descriptor)


def _ours(root: Path, places: int) -> float:
    weak = places * len(_WEAK)
    began, told = time.perf_counter(), Told()
    found = sum(1 for _ in entries(Trees([str(root)]), [], [], told, timeout_seconds=_SECONDS))
    seconds = time.perf_counter() - began
    if found != weak or told.looked_at < FILES:
        raise RuntimeError(f"of {FILES} files {told.looked_at} were seen, of {weak} weak ones {found} were found")
    return seconds


def _find(program: str, root: Path, places: int, *owners: str) -> float:
    weak = places * len(_BY_MODE)
    files = ["(", "-type", "f", "(", "-perm", "/6002", *owners, ")"]
    directories = ["-o", "-type", "d", "-perm", "-0002", "!", "-perm", "-1000", ")"]
    argv = ["nice", "-n", "19", program, str(root), "-xdev", *files, *directories]
    began = time.perf_counter()
    found = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.count(b"\n")
    seconds = time.perf_counter() - began
    if found != weak:
        raise RuntimeError(f"find has found {found} of {weak}")
    return seconds


ROW = Row("security_walk", "modes and owners of 500,000 files", measure, runs=3)

"""Secrets in sources: this exporter's search beside ripgrep with the same patterns on two threads."""

from __future__ import annotations

import itertools
import re
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.harness import Figure, Gap, NotMeasured, Row, in_turns, ratio_at_most
from benchmarks.machine import need
from jobs.clients.tree import Told, Trees, records
from jobs.security.filesystem.secrets import order_of
from jobs.security.secret_patterns import RULES
from tests.services.planted import PLANTED

MEBIBYTES, FEW_MEBIBYTES = 300, 20
_SECONDS = 600.0
_KEY_LINE = r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
"""ripgrep looks for a key's first line alone: a match across lines would make it read whole files."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Both with the files in the page cache, and both with the least priority, as a scan has it.

    By itself ripgrep takes letters for Unicode's, which makes of these patterns something so large that it takes a
    minute for all texts: so it gets fewer. Told that letters are bytes, as they are to us, it is as fast as we are.
    """
    ripgrep = need("rg", package="ripgrep")
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as name:
        for mebibytes, bytewise, goal in ((FEW_MEBIBYTES, False, ratio_at_most(0.4)), (MEBIBYTES, True, None)):
            root = Path(name, f"{mebibytes}")
            planted = _plant(root, mebibytes)
            sides = {
                "ours": partial(_ours, root, planted),
                "peer": partial(_ripgrep, ripgrep, root, planted, bytewise=bytewise),
            }
            searched = in_turns(sides, runs)
            speed = statistics.median(mebibytes / seconds for seconds in searched["ours"])
            what = f"{len(RULES)} patterns in {mebibytes} MiB, wall (at {speed:.0f} MiB/s)"
            peer = "rg -j2 --no-unicode" if bytewise else "rg -j2"
            yield Figure(what, "s", searched["ours"], searched["peer"], peer, goal)


def _plant(root: Path, mebibytes: int) -> set[str]:
    """The sources of this Python and of its packages, as often as needed; one in fifty has a secret in its middle.

    Return the names of those.
    """
    secrets = [text.encode() for texts in PLANTED.values() for text in texts]
    planted, left = set(), mebibytes << 20
    for number, source in enumerate(itertools.cycle(_sources())):
        if left <= 0:
            break
        path, text = root / f"{number % 50}" / f"{number}.py", source.read_bytes()
        if number % 50 == 0:
            middle = text.rfind(b"\n", 0, len(text) // 2) + 1
            text = text[:middle] + secrets[number // 50 % len(secrets)] + b"\n" + text[middle:]
            planted.add(path.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        left -= len(text)
    return planted


def _sources() -> list[Path]:
    places = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))
    return sorted(path for place in places for path in Path(place).rglob("*.py") if path.is_file())


def _ours(root: Path, planted: set[str]) -> float:
    order = order_of(Trees([str(root)]), 1 << 30)
    began, told = time.perf_counter(), Told()
    found = list(records("jobs.clients.secret_search", order, told, timeout_seconds=_SECONDS))
    seconds = time.perf_counter() - began
    if ["engine", "hyperscan"] not in found:
        raise NotMeasured("hyperscan is not installed, or not for this processor: pip install hyperscan")
    _compare("the search", {Path(record[1]).name for record in found if record[0] == "hit"}, planted)
    return seconds


def _ripgrep(program: str, root: Path, planted: set[str], *, bytewise: bool) -> float:
    patterns = [_KEY_LINE if rule.spans_lines else rule.pattern for rule in RULES]
    # It wants every group's name once.
    given = [word for pattern in patterns for word in ("-e", re.sub(r"\(\?P<\w+>", "(?:", pattern))]
    argv = ["nice", "-n", "19", program, "--no-config", "-j2", "-uu", "-n", "--no-heading", *given, str(root)]
    began = time.perf_counter()
    argv += ["--no-unicode"] if bytewise else []
    output = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout
    seconds = time.perf_counter() - began
    _compare("ripgrep", {Path(line.partition(b":")[0].decode()).name for line in output.splitlines()}, planted)
    return seconds


def _compare(who: str, found: set[str], planted: set[str]) -> None:
    if not planted <= found:
        raise RuntimeError(f"{who} has missed {len(planted - found)} of {len(planted)} texts")


ROW = Row("security_secrets", "secrets in sources, many patterns at once", measure, runs=3)

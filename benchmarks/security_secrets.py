"""Secrets in 300 MiB of texts: this exporter's search beside ripgrep with the same patterns on two threads."""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness import Figure, Gap, NotMeasured, Row, in_turns, ratio_at_most
from benchmarks.machine import need
from jobs.clients.tree import Told, Trees, records
from jobs.security.filesystem.patterns import RULES
from jobs.security.filesystem.secrets import order_of
from tests.services.planted import PLANTED

MEBIBYTES, FILE_BYTES, VARIANTS = 300, 64 << 10, 64
_SECONDS = 600.0
_KEY_LINE = r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
"""ripgrep looks for a key's first line alone: a match across lines would make it read whole files."""
_SPOKEN = """
request response agent session path error timeout value config connection result server client model
message queue worker health status context handler return import class self None True False
"""
_WORDS = _SPOKEN.split()
_TRIGGERS = 1 / 200
"""Lines in which a password or token is assigned, and is none: about as many as in programs' sources."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Both with the files in the page cache, and both with the least priority, as a scan has it."""
    ripgrep = need("rg", package="ripgrep")
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as name:
        root = Path(name, "tree")
        planted = _plant(root)
        sides = {"ours": lambda: _ours(root, planted), "peer": lambda: _ripgrep(ripgrep, root, planted)}
        searched = in_turns(sides, runs)
    ours, peer = searched["ours"], searched["peer"]
    speed = statistics.median(MEBIBYTES / seconds for seconds in ours)
    what = f"{len(RULES)} patterns in {MEBIBYTES} MiB, wall (at {speed:.0f} MiB/s)"
    yield Figure(what, "s", ours, peer, "rg -j2", ratio_at_most(0.4))


def _plant(root: Path) -> set[str]:
    """Write texts as programs and logs are; return the names of those that hold a secret, one in twenty."""
    chance = random.Random(1)
    texts = [_text(chance) for _ in range(VARIANTS)]
    secrets = [text for texts_of_rule in PLANTED.values() for text in texts_of_rule]
    planted = set()
    for number in range((MEBIBYTES << 20) // FILE_BYTES):
        path = root / f"{number % 50}" / f"text-{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = texts[number % VARIANTS]
        if number % 20 == 0:
            text = f"{text[: FILE_BYTES // 2]}\n{secrets[number // 20 % len(secrets)]}\n{text[FILE_BYTES // 2 :]}"
            planted.add(path.name)
        path.write_text(text)
    return planted


def _text(chance: random.Random) -> str:
    lines, length = [], 0
    while length < FILE_BYTES:
        words = chance.choices(_WORDS, k=chance.randrange(3, 12))
        mark = chance.choice((" ", ".", "_", " = ", ": ", "(", ", "))
        if chance.random() < _TRIGGERS:
            words.append(
                chance.choice(("password = value", "token: context", "secret_key = settings.key", "api_key=config"))
            )
        lines.append(" " * chance.randrange(0, 12, 4) + mark.join(words) + f" {chance.randrange(10**6)}")
        length += len(lines[-1]) + 1
    return "\n".join(lines)


def _ours(root: Path, planted: set[str]) -> float:
    order = order_of(Trees([str(root)]), 1 << 30)
    began, told = time.perf_counter(), Told()
    found = list(records("jobs.clients.secret_search", order, told, timeout_seconds=_SECONDS))
    seconds = time.perf_counter() - began
    if ["engine", "hyperscan"] not in found:
        raise NotMeasured("hyperscan is not installed, or not for this processor: pip install hyperscan")
    _compare("the search", {Path(record[1]).name for record in found if record[0] == "hit"}, planted)
    return seconds


def _ripgrep(program: str, root: Path, planted: set[str]) -> float:
    patterns = [_KEY_LINE if rule.spans_lines else rule.pattern for rule in RULES]
    # It wants every group's name once.
    given = [word for pattern in patterns for word in ("-e", re.sub(r"\(\?P<\w+>", "(?:", pattern))]
    argv: Sequence[str] = [
        "nice",
        "-n",
        "19",
        program,
        "--no-config",
        "-j2",
        "-uu",
        "--no-unicode",
        "-n",
        "--no-heading",
    ]
    began = time.perf_counter()
    output = subprocess.run([*argv, *given, str(root)], stdout=subprocess.PIPE, check=True).stdout
    seconds = time.perf_counter() - began
    found = {Path(line.partition(b":")[0].decode()).name for line in output.splitlines()}
    if not planted <= found:
        raise RuntimeError(f"ripgrep has missed {len(planted - found)} of {len(planted)} texts")
    return seconds


def _compare(who: str, found: set[str], planted: set[str]) -> None:
    if found != planted:
        raise RuntimeError(f"{who} has missed {len(planted - found)} texts and found {len(found - planted)} too many")


ROW = Row("security_secrets", "secrets in 300 MiB of texts", measure, runs=3)

"""What scan and report remember cannot be written: fault 5, and a disk that is full. The run works and says so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.binaries import need, need_root
from tests.services.disks import ext4, tmpfs
from tests.services.sampling_runs import SamplingRuns
from tests.services.security_runs import SecurityRuns, kinds, scanner, standings, weakness


@pytest.fixture(autouse=True)
def _short_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's own rates do not matter."""
    monkeypatch.setattr("jobs.performance.sampling.part.WINDOW_SECONDS", 0.1)


@contextmanager
def append_only(file: Path) -> Iterator[None]:
    """A file that may only be appended to: it cannot be replaced by another one (`chattr +a`)."""
    need_root("chattr")
    chattr = need("chattr", package="e2fsprogs")
    subprocess.run([chattr, "+a", file], check=True)
    try:
        yield
    finally:
        subprocess.run([chattr, "-a", file], check=True)


def test_a_scan_whose_memory_cannot_be_replaced_keeps_it_and_says_so() -> None:
    """Fault 5."""
    with ext4() as mount:
        runs = SecurityRuns(mount, scanner(told=[weakness(subject="old")]))
        runs.scan()
        remembered = runs.memory.read_bytes()
        with append_only(runs.memory):
            result = runs.scan(scanner(told=[weakness(subject="old"), weakness(subject="new")]))
            assert runs.memory.read_bytes() == remembered
        assert standings(result) == {"old": "known", "new": "new"}
        assert ("scan_problem", "scan") in kinds(result)
        assert any("findings.json cannot be written (Operation not permitted)" in f.message for f in result.findings)
        assert [file.name for file in runs.memory.parent.iterdir()] == ["findings.json"], "nothing half-written is left"
        assert standings(runs.scan(scanner(told=[weakness(subject="new")]))) == {"new": "new"}, "nobody remembers it"


def test_a_sample_whose_counters_cannot_be_replaced_keeps_them_and_says_so() -> None:
    """Fault 5."""
    with ext4() as mount:
        runs = SamplingRuns(mount)
        runs.sample()
        counters = runs.counters_file
        remembered = counters.read_bytes()
        with append_only(counters):
            sampled = runs.sample()
            assert counters.read_bytes() == remembered
        assert sampled.figures
        (told,) = [one for one in sampled.findings if one.kind == "state_not_written"]
        assert str(counters) in told.message and "Operation not permitted" in told.message


def test_a_scan_on_a_full_disk_keeps_its_memory_and_says_so() -> None:
    """Fault 1."""
    with tmpfs(1) as mount:
        runs = SecurityRuns(mount, scanner(told=[weakness(subject="old")]))
        runs.scan()
        remembered = runs.memory.read_bytes()
        many = [weakness(subject=f"{number}/{'x' * 1000}") for number in range(1000)]
        result = runs.scan(scanner(told=many))
        assert runs.memory.read_bytes() == remembered
        assert any("findings.json cannot be written (No space left on device)" in f.message for f in result.findings)
        assert [file.name for file in runs.memory.parent.iterdir()] == ["findings.json"]

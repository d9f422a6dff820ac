"""Rotation of large logs: this exporter's with checksum, sync and proof, logrotate's with gzip and none of them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.harness import Figure, Gap, Row, at_most, in_turns, ratio_at_most
from benchmarks.machine import need
from tests.services.exporter_daemon import command_line, environment_of, write_config

LOGS, LOG_BYTES = 8, 256 << 20
"""Together 2 GiB."""
_TEMPLATE_BYTES = 32 << 20
_MIB = 1 << 20

# Small, as the kernel counts the memory of whoever starts a program as the program's own.
_STARTER = """import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)"""

Cost = tuple[float, float, float]
"""Wall seconds, CPU seconds, and the peak of the resident memory in MB (10^6 bytes) of the greatest process."""


def measure(runs: int) -> Iterator[Figure | Gap]:
    """Both rotate logs of the same content, which are in the page cache and on the disk."""
    logrotate = need("logrotate", package="logrotate")
    with tempfile.TemporaryDirectory(prefix="sutazai-bench-") as name:
        directory = Path(name)
        template = _template(directory / "template")
        sides = {
            "ours": lambda: _rotated_by_us(directory, template),
            "peer": lambda: _rotated_by_logrotate(directory, template, logrotate),
        }
        costs = in_turns(sides, runs)
    total_mib = LOGS * LOG_BYTES / _MIB
    ours, peer = costs["ours"], costs["peer"]
    what = f"{total_mib / 1024:g} GiB in {LOGS} logs"
    name = "logrotate + gzip"
    yield Figure(f"{what}, wall", "s", _part(ours, 0), _part(peer, 0), name, ratio_at_most(1 / 10))
    yield Figure(f"{what}, CPU", "s", _part(ours, 1), _part(peer, 1), name)
    speed = statistics.median(total_mib / seconds for seconds in _part(ours, 0))
    yield Figure(f"peak memory of the run (at {speed:.0f} MiB/s)", "MB", _part(ours, 2), goal=at_most(60, "MB"))


def _template(path: Path) -> Path:
    """Log lines as a web service writes them: gzip makes a fifth of them."""
    chance = random.Random(1)
    with path.open("wb") as file:
        while file.tell() < _TEMPLATE_BYTES:
            file.write(b"".join(_line(chance) for _ in range(10_000)))
        file.truncate(_TEMPLATE_BYTES)
    return path


def _line(chance: random.Random) -> bytes:
    at = f"2026-03-02T12:{chance.randrange(60):02d}:{chance.randrange(60):02d}.{chance.randrange(10**6):06d}Z"
    asked = f"id={chance.randrange(10**9)} path=/api/v1/agents/{chance.randrange(50)}"
    status = chance.choice((200, 200, 404, 500))
    return f"{at} INFO request {asked} status={status} took={chance.random():.4f}s\n".encode()


def _logs_in(directory: Path, template: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755, parents=True)
    content = template.read_bytes()
    for number in range(LOGS):
        with (directory / f"service-{number}.log").open("wb") as file:
            for _ in range(LOG_BYTES // len(content)):
                file.write(content)
    os.sync()
    return directory


def _rotated_by_us(directory: Path, template: Path) -> Cost:
    base = directory / "base"
    shutil.rmtree(base, ignore_errors=True)
    logs = _logs_in(base / "logs", template)
    config = write_config(directory / "exporter.yml", {"jobs": {"log_rotation": {"docker_logs": False}}})
    env = environment_of(base, {"SUTAZAI_CONFIG_FILE": str(config)})
    cost = _cost(command_line("run", "log-rotation"), directory, env)
    archived = sum(_unpacked_bytes(archive) for archive in (base / "archive" / "logs").glob("*.gz"))
    left = sum(len(log.read_bytes().lstrip()) for log in logs.glob("*.log"))
    if archived < LOGS * (LOG_BYTES - 2 * _MIB) or archived + left > LOGS * LOG_BYTES:
        raise RuntimeError(f"of {LOGS * LOG_BYTES} bytes {archived} were archived and {left} are left")
    shutil.rmtree(base)
    return cost


def _rotated_by_logrotate(directory: Path, template: Path, program: str) -> Cost:
    logs = _logs_in(directory / "peer", template)
    config = directory / "logrotate.conf"
    config.write_text(f"{logs}/*.log {{\n rotate 9\n size 100M\n copytruncate\n compress\n}}\n")
    config.chmod(0o644)
    cost = _cost([program, "-s", str(directory / "state"), str(config)], directory, None)
    if len(list(logs.glob("*.gz"))) != LOGS:
        raise RuntimeError("logrotate has not rotated every log")
    shutil.rmtree(logs)
    return cost


def _cost(argv: Sequence[str], cwd: Path, env: Mapping[str, str] | None) -> Cost:
    starter = [sys.executable, "-S", "-c", _STARTER, *argv]
    done = subprocess.run(starter, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stderr.strip()}")
    seconds, cpu, resident_kib = map(float, done.stdout.split())
    return seconds, cpu, resident_kib * 1024 / 1e6


def _unpacked_bytes(archive: Path) -> int:
    with gzip.open(archive, "rb") as file:
        return sum(len(piece) for piece in iter(lambda: file.read(_MIB), b""))


def _part(costs: Sequence[Cost], which: int) -> list[float]:
    return [cost[which] for cost in costs]


ROW = Row("logs", "rotation of 2 GiB of logs", measure, runs=3)

"""Configurations that are meant to hurt: refused in one line, quickly, and in little memory."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.exporter_daemon import command_line, environment_of

BOMB = "".join(
    f"{name}: &{name} [{', '.join([below] * 9)}]\n"
    for name, below in [("a", "lol"), *((chr(n), f"*{chr(n - 1)}") for n in range(ord("b"), ord("j")))]
)

DOCUMENTS = {
    "alias bomb": (BOMB, "aliases are not accepted"),
    "20 kB of brackets": ("[" * 20_000, "nested deeper than 32"),
    "deep JSON": ('{"a":' * 50_000 + "1" + "}" * 50_000, "nested deeper than 32"),
    "python tag": ("x: !!python/object/apply:os.system ['touch ran']", "tags are not accepted"),
    "octal": ("web: {max_connections: 010}", "'010' is not a whole number"),
    "sexagesimal": ("web: {max_connections: 1:30}", "'1:30' is not a whole number"),
    "not a number": ("thresholds: {max_disk_percent: .nan}", "'.nan' is not a number"),
    "duplicate keys": ("web: {}\nlog: {}\nweb: {}", "line 3: the key 'web' is given twice"),
    "huge": ("x" * 5_000_000, "larger than 1 MiB"),
    "huge number": ("web: {max_connections: " + "9" * 100_000 + "}", "is not a whole number"),
    "a mebibyte of keys": ("{" + ", ".join(f"k{n}: 1" for n in range(90_000)) + "}", "more than 50000 values"),
    "a mebibyte of list": ("endpoints: [" + "1," * 500_000 + "]", "more than 50000 values"),
    "many errors": ("endpoints: [" + "1," * 20_000 + "]", "and 19900 more errors"),
    "control characters": ("a: \x1b[31m\x07", "special characters are not allowed"),
    "not UTF-8": (b"\xff\xfe\x00\x01", "is not UTF-8 text"),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_configuration_is_refused(tmp_path: Path, name: str) -> None:
    content, says = DOCUMENTS[name]
    file = tmp_path / "hostile.yml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    limited = ["prlimit", f"--as={600 << 20}", "--cpu=40", *command_line("check-config", "--config.file", str(file))]
    done = subprocess.run(
        limited, env=environment_of(tmp_path / "base"), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 78, done.stderr[-500:]
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ran").exists()
    assert all(len(line) < 500 for line in done.stderr.splitlines())


def test_what_the_environment_holds_is_data(run_cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for text in (BOMB, "[" * 20_000, "!!python/name:os.system"):
        done = run_cli("check-config", env={"SUTAZAI_AGENTS__LISTED": text})
        assert done.returncode == 78
        assert len(done.stderr.splitlines()) == 1

"""The command line in this very process, for what it prints and how it ends: a process of its own costs far more."""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from exporter.cli import PROGRAM, main
from tests.services.exporter_daemon import Config, environment_of, write_config


def run_here(
    *arguments: str, base_dir: Path, config: Config | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `run_cli` does, without a new process for the command itself; those of runs are as always.

    Not for `serve`, which is meant to have a process for itself, nor for what depends on real streams.
    """
    environment = {**environment_of(base_dir), **(env or {})}
    if config is not None:
        environment["SUTAZAI_CONFIG_FILE"] = str(write_config(base_dir.parent / "exporter.yml", config))
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment):
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(base_dir.parent)
        patch.setattr(sys, "argv", [PROGRAM, *arguments])
        for name, stream in (("stdin", io.StringIO()), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, stream)
        code = _ended()
    said, complained = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(list(arguments), code, said, complained)


def _ended() -> int:
    """The exit code; what a process leaves to its end, as an open store, has been let go."""
    gc.disable()  # so that all of it is of the youngest generation, which alone is quick to look through
    try:
        main()
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        gc.collect(0)
        gc.enable()

"""The examples of the documentation of the API, as they stand there, with real curl."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.services.exporter_daemon import REPOSITORY, ExporterDaemon, environment_of

DOCUMENT = REPOSITORY / "docs" / "api.md"


def test_every_example_works_in_the_order_in_which_they_are_read(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) >= 5
    daemon = ExporterDaemon({"agents": {"listed": [], "discover": False}})
    try:
        script = f"""
set -eu
curl() {{ command curl --fail-with-body -sS "$@"; }}
sutazai-exporter() {{ {sys.executable} -m exporter "$@"; }}
{"".join(blocks)}
""".replace("127.0.0.1:10042", f"127.0.0.1:{daemon.port}")
        # What was only just started may be over before it is stopped: then nothing is left to stop, which is no fault.
        script = re.sub(r"^(curl .*/stop)$", r"\1 || true", script, flags=re.MULTILINE)
        done = subprocess.run(
            ["bash", "-c", script],
            env=environment_of(daemon.base_dir), cwd=tmp_path, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert '"verdict"' in done.stdout
        assert "prometheus opens nothing any more." in done.stdout
        assert (tmp_path / "sutazai-openapi.json").read_text().startswith('{"openapi": "3.1.0"')
    finally:
        daemon.close()

"""Trivy, run as a program: it looks into images for known vulnerabilities, secrets and bad configuration.

It is asked about an image by its id and reads it from the Docker engine alone. Unless told to, it never speaks to the
network: not for its databases, its checks, word of a newer version, or statistics.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.clients import commands
from jobs.clients.errors import ClientError
from jobs.core.answers import mapping, text
from jobs.core.containers import clean, parse_time
from jobs.core.images import IMAGE_ID

MAX_REPORT_BYTES = 64 << 20
"""The report on an image of ten thousand packages is about 20 MB."""
MAX_REASON_CHARACTERS = 200
VERSION_SECONDS = 30.0
DOWNLOAD_JAVA = "trivy image --download-java-db-only"
VULNERABILITIES, SECRETS, MISCONFIGURATIONS = "vuln", "secret", "misconfig"
_QUIET_ENVIRONMENT = {
    # As variables, since a Trivy that is too old for one of them would refuse it as an option.
    "TRIVY_SKIP_CHECK_UPDATE": "true",
    "TRIVY_SKIP_VERSION_CHECK": "true",
    "TRIVY_SKIP_VEX_REPO_UPDATE": "true",
    "TRIVY_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class TrivyVersion:
    """The program's version, and when its database of vulnerabilities was made (None: it has none)."""

    program: str
    database_at: datetime | None


class Trivy:
    """The program `name` (or its path), asking the engine at `docker_url`; Absent where it is not installed."""

    def __init__(self, name: str, docker_url: str, *, cache_dir: Path | None = None, keeps_cache: bool = True) -> None:
        self._program = commands.find(name)
        # To Docker's own clients a plain connection is tcp, whatever ours calls it.
        self._environment = {**_QUIET_ENVIRONMENT, "DOCKER_HOST": docker_url.replace("http://", "tcp://", 1)}
        self._cache = ("--cache-dir", str(cache_dir)) if cache_dir is not None else ()
        self._keeps_cache = keeps_cache

    def version(self) -> TrivyVersion:
        """Its version, and its database's age; ClientError where it answers nonsense."""
        answer = _document(self._output((self._program, "version", "--format", "json", *self._cache), VERSION_SECONDS))
        try:
            database = mapping(answer.get("VulnerabilityDB") or {})
            return TrivyVersion(clean(text(answer["Version"]), 64), parse_time(text(database.get("UpdatedAt", ""))))
        except (KeyError, ValueError) as error:
            raise ClientError(f"trivy answered nonsense when asked for its version: {error}") from None

    def update(self, timeout_seconds: float) -> None:
        """Bring its databases of vulnerabilities and of Java archives up to date, over the network."""
        for what in ("--download-db-only", "--download-java-db-only"):
            self._output((self._program, "image", what, "--quiet", *self._cache), timeout_seconds)

    def report(
        self,
        image_id: str,
        scanners: Sequence[str],
        *,
        timeout_seconds: float,
        ignore_file: Path | None = None,
        ignore_unfixed: bool = False,
    ) -> dict[str, Any]:
        """What it says about a local image, as its JSON; ClientError where it fails, is too slow, or never ends.

        `ignore_file` is a .trivyignore.yaml: Trivy leaves out what it lists, until each entry's `expired_at`.
        """
        if not IMAGE_ID.fullmatch(image_id):
            raise ClientError("trivy cannot be asked about an image without an id (sha256:…)")
        argv = [
            self._program, "image", "--quiet", "--format", "json", "--list-all-pkgs",
            "--scanners", ",".join(scanners), "--image-config-scanners", SECRETS, "--image-src", "docker",
            "--timeout", f"{max(1, int(timeout_seconds))}s",
            "--offline-scan", "--skip-db-update", "--skip-java-db-update", *self._cache,
            *(() if self._keeps_cache else ("--cache-backend", "memory")),
            *(("--ignorefile", str(ignore_file)) if ignore_file else ()),
            *(("--ignore-unfixed",) if ignore_unfixed else ()),
            "--", image_id.removeprefix("sha256:"),
        ]  # fmt: skip
        return _document(self._output(argv, timeout_seconds))

    def _output(self, argv: Sequence[str], timeout_seconds: float) -> bytes:
        with _temporary_directory() as directory:
            environment = {**self._environment, "TMPDIR": directory}
            try:
                # In / no trivy.yaml, .trivyignore or trivy-secret.yaml of somebody else's lies in its way.
                with commands.Child(
                    argv, timeout_seconds=timeout_seconds, environment=environment, cwd=Path("/")
                ) as child:
                    kept = _read(child)
                    child.wait()
            except commands.CommandFailed as error:
                raise ClientError(_explained(error)) from None
        return kept


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """A place for the files that Trivy puts whole images into, and leaves behind when it is killed."""
    try:
        return tempfile.TemporaryDirectory(prefix="sutazai-trivy-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ClientError(f"there is no temporary directory for trivy: {error.strerror}") from None


def _read(child: commands.Child) -> bytes:
    kept = bytearray()
    for chunk in child.chunks():
        kept += chunk
        if len(kept) > MAX_REPORT_BYTES:
            raise ClientError(f"trivy's report does not end ({MAX_REPORT_BYTES >> 20} MiB read)")
    return bytes(kept)


def _explained(error: commands.CommandFailed) -> str:
    """What became of it; of what Trivy said last the end, as its chain of reasons ends with the cause."""
    if not error.output or error.code is None or error.code < 0:
        return str(error)
    said = " ".join(error.output.splitlines()[-1].split()).rpartition("FATAL Fatal error ")[2]
    end = said if len(said) <= MAX_REASON_CHARACTERS else f"... {said[-MAX_REASON_CHARACTERS:]}"
    remedy = f"; run '{DOWNLOAD_JAVA}'" if "--skip-java-db-update" in said else ""
    return clean(f"trivy ended with {error.code}: {end}{remedy}", 2 * MAX_REASON_CHARACTERS)


def _document(output: bytes) -> dict[str, Any]:
    try:
        return mapping(json.loads(output))
    except (ValueError, RecursionError) as error:
        raise ClientError(f"trivy printed no JSON document: {clean(str(error), 100)}") from None
    except MemoryError:
        # Under the cap, and yet more than a run may allocate once it is parsed: that image is lost, not the scan.
        raise ClientError("trivy's report needs more memory than jobs.security_scan.max_memory_mb allows") from None

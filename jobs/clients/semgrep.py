"""Semgrep, run without a network on files that nobody has checked.

It is given every file by name, so nothing in a tree (`.semgrepignore`, `.gitignore`, Git's own configuration) decides
what it looks at. Of what it answers only places are taken: its texts may quote the source, and with it a secret.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError
from jobs.core.containers import clean
from jobs.core.files import UnfitFile, atomic_write, read_small

MAX_ANSWER_BYTES = 64 << 20
VERSION_SECONDS = 30.0
# Semgrep raises the soft limit of its core's stack to 1 GB, and each thread of the core maps a stack of that size. That
# counts as data: in a run that may have 1 GiB of it the core dies with SIGSEGV. It never goes beyond the hard limit.
_WITH_SMALL_STACKS = ("sh", "-c", 'ulimit -s 65536 2>/dev/null; exec "$@"', "sh")
# Of a file that is not below the directory it is started in, Semgrep has another process find out where it is: one for
# each file. And no tree that is looked at can put a file of Semgrep's own settings into the root.
_ABOVE_EVERY_FILE = Path("/")
_NOWHERE = "http://127.0.0.1:9"
_DOCKERFILE = re.compile(r"Dockerfile\..+|Containerfile(?:\..+)?")
_MAX_DOCKERFILE_BYTES = 1 << 20
_BAD_TARGET = re.compile(r"Invalid scanning root: (.+)", re.DOTALL)


@dataclass(frozen=True)
class Limits:
    """What one run may take: `rule_seconds` for one rule on one file, `memory_mb` for one file, `processes` at once."""

    seconds: float
    rule_seconds: float
    memory_mb: int
    processes: int


@dataclass(frozen=True)
class Match:
    """A rule's pattern stands in a file, beginning in this line (1 is the first)."""

    rule: str
    path: str
    line: int


@dataclass(frozen=True)
class Answer:
    """What one run saw: which files it looked at, what matched, and what it could not do with a file (path, kind)."""

    scanned: tuple[str, ...]
    matches: tuple[Match, ...]
    troubles: tuple[tuple[str, str], ...]

    def renamed(self, names: Mapping[str, str]) -> Answer:
        """The same with other paths in place of those that Semgrep was given."""
        return Answer(
            tuple(names.get(path, path) for path in self.scanned),
            tuple(replace(match, path=names.get(match.path, match.path)) for match in self.matches),
            tuple((names.get(path, path), kind) for path, kind in self.troubles),
        )


class BadTarget(ClientError):
    """A file went away, or may not be read: Semgrep then looks at none of them."""


class LateAnswer(ClientError):
    """Semgrep was not done in time, and was ended with everything that it had started."""


class Semgrep:
    """An installed Semgrep, with rules: a file or a directory of them."""

    def __init__(self, program: str, rules: Path) -> None:
        self._rules = rules
        try:
            self._program = commands.find(program)
        except Absent:
            raise Absent(
                f"{clean(program, 200)} is not installed, or not in PATH: pip install semgrep in an environment of its"
                " own and set jobs.security_scan.code.semgrep"
            ) from None

    def version(self) -> str:
        """Its version; ClientError where it does not say."""
        with tempfile.TemporaryDirectory(prefix="sutazai-semgrep-") as scratch:
            done = commands.run(
                [self._program, "--version"],
                timeout_seconds=VERSION_SECONDS,
                environment=_environment(Path(scratch)),
                cwd=Path(scratch),
            )
        return clean(done.stdout.decode(errors="replace").strip(), 64)

    def scan(self, files: Sequence[Path], limits: Limits, *, only_errors: bool) -> Answer:
        """What the rules say of these files; `only_errors` leaves out those less severe.

        Raises BadTarget, LateAnswer, and ClientError where Semgrep failed, said what nobody understands, or cannot use
        a rule.
        """
        with tempfile.TemporaryDirectory(prefix="sutazai-semgrep-") as scratch:
            targets = _targets(files, Path(scratch))
            argv = [*_WITH_SMALL_STACKS, self._program, *_options(self._rules, limits, only_errors), "--", *targets]
            return _parsed(*_run(argv, Path(scratch), limits.seconds)).renamed(targets)


def _targets(files: Sequence[Path], scratch: Path) -> dict[str, str]:
    """The paths to be given to Semgrep, with those that they stand for: it knows a Dockerfile by its name alone."""
    targets = {}
    for number, file in enumerate(files):
        if _DOCKERFILE.fullmatch(file.name):
            copy = scratch / f"{number}.dockerfile"
            try:
                atomic_write(copy, read_small(file, _MAX_DOCKERFILE_BYTES), mode=0o600)
            except (OSError, UnfitFile):
                raise BadTarget(f"semgrep could not read {clean(str(file), 300)}") from None
            targets[str(copy)] = str(file)
        else:
            targets[str(file)] = str(file)
    return targets


def _options(rules: Path, limits: Limits, only_errors: bool) -> list[str]:
    return [
        "scan",
        f"--config={rules}",
        "--json",
        "--quiet",
        "--metrics=off",
        "--disable-version-check",
        "--no-git-ignore",
        "--no-rewrite-rule-ids",
        "--disable-nosem",
        "--max-target-bytes=0",
        f"--timeout={limits.rule_seconds:g}",
        f"--max-memory={limits.memory_mb}",
        f"--jobs={limits.processes}",
        *(["--severity=ERROR"] if only_errors else []),
    ]


def _environment(scratch: Path) -> dict[str, str]:
    proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), _NOWHERE)
    return {
        **proxies,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "GIT_DIR": os.devnull,  # it asks Git where the directory it is started in comes from
        "SEMGREP_SEND_METRICS": "off",
        "SEMGREP_ENABLE_VERSION_CHECK": "0",
        "SEMGREP_SETTINGS_FILE": str(scratch / "settings.yml"),
        "SEMGREP_LOG_FILE": str(scratch / "semgrep.log"),
        "SEMGREP_VERSION_CACHE_PATH": str(scratch / "version"),
    }


def _run(argv: Sequence[str], scratch: Path, seconds: float) -> tuple[int, bytes]:
    kept = bytearray()
    try:
        environment = _environment(scratch)
        with commands.Child(argv, timeout_seconds=seconds, environment=environment, cwd=_ABOVE_EVERY_FILE) as child:
            for chunk in child.chunks():
                kept += chunk
                if len(kept) > MAX_ANSWER_BYTES:
                    raise ClientError(f"semgrep printed more than {MAX_ANSWER_BYTES >> 20} MiB and was ended")
            return child.wait(check=False), bytes(kept)
    except commands.CommandFailed:
        raise LateAnswer(f"semgrep was not done after {seconds:.0f} s and was ended") from None


class _Point(BaseModel):
    line: int


class _Result(BaseModel):
    check_id: str
    path: str
    start: _Point


class _Error(BaseModel):
    level: str = "error"
    type: Any = ""
    message: str = ""
    path: str | None = None
    rule_id: str | None = None

    @property
    def kind(self) -> str:
        """Its type (`PartialParsing`), which stands alone or before its details."""
        kind = self.type[0] if isinstance(self.type, list) and self.type else self.type
        return clean(kind, 60) if isinstance(kind, str) else "error"


class _Paths(BaseModel):
    scanned: list[str]


class _Document(BaseModel):
    results: list[_Result]
    errors: list[_Error]
    paths: _Paths


def _parsed(code: int, text: bytes) -> Answer:
    """What Semgrep's JSON says (https://semgrep.dev/docs/semgrep-appsec-platform/json-and-sarif)."""
    try:
        document = _Document.model_validate_json(text)
    except ValidationError:
        raise ClientError(f"semgrep ended with {code} and gave no answer that can be understood") from None
    for error in document.errors:
        _refuse_failure(error)
    if code not in (0, 1):
        raise ClientError(f"semgrep ended with {code}")
    return Answer(
        scanned=tuple(document.paths.scanned),
        matches=tuple(Match(found.check_id, found.path, found.start.line) for found in document.results),
        troubles=tuple((error.path, error.kind) for error in document.errors if error.path is not None),
    )


def _refuse_failure(error: _Error) -> None:
    """Raise for an error that is not about one file: with a rule that it cannot use Semgrep still ends with 0."""
    if bad := _BAD_TARGET.match(error.message):
        raise BadTarget(f"semgrep could not read {clean(bad[1], 300)}")
    if error.path is None and error.level == "error":
        about = f" with the rule {clean(error.rule_id, 100)}" if error.rule_id else ""
        first_line = clean((error.message.splitlines() or [""])[0], 200)
        raise ClientError(f"semgrep failed{about}: {error.kind}: {first_line}")

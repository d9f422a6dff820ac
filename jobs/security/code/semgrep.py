"""The scanner of source code: Semgrep with rules that are here, on files that we choose, batch by batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.clients.file_search import matches, search, shown
from jobs.core.files import UnfitFile, read_small
from jobs.security.code.catalogue import BUNDLED, CodeRule, read_rules
from jobs.security.code.judging import SourceFile, judge
from jobs.security.scanner import Area, Look, OutOfTime, Scanner

if TYPE_CHECKING:
    from jobs.clients.semgrep import Answer, Match, Semgrep

_BATCH_FILES = 1000
_BATCH_BYTES = 512 << 10
_MAX_DEPTH = 64
_ATTEMPTS = 3


def _scan(look: Look) -> None:
    from jobs.clients.semgrep import Semgrep

    settings = look.settings.code
    path = settings.rules or BUNDLED
    semgrep = Semgrep(settings.semgrep, path)
    rules = read_rules(path)
    look.detail("rules", len(rules))
    look.detail("rules_from", "exporter" if settings.rules is None else str(path))
    for batch in batches(_files(look)):
        look.go_on()
        _scan_batch(look, semgrep, rules, batch)


def _files(look: Look) -> list[Path]:
    """The source files, readable and with names that Semgrep can be told; of others it is said that they are missed."""
    settings = look.settings.code

    def wanted(entry: os.DirEntry[str]) -> bool:
        return matches(entry.name, settings.names) or "." not in entry.name

    listing = search(
        settings.paths or (look.clients.base_dir,),
        wanted,
        excluded=settings.excluded,
        max_depth=_MAX_DEPTH,
        max_files=settings.max_files,
        go_on=look.go_on,
    )
    chosen = []
    for file in listing.files:
        named = matches(file.path.name, settings.names)
        if not named and (not file.executable or file.bytes > settings.max_file_bytes):
            continue  # without a suffix it is source only where it can be run, and no compiled program
        if reason := _unfit(file.path, file.bytes, settings.max_file_bytes):
            listing.missed.append((file.path, reason))
        else:
            chosen.append(file.path)
    for path, reason in listing.missed:
        look.missed(f"{shown(path)}: {reason}", str(path))
    return chosen


def _unfit(path: Path, size: int, max_bytes: int) -> str:
    if size > max_bytes:
        return f"longer than {max_bytes} bytes (jobs.security_scan.code.max_file_bytes)"
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8; Semgrep would list it as scanned and not look at it"
    return ""


def batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    """The files in their order, as many at a time as one command line holds."""
    batch: list[Path] = []
    size = 0
    for file in files:
        length = len(os.fsencode(file)) + 1
        if batch and (len(batch) >= _BATCH_FILES or size + length > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += length
    if batch:
        yield batch


def _scan_batch(look: Look, semgrep: Semgrep, rules: Mapping[str, CodeRule], batch: list[Path]) -> None:
    answer = _answer(look, semgrep, batch)
    look.scanned(len(answer.scanned))
    if look.settings.code.rules is None:  # there are rules for every name that is looked for
        for file in sorted(set(map(str, batch)) - set(answer.scanned)):
            if matches(Path(file).name, look.settings.code.names):
                look.missed(f"{shown(file)}: Semgrep did not look at it", file)
    for trouble, kind in answer.troubles:
        look.missed(f"{shown(trouble)}: Semgrep could not look at all of it ({kind})", trouble)
    by_file: dict[str, list[Match]] = {}
    for match in answer.matches:
        by_file.setdefault(match.path, []).append(match)
    for path, found in by_file.items():
        for weakness in judge(_source(look, Path(path)), found, rules):
            look.found(weakness)


def _answer(look: Look, semgrep: Semgrep, batch: list[Path]) -> Answer:
    """What Semgrep says of a batch. It refuses a whole batch for one file that is gone: then for those still there."""
    from jobs.clients.semgrep import Answer, BadTarget, LateAnswer, Limits

    settings = look.settings.code
    for attempt in range(_ATTEMPTS):
        for file in [file for file in batch if file.is_symlink() or not os.access(file, os.R_OK)]:
            batch.remove(file)
            look.missed(f"{shown(file)}: it may not be read, or is gone", str(file))
        if not batch:
            return Answer((), (), ())
        look.go_on()
        limits = Limits(look.left_seconds, settings.rule_timeout_seconds, settings.max_memory_mb, settings.processes)
        try:
            return semgrep.scan(batch, limits, only_errors=not look.full)
        except LateAnswer:
            raise OutOfTime("Semgrep was not done in time and was ended; what it had been through is kept") from None
        except BadTarget:
            if attempt + 1 == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _source(look: Look, path: Path) -> SourceFile:
    base_dir = look.clients.base_dir
    subject = str(path.relative_to(base_dir)) if path.is_relative_to(base_dir) else str(path)
    try:
        text = read_small(path, look.settings.code.max_file_bytes).decode(errors="replace")
    except (OSError, UnfitFile):
        text = ""  # it is gone by now: no comment can be seen, so everything found is shown
    return SourceFile(path, subject, text.split("\n"))


CODE = Scanner("semgrep", Area.CODE, "Weak places in source code, by Semgrep's rules", "files", _scan)

"""The exporter itself: its interpreter and packages, its configuration, and who may read what it keeps secret."""

from __future__ import annotations

import os
import platform
import re
import stat
from collections.abc import Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from exporter import __version__
from exporter.doctor.diagnosis import Diagnosis, Patient, broken, good, missing, not_configured
from exporter.misspelt import nearest
from exporter.settings import is_secret, leaf_fields

DISTRIBUTION = "sutazai-exporter"
_LOOKED_AT_ELSEWHERE = (
    *("base_dir", "textfile.", "notifications.handlers", "jobs.certificate_renewal."),
    "jobs.security_scan.containers.trivy.cache_dir",
)
"""Paths that have a check of their own, or are made when they are needed."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def python(patient: Patient) -> Iterator[Diagnosis]:
    """The interpreter, and that every package is installed that the exporter needs."""
    del patient
    yield good(f"exporter {__version__} on Python {platform.python_version()}")
    absent = sorted(name for name in _required() if not _is_installed(name))
    if absent:
        install = f"pip install {' '.join(absent)}"
        yield missing(f"packages that the exporter needs are not installed: {', '.join(absent)}", install, "packages")


def wheels(patient: Patient) -> Iterator[Diagnosis]:
    """The two packages that only make it faster where there is a wheel of them, and whether they work here."""
    from jobs.clients.matcher import Matcher

    del patient
    if Matcher(["a"]).engine == "hyperscan":
        yield good("secrets are searched for at full speed", "hyperscan")
    else:
        where = platform.machine()
        yield not_configured(f"none that works on {where}: secrets are searched for slowly", about="hyperscan")
    if find_spec("isal") is None:
        yield missing("backups and logs cannot be compressed without it", "pip install isal", "isal")
    else:
        yield good("archives are compressed at full speed", "isal")


def configuration(patient: Patient) -> Iterator[Diagnosis]:
    """Every error of it, where it comes from, and who may change it."""
    if patient.configuration is None:
        yield from (broken(problem, "correct it; see docs/configuration.md") for problem in patient.problems)
        return
    known = patient.configuration
    origins = ", ".join(sorted(set(known.origins.values())))
    yield good(f"set: {len(known.origins)}, from {origins}" if origins else "nothing is set: all defaults")
    if known.file is not None:
        yield from _configuration_file(known.file)


def _configuration_file(file: Path) -> Iterator[Diagnosis]:
    from jobs.security.configuration.own import judge_own
    from jobs.security.configuration.rules import ConfigFile

    status = file.stat()
    yield from _owner(file, status, "file")
    found = list(judge_own(ConfigFile(file, file.name, file.read_text(), stat.S_IMODE(status.st_mode))))
    remedies = {
        "readable_secrets": f"chmod 0600 {quote(str(file))}",
        "writable_configuration": f"chmod go-w {quote(str(file))}",
    }
    for rule, remedy in remedies.items():
        messages = [weakness.message for weakness in found if weakness.rule == rule]
        if messages:
            yield broken("; ".join(messages), remedy, "file")


def secrets(patient: Patient) -> Iterator[Diagnosis]:
    """Files with secrets belong to one user and are read by nobody else; each is named as a setting is."""
    directory = patient.base_dir / "secrets_secure"
    faults = [*_faults_in(directory), *_variable_files(patient)]
    yield from faults
    names = {"__".join(path) for path, info in leaf_fields() if is_secret(info)}
    there = sorted(file.name for file in directory.iterdir()) if directory.is_dir() else []
    for name in there:
        meant = re.search(r"'(.+)'", nearest(name, names))
        if meant and name not in names and not name.startswith((".", f"{meant[1]}_")):
            move = f"mv {quote(str(directory / name))} {quote(str(directory / meant[1]))}"
            yield broken(f"no setting is called so; is {meant[1]} meant?", move, name)
    if not directory.is_dir():
        yield not_configured(f"{directory} is not there: no secret is read from a file")
    elif not faults:
        yield good(f"{len(there)} files in {directory}, for nobody else to read")


def _faults_in(directory: Path) -> Iterator[Diagnosis]:
    if not directory.is_dir():
        return
    if stat.S_IMODE(directory.stat().st_mode) & _OTHERS:
        mode = stat.S_IMODE(directory.stat().st_mode)
        yield broken(f"{directory}: others may enter it (mode {mode:04o})", f"chmod 0700 {quote(str(directory))}")
    for file in sorted(directory.iterdir()):
        yield from _file_faults(file)


def _variable_files(patient: Patient) -> Iterator[Diagnosis]:
    """Files that a variable names (SUTAZAI_REDIS__PASSWORD_FILE)."""
    for path, info in leaf_fields():
        origin = patient.known.origins.get(".".join(path), "")
        if is_secret(info) and origin.startswith("SUTAZAI_") and origin.endswith("_FILE"):
            yield from _file_faults(Path(patient.environment.get(origin, "")))


def _file_faults(file: Path) -> Iterator[Diagnosis]:
    try:
        status = file.stat()
    except OSError as error:
        yield broken(f"{file}: {error.strerror}", f"remove or mend it: ls -l {quote(str(file))}", file.name)
        return
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        yield broken(f"{file}: others may read it (mode {mode:04o})", f"chmod 0600 {quote(str(file))}", file.name)
    yield from _owner(file, status, file.name)


def _owner(file: Path, status: os.stat_result, about: str) -> Iterator[Diagnosis]:
    if status.st_uid not in (0, os.geteuid()) and os.geteuid() != 0:
        yield broken(
            f"{file} belongs to user {status.st_uid}, who can change it",
            f"sudo chown {os.geteuid()} {quote(str(file))}",
            about,
        )


def paths(patient: Patient) -> Iterator[Diagnosis]:
    """What the configuration names is there."""
    named = list(_named_paths(patient))
    absent = [(key, path) for key, path in named if not _exists(path)]
    for key, path in absent:
        yield missing(f"{path} is not there", f"make it, or set {key} to another path", key)
    if not absent:
        yield good(f"all {len(named)} paths that are set are there") if named else not_configured("no path is set")


def _named_paths(patient: Patient) -> Iterator[tuple[str, Path]]:
    from pydantic import BaseModel

    def walk(value: object, key: str) -> Iterator[tuple[str, Path]]:
        if isinstance(value, Path):
            yield key, patient.base_dir / value
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                yield from walk(getattr(value, name), f"{key}.{name}")
        elif isinstance(value, tuple):
            for inner in value:
                yield from walk(inner, key)

    for path, _ in leaf_fields():
        key = ".".join(path)
        if patient.is_set(key) and not key.startswith(_LOOKED_AT_ELSEWHERE):
            yield from walk(_value_at(patient.settings, path), key)


def _value_at(value: object, path: Iterable[str]) -> object:
    for name in path:
        value = getattr(value, name)
    return value


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _required() -> list[str]:
    """The names of the distributions that ours needs; none where it runs without being installed."""
    try:
        needs = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    return [re.split(r"[^A-Za-z0-9_.-]", need, maxsplit=1)[0] for need in needs if ";" not in need]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True

"""The configuration: defaults < YAML file < secrets directory < SUTAZAI_* and *_FILE < flags, into frozen settings.

All layers are merged as plain values and validated once, strictly and as JSON, so every error is known at
once and none is repaired silently. `Configuration.origins` remembers where each value came from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, Field, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo

from exporter.config_errors import describe, nearest
from exporter.documents import DocumentError, read_yaml
from jobs.core.registry import all_jobs
from jobs.core.settings import HttpPath, Seconds, SettingsModel, World

PREFIX = "SUTAZAI_"
CONFIG_FILE_VARIABLE = "SUTAZAI_CONFIG_FILE"

GUIDE_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "SUTAZAI_DOMAIN": ("certificate", "domain"),
    "SUTAZAI_ORG": ("certificate", "organization"),
    "SUTAZAI_CITY": ("certificate", "city"),
    "SUTAZAI_STATE": ("certificate", "state"),
    "SUTAZAI_COUNTRY": ("certificate", "country"),
    "SUTAZAI_MAX_MEMORY_USAGE": ("thresholds", "max_memory_percent"),
    "SUTAZAI_MAX_DISK_USAGE": ("thresholds", "max_disk_percent"),
    "SUTAZAI_MAX_LOAD_THRESHOLD": ("thresholds", "max_load_per_core"),
}
"""Variables that installations of SutazAI set already, and the settings they are."""


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def _listen_address(text: str) -> str:
    match = re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):(\d{1,5})", text)
    if not match or not 1 <= int(match[2]) <= 65535:
        raise ValueError(f"{text!r} is no address to listen on; write host:port, such as 127.0.0.1:10042")
    return text


ListenAddress = Annotated[str, AfterValidator(_listen_address)]


class WebSettings(SettingsModel):
    """The HTTP server."""

    listen_address: ListenAddress = Field("127.0.0.1:10042", description="Address to serve on.")
    telemetry_path: HttpPath = Field("/metrics", description="Path of the metrics.")
    max_connections: int = Field(512, ge=8, le=65536, description="Open connections; the stalest gives way.")
    header_timeout_seconds: Seconds = Field(10, description="Time for a request's headers to arrive.")
    body_timeout_seconds: Seconds = Field(30, description="Time for a request's body to arrive.")
    max_body_bytes: int = Field(1 << 20, ge=1024, le=1 << 30, description="Largest request body.")
    max_series_per_family: int = Field(
        50_000, ge=100, le=10_000_000, description="Series of one family beyond this are dropped and counted."
    )


class LogSettings(SettingsModel):
    """The daemon's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written.")
    format: Literal["logfmt", "json"] = Field("logfmt", description="How a line is written.")


class TextfileSettings(SettingsModel):
    """Output for node-exporter's textfile collector."""

    directory: Path | None = Field(None, description="Directory to write sutazai.prom to after each run; unset: none.")


class RunsSettings(SettingsModel):
    """What holds for every run."""

    max_parallel: int = Field(8, ge=1, le=64, description="Runs side by side.")
    stop_grace_seconds: Seconds = Field(10, description="Time a run has to end by itself when it is stopped.")
    ledger_retention_days: int = Field(400, ge=1, le=3650, description="How long the ledger of runs is kept.")


class ReportsSettings(SettingsModel):
    """Reports and run logs."""

    keep_per_task: int = Field(200, ge=1, le=100_000, description="Newest reports of a task that are kept.")
    retention_days: int = Field(90, ge=1, le=3650, description="Reports older than this are removed.")


class Settings(World):
    """Every setting there is. `jobs` has one section for each job, named as its file."""

    admin_email: str | None = Field(
        None, pattern=r"^[^@\s,;<>\"]{1,64}@[A-Za-z0-9.-]{1,253}$", description="The person in charge."
    )
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    textfile: TextfileSettings = TextfileSettings()
    runs: RunsSettings = RunsSettings()
    reports: ReportsSettings = ReportsSettings()
    jobs: Any = None


@cache
def settings_model() -> type[Settings]:
    """Settings with one section for each job that is there."""
    sections: dict[str, Any] = {job.key: (job.settings, job.settings()) for job in all_jobs().values()}
    jobs_model = create_model("JobsSettings", __base__=SettingsModel, __doc__="One section for each job.", **sections)
    return create_model("Settings", __base__=Settings, __doc__=Settings.__doc__, jobs=(jobs_model, jobs_model()))


@dataclass(frozen=True)
class Configuration:
    """Validated settings, the plain document they came from (it has secrets: never log it) and each value's origin."""

    settings: Settings
    document: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, so that output can be checked for them."""
        found = (_at(self.document, path) for path, info in leaf_fields() if is_secret(info))
        return frozenset(text for text in found if isinstance(text, str) and text)

    def for_run(self, job_key: str) -> dict[str, Any]:
        """The part of the document that a run of one job needs: the world and the job's own section."""
        world = {name: self.document[name] for name in World.model_fields if name in self.document}
        world["base_dir"] = str(self.settings.base_dir)
        return {"world": world, "job": self.document.get("jobs", {}).get(job_key, {})}


@dataclass
class _Layers:
    """The document as it grows layer by layer, and what is wrong with it so far."""

    document: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def put(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        section = self.document
        for name in path[:-1]:
            inner = section.setdefault(name, {})
            if not isinstance(inner, dict):
                return  # the layer below is wrong here, and validation says so
            section = inner
        section[path[-1]] = value
        self.origins[".".join(path)] = origin


def load(
    config_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], Any] | None = None,
) -> Configuration:
    """Read every layer and return the configuration; raise ConfigError with all that is wrong at once."""
    environment = os.environ if environment is None else environment
    layers = _Layers()
    file = _config_file(config_file, environment)
    if file:
        _read_file(layers, file)
    _read_environment(layers, environment)
    for path, value in (flags or {}).items():
        if value is not None:
            layers.put(path, value, "command line")
    _read_secrets(layers, environment)
    return _validate(layers)


def _config_file(given: Path | None, environment: Mapping[str, str]) -> Path | None:
    if given or environment.get(CONFIG_FILE_VARIABLE):
        return given or Path(environment[CONFIG_FILE_VARIABLE])
    usual = Path(environment.get("SUTAZAI_BASE_DIR") or "/opt/sutazaiapp") / "config" / "exporter.yml"
    return usual if usual.exists() else None


def _read_file(layers: _Layers, file: Path) -> None:
    text = _read_text(layers, file, "the configuration")
    if text is None:
        return
    try:
        document = read_yaml(text)
    except DocumentError as error:
        layers.problems.append(f"{file}: {error}")
        return
    if document is None:
        return
    if not isinstance(document, dict):
        layers.problems.append(f"{file}: must be a mapping of settings, not {type(document).__name__}")
        return
    layers.document = document
    for path in _leaves(document):
        layers.origins[".".join(path)] = str(file)


def _read_environment(layers: _Layers, environment: Mapping[str, str]) -> None:
    known = environment_names()
    for name, raw in sorted(environment.items()):
        if not name.startswith(PREFIX) or name == CONFIG_FILE_VARIABLE:
            continue
        target, from_file = name, False
        if name not in known and name.endswith("_FILE") and name.removesuffix("_FILE") in known:
            target, from_file = name.removesuffix("_FILE"), True
        if target not in known:
            layers.problems.append(f"{name}: unknown variable{nearest(name, known)}")
            continue
        if from_file and target in environment:
            layers.problems.append(f"{name}: {target} is set as well; keep one of them")
            continue
        text = _read_text(layers, Path(raw), name) if from_file else raw
        if text is not None:
            _put_text(layers, *known[target], text.removesuffix("\n") if from_file else text, name)


def _read_secrets(layers: _Layers, environment: Mapping[str, str]) -> None:
    """Fill secrets that no other layer gave from files named after them (`redis__password`)."""
    base_dir = layers.document.get("base_dir", World.model_fields["base_dir"].default)
    directories = [Path(str(base_dir)) / "secrets_secure"]
    if environment.get("CREDENTIALS_DIRECTORY"):
        directories.insert(0, Path(environment["CREDENTIALS_DIRECTORY"]))
    for path, info in leaf_fields():
        if not is_secret(info) or _at(layers.document, path) is not None:
            continue
        for directory in directories:
            file = directory / "__".join(path)
            if file.is_file():
                text = _read_text(layers, file, ".".join(path))
                if text is not None:
                    layers.put(path, text.removesuffix("\n"), str(file))
                break


def _read_text(layers: _Layers, file: Path, purpose: str) -> str | None:
    try:
        with file.open("rb") as stream:
            content = stream.read((1 << 20) + 1)
        if len(content) > 1 << 20:
            layers.problems.append(f"{file}: larger than 1 MiB; {purpose} must be smaller")
            return None
        return content.decode()
    except UnicodeDecodeError:
        layers.problems.append(f"{file}: is not UTF-8 text; {purpose} is read from it")
    except OSError as error:
        layers.problems.append(f"{file}: cannot be read for {purpose}: {error.strerror}")
    return None


def _put_text(layers: _Layers, path: tuple[str, ...], info: FieldInfo, text: str, origin: str) -> None:
    """Put a value that came as text: kept as it is where text is wanted, else read as YAML."""
    if _wants_text(info):
        layers.put(path, text, origin)
        return
    try:
        layers.put(path, read_yaml(text), origin)
    except DocumentError as error:
        layers.problems.append(f"{origin}: {error}")


def _validate(layers: _Layers) -> Configuration:
    settings: Settings | None = None
    try:
        text = json.dumps(layers.document, allow_nan=False)
        settings = settings_model().model_validate_json(text, strict=True)
    except ValidationError as error:
        layers.problems += describe(error, settings_model(), layers.origins)
    except (ValueError, TypeError, RecursionError) as error:
        layers.problems.append(f"configuration: {error}")
    if settings is None or layers.problems:
        raise ConfigError(layers.problems)
    base_dir = settings.base_dir.absolute()
    return Configuration(settings.model_copy(update={"base_dir": base_dir}), layers.document, layers.origins)


@cache
def leaf_fields() -> tuple[tuple[tuple[str, ...], FieldInfo], ...]:
    """Every setting that is not a section, with its path."""
    return tuple(_walk(settings_model(), ()))


def _walk(model: type[SettingsModel], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
            yield from _walk(annotation, (*above, name))
        else:
            yield (*above, name), info


@cache
def environment_names() -> Mapping[str, tuple[tuple[str, ...], FieldInfo]]:
    """Every variable that is understood, with the setting it is."""
    fields = dict(leaf_fields())
    names = {PREFIX + "__".join(path).upper(): (path, info) for path, info in fields.items()}
    return names | {name: (path, fields[path]) for name, path in GUIDE_VARIABLES.items()}


def is_secret(info: FieldInfo) -> bool:
    """Whether a setting must never be shown."""
    return SecretStr in _types(info.annotation)


def _wants_text(info: FieldInfo) -> bool:
    """Whether a setting is text of some kind, so that a password `123` stays text."""
    types = _types(info.annotation)
    return bool(types & {str, SecretStr, Path}) or any(isinstance(kind, str) for kind in types)


def _types(annotation: Any) -> set[Any]:
    """The types and literal values that an annotation allows, without None."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType, Literal):
        return set().union(*(_types(inner) for inner in get_args(annotation)))
    if hasattr(annotation, "__metadata__"):
        return _types(annotation.__origin__)
    return set() if annotation is type(None) else {origin or annotation}


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _leaves(document: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)

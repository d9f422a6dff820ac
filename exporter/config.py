"""The configuration: defaults < YAML file < secrets directory < SUTAZAI_* and *_FILE < flags, into frozen settings.

All layers are merged as plain values and validated once, strictly and as JSON, so every error is known at
once and none is repaired silently. `Configuration.origins` remembers where each value came from.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from exporter.config_errors import describe, nearest
from exporter.documents import DocumentError, read_yaml
from exporter.marks import is_mark
from exporter.redaction import passwords_in
from exporter.settings import (
    PREFIX,
    Settings,
    environment_names,
    is_secret,
    leaf_fields,
    settings_model,
    wants_text,
)
from jobs.core.settings import World

CONFIG_FILE_VARIABLE = "SUTAZAI_CONFIG_FILE"
COMMAND_LINE = "command line"
"""The origin of what a flag has set."""


class ConfigError(Exception):
    """The configuration cannot be used; `problems` has one line for each thing to mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Configuration:
    """Validated settings, the plain document they came from (it has secrets: never log it) and each value's origin.

    `file` is the configuration file, where there is one.
    """

    settings: Settings
    document: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    @property
    def secrets(self) -> frozenset[str]:
        """Every secret value, and the password within it where it is a URL or DSN, to take them out of output."""
        texts = [secret.get_secret_value() for secret in _secrets_in(self.settings)]
        return frozenset(form for text in texts for form in (text, *passwords_in(text)) if form)

    def for_run(self, job_key: str) -> dict[str, Any]:
        """The part of the document that a run of one job needs: the world and the job's own section, and the file."""
        world = {name: self.document[name] for name in World.model_fields if name in self.document}
        world["base_dir"] = str(self.settings.base_dir)
        job = self.document.get("jobs", {}).get(job_key, {})
        return {"world": world, "job": job, "file": str(self.file) if self.file else None}


@dataclass
class _Layers:
    """The document as it grows layer by layer, and what is wrong with it so far."""

    document: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    file: str = ""

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
    """Read every layer and return the configuration; raise ConfigError with all that is wrong at once.

    `flags` are what the command line sets: text is read as that of a variable is.
    """
    environment = os.environ if environment is None else environment
    layers = _Layers()
    file = _config_file(config_file, environment)
    if file:
        _read_file(layers, file)
    _read_environment(layers, environment)
    _read_flags(layers, flags or {})
    _read_secrets(layers, environment)
    return _validate(layers)


def _config_file(given: Path | None, environment: Mapping[str, str]) -> Path | None:
    if given or environment.get(CONFIG_FILE_VARIABLE):
        return given or Path(environment[CONFIG_FILE_VARIABLE])
    usual = Path(environment.get("SUTAZAI_BASE_DIR") or "/opt/sutazaiapp") / "config" / "exporter.yml"
    try:
        return usual if usual.exists() else None
    except OSError:  # nobody lets us look: reading it will say why
        return usual


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
    layers.document, layers.file = document, str(file)
    for path in _leaves(document):
        layers.origins[".".join(path)] = layers.file


def _read_environment(layers: _Layers, environment: Mapping[str, str]) -> None:
    known = environment_names()
    for name, raw in sorted(environment.items()):
        if not name.startswith(PREFIX) or name == CONFIG_FILE_VARIABLE or is_mark(name):
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


def _read_flags(layers: _Layers, flags: Mapping[tuple[str, ...], Any]) -> None:
    fields = dict(leaf_fields())
    for path, value in flags.items():
        if value is None:
            continue
        try:
            plain = not isinstance(value, str) or wants_text(fields[path])
            layers.put(path, value if plain else read_yaml(value), COMMAND_LINE)
        except DocumentError as error:
            layers.problems.append(f"{'.'.join(path)}: {error} (from {COMMAND_LINE})")


def _read_secrets(layers: _Layers, environment: Mapping[str, str]) -> None:
    """Take secrets from files named after them (`redis__password`), where only the YAML file gave them if anybody.

    An empty file is as none: a shell makes one for `token create > FILE` before that command reads the configuration.
    """
    base_dir = layers.document.get("base_dir", World.model_fields["base_dir"].default)
    directories = [Path(str(base_dir)) / "secrets_secure"]
    if environment.get("CREDENTIALS_DIRECTORY"):
        directories.insert(0, Path(environment["CREDENTIALS_DIRECTORY"]))
    directories = [directory for directory in directories if _may_enter(layers, directory)]
    for path, info in leaf_fields():
        given = _at(layers.document, path) is not None and layers.origins.get(".".join(path))
        if not is_secret(info) or (given and given != layers.file):
            continue
        for file in (directory / "__".join(path) for directory in directories):
            text = _read_text(layers, file, ".".join(path)) if file.is_file() else None
            if secret := (text or "").removesuffix("\n"):
                layers.put(path, secret, str(file))
                break


def _may_enter(layers: _Layers, directory: Path) -> bool:
    """Whether there is such a directory; one that is closed to us is a problem, as secrets may be in it."""
    try:
        if not directory.is_dir():
            return False
        if os.access(directory, os.X_OK):
            return True
        reason = os.strerror(errno.EACCES)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    layers.problems.append(f"{directory}: cannot be searched for secrets: {reason}; run this as its owner or as root")
    return False


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
    if wants_text(info):
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
    file = Path(layers.file).absolute() if layers.file else None
    return Configuration(settings.model_copy(update={"base_dir": base_dir}), layers.document, layers.origins, file)


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = document
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _secrets_in(value: object) -> Iterator[SecretStr]:
    """Every secret of the settings, however deep: a list of servers has one in each."""
    if isinstance(value, SecretStr):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, tuple):
        for inner in value:
            yield from _secrets_in(inner)


def _leaves(document: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)

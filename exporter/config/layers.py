"""The layers of a configuration, each read on top of those below: file, variables, flags, files with secrets."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from exporter.config.documents import DocumentError, read_yaml
from exporter.given_files import read_given
from exporter.misspelt import nearest
from exporter.processes.marks import is_mark
from exporter.settings import PREFIX, environment_names, is_secret, leaf_fields, wants_text
from jobs.core.settings import World

CONFIG_FILE_VARIABLE = "SUTAZAI_CONFIG_FILE"
COMMAND_LINE = "command line"
"""The origin of what a flag has set."""


@dataclass
class Layers:
    """The document as it grows layer by layer, and what is wrong with it so far."""

    document: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    file: str = ""

    def put(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        """Set a value over whatever the layers below have there."""
        section = self.document
        for name in path[:-1]:
            inner = section.setdefault(name, {})
            if not isinstance(inner, dict):
                return  # the layer below is wrong here, and validation says so
            section = inner
        section[path[-1]] = value
        self.origins[".".join(path)] = origin


def read_file(layers: Layers, file: Path) -> None:
    """Take what the configuration file says."""
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


def read_environment(layers: Layers, environment: Mapping[str, str]) -> None:
    """Take what variables say: `SUTAZAI_…`, and with `_FILE` at its end the content of the file that one names."""
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


def read_flags(layers: Layers, flags: Mapping[tuple[str, ...], Any]) -> None:
    """Take what the command line says."""
    fields = dict(leaf_fields())
    for path, value in flags.items():
        if value is None:
            continue
        try:
            plain = not isinstance(value, str) or wants_text(fields[path])
            layers.put(path, value if plain else read_yaml(value), COMMAND_LINE)
        except DocumentError as error:
            layers.problems.append(f"{'.'.join(path)}: {error} (from {COMMAND_LINE})")


def read_secrets(layers: Layers, environment: Mapping[str, str]) -> None:
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


def _may_enter(layers: Layers, directory: Path) -> bool:
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


def _read_text(layers: Layers, file: Path, purpose: str) -> str | None:
    try:
        content = read_given(file, (1 << 20) + 1)
        if len(content) > 1 << 20:
            layers.problems.append(f"{file}: larger than 1 MiB; {purpose} must be smaller")
            return None
        return content.decode()
    except UnicodeDecodeError:
        layers.problems.append(f"{file}: is not UTF-8 text; {purpose} is read from it")
    except OSError as error:
        remedy = "; run this as its owner or as root" if error.errno in (errno.EACCES, errno.EPERM) else ""
        layers.problems.append(f"{file}: cannot be read for {purpose}: {error.strerror}{remedy}")
    return None


def _put_text(layers: Layers, path: tuple[str, ...], info: FieldInfo, text: str, origin: str) -> None:
    """Put a value that came as text: kept as it is where text is wanted, else read as YAML."""
    if wants_text(info):
        layers.put(path, text, origin)
        return
    try:
        layers.put(path, read_yaml(text), origin)
    except DocumentError as error:
        layers.problems.append(f"{origin}: {error}")


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

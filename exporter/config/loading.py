"""The configuration: defaults < YAML file < secrets directory < SUTAZAI_* and *_FILE < flags, into frozen settings.

All layers are merged as plain values and validated once, strictly and as JSON, so every error is known at
once and none is repaired silently. `Configuration.origins` remembers where each value came from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from exporter.config.configuration import ConfigError, Configuration
from exporter.config.errors import describe
from exporter.config.layers import (
    CONFIG_FILE_VARIABLE,
    Layers,
    read_environment,
    read_file,
    read_flags,
    read_secrets,
)
from exporter.settings import Settings, settings_model


def load(
    config_file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[tuple[str, ...], Any] | None = None,
) -> Configuration:
    """Read every layer and return the configuration; raise ConfigError with all that is wrong at once.

    `flags` are what the command line sets: text is read as that of a variable is.
    """
    environment = os.environ if environment is None else environment
    layers = Layers()
    file = _config_file(config_file, environment)
    if file:
        read_file(layers, file)
    read_environment(layers, environment)
    read_flags(layers, flags or {})
    read_secrets(layers, environment)
    return _validate(layers)


def _config_file(given: Path | None, environment: Mapping[str, str]) -> Path | None:
    if given or environment.get(CONFIG_FILE_VARIABLE):
        return given or Path(environment[CONFIG_FILE_VARIABLE])
    usual = Path(environment.get("SUTAZAI_BASE_DIR") or "/opt/sutazaiapp") / "config" / "exporter.yml"
    try:
        return usual if usual.exists() else None
    except OSError:  # nobody lets us look: reading it will say why
        return usual


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError:
        raise ConfigError([f"{path}: is relative, and the current directory is gone; cd to another"]) from None


def _validate(layers: Layers) -> Configuration:
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
    base_dir = _absolute(settings.base_dir)
    file = _absolute(Path(layers.file)) if layers.file else None
    return Configuration(settings.model_copy(update={"base_dir": base_dir}), layers.document, layers.origins, file)

"""The settings as they are in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from exporter.config import Configuration
from exporter.redaction import MASK, Redactor
from exporter.setting_types import SecretUrl
from exporter.settings import is_secret, leaf_fields
from exporter.views.sources import Sources

if TYPE_CHECKING:
    from exporter.views.shapes import SettingEntry

DEFAULT = "default"
"""Where a setting comes from that nobody gave."""


def settings(sources: Sources) -> list[SettingEntry]:
    """Every setting, secrets masked, in the order of the reference."""
    return settings_of(sources.configuration)


def settings_of(configuration: Configuration) -> list[SettingEntry]:
    """The same, for whoever has a configuration and no store.

    Masked is every secret by its type (a URL that is one from its path on), however deep it stands, whatever else holds
    the text of one, and any password within a URL.
    """
    redactor = Redactor(configuration.secrets)
    return [
        {
            "setting": ".".join(path),
            "value": redactor.document(_plain(_at(configuration.settings, path))),
            "origin": _origin(configuration.origins, ".".join(path)),
            "secret": is_secret(info),
        }
        for path, info in leaf_fields()
    ]


def _at(settings: object, path: tuple[str, ...]) -> object:
    for name in path:
        settings = getattr(settings, name)
    return settings


def _plain(value: object) -> Any:
    """A value as JSON has it, without what must not be shown."""
    if isinstance(value, SecretStr):
        return str(value) if isinstance(value, SecretUrl) else MASK
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return [_plain(inner) for inner in value]
    # Of a StrEnum its text.
    return value if value is None or type(value) in (bool, int, float) else str(value)


def _origin(origins: Mapping[str, str], name: str) -> str:
    """Where a setting comes from; one that is a mapping has an origin for each of its keys."""
    below = sorted({origin for key, origin in origins.items() if key == name or key.startswith(f"{name}.")})
    return ", ".join(below) or DEFAULT

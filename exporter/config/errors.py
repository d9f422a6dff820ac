"""What is wrong with a configuration, said in one line each: where, what, and the limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import SecretStr, ValidationError
from pydantic_core import ErrorDetails

from exporter.misspelt import nearest
from jobs.core.settings import SettingsModel

MAX_LINES = 100
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text (put it in quotes)",
    "path_type": "a path",
    "tuple_type": "a list",
    "model_type": "a section with settings of its own",
    "model_attributes_type": "a section with settings of its own",
}
_LIMITS = {
    "greater_than_equal": ("ge", "is below {}"),
    "greater_than": ("gt", "is not above {}"),
    "less_than_equal": ("le", "is above {}"),
    "less_than": ("lt", "is not below {}"),
    "string_too_long": ("max_length", "is longer than {} characters"),
    "string_too_short": ("min_length", "is shorter than {} characters"),
    "string_pattern_mismatch": ("pattern", "does not look like {}"),
    "literal_error": ("expected", "is not one of {}"),
    "enum": ("expected", "is not one of {}"),
}


def describe(error: ValidationError, model: type[SettingsModel], origins: Mapping[str, str]) -> list[str]:
    """One line for each error: `jobs.log_rotation.max_log_size_mb: -1 is below 1 (from FILE)`."""
    details = error.errors(include_url=False)
    lines = [_line(detail, model, origins) for detail in details[:MAX_LINES]]
    return lines if len(details) <= MAX_LINES else [*lines, f"and {len(details) - MAX_LINES} more errors"]


def _line(detail: ErrorDetails, model: type[SettingsModel], origins: Mapping[str, str]) -> str:
    path = _readable(detail["loc"])
    origin = origins.get(".".join(str(part) for part in detail["loc"]), "")
    suffix = f" (from {origin})" if origin else ""
    if detail["type"] == "extra_forbidden":
        return f"{path}: unknown key{nearest(str(detail['loc'][-1]), _siblings(model, detail['loc']))}{suffix}"
    return f"{path}: {_reason(detail, secret=_is_secret(model, detail['loc']))}{suffix}"


def _reason(detail: ErrorDetails, *, secret: bool) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    given = "the value" if secret else _shown(detail["input"])
    if detail["input"] is None and (wanted := _WANTED.get(kind) or context.get("expected")):
        return f"is empty; write {wanted}, or leave it out"  # a variable without text, a key without a value
    if kind in _WANTED:
        return f"{given} is not {_WANTED[kind]}"
    if kind in _LIMITS:
        name, text = _LIMITS[kind]
        return f"{given} {text.format(context[name])}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return "is required"
    return f"{given}: {detail['msg']}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _readable(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "configuration"


def _siblings(model: type[SettingsModel], location: tuple[int | str, ...]) -> list[str]:
    section = _section(model, location[:-1])
    return list(section.model_fields) if section else []


def _is_secret(model: type[SettingsModel], location: tuple[int | str, ...]) -> bool:
    """Whether a value must not be shown: it is a secret, or stands where a section with secrets belongs."""
    section = _section(model, location[:-1])
    info = section.model_fields.get(str(location[-1])) if section and location else None
    return info is not None and _holds_secrets(info.annotation)


def _holds_secrets(annotation: Any) -> bool:
    inner = [info.annotation for section in _models(annotation) for info in section.model_fields.values()]
    return re.search("SecretStr|SecretUrl", repr(annotation)) is not None or any(map(_holds_secrets, inner))


def _section(model: type[SettingsModel], location: tuple[int | str, ...]) -> type[SettingsModel] | None:
    """The settings class that the keys at `location` belong to."""
    for part in location:
        if isinstance(part, int):
            continue
        info = model.model_fields.get(part)
        inner = next(_models(info.annotation), None) if info else None
        if inner is None:
            return None
        model = inner
    return model


def _models(annotation: Any) -> Iterator[type[SettingsModel]]:
    if isinstance(annotation, type) and issubclass(annotation, SettingsModel):
        yield annotation
    elif annotation is not SecretStr:
        for inner in get_args(annotation):
            yield from _models(inner)

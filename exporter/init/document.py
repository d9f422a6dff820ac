"""The configuration file that `init` writes: what was chosen, and as comments what else there is to choose.

A line that begins with `#` and no blank is a setting with its default: without the `#` it is in force. All of them,
their meaning and their defaults come from the settings themselves.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from exporter.init.questions import Setting
from exporter.settings import is_secret, settings_model

_HEAD = """\
# Configuration of the SutazAI exporter. Every setting there is: docs/configuration.md.
# A line that begins with '#' and no blank is a setting with its default; remove the '#' (and that of the section
# above it) to change it. Passwords and tokens have files of their own in secrets_secure/.
# See whether it is right: sutazai-exporter check-config, sutazai-exporter doctor.
"""
_WIDTH = 118
_NEVER_COMMON = (("alerts",), ("runs",), ("reports",), ("web", "max_series_per_family"))
_LIMITS_OF_RUNS = ("max_run_seconds", "max_memory_mb")
_ADDRESSES = ("url", "dsn", "deadman_url")
"""Settings that are kept as secrets because a password or key may be in them, and often is not."""
# PyYAML refuses them as they are.
_UNPRINTABLE = re.compile("[\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff]")


def configuration_text(chosen: Mapping[Setting, Any]) -> str:
    """Given plain values of settings, the file that has them, with all others of common interest as comments."""
    return _HEAD + "\n" + "\n".join(_section(settings_model(), (), chosen)) + "\n"


def _section(model: type[BaseModel], above: Setting, chosen: Mapping[Setting, Any]) -> Iterator[str]:
    for name, info in model.model_fields.items():
        path = (*above, name)
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            lines = list(_section(inner, path, chosen))
            if lines:
                begun = any(one[: len(path)] == path for one in chosen)
                yield from [] if above else [""]
                yield from _comment(inner.__doc__ or "", above)
                yield f"{_indent(above)}{'' if begun else '#'}{name}:"
                yield from lines
        elif path in chosen or _is_common(path):
            yield from _leaf(path, info, chosen)


def _leaf(path: Setting, info: FieldInfo, chosen: Mapping[Setting, Any]) -> Iterator[str]:
    above, name = path[:-1], path[-1]
    meaning, file = info.description or "", f"secrets_secure/{'__'.join(path)}"
    yield from [] if above else [""]
    if path in chosen:
        yield from _comment(meaning, above)
        yield f"{_indent(above)}{name}: {_yaml(chosen[path])}"
    elif is_secret(info) and name not in _ADDRESSES:
        yield from _comment(f"{name}: {meaning} It belongs into the file {file}.", above)
    else:
        also = f" With a password or key in it, it belongs into the file {file}." if is_secret(info) else ""
        yield from _comment(f"{meaning}{also}", above)
        yield f"{_indent(above)}#{name}: {_yaml(to_jsonable_python(info.get_default(call_default_factory=True)))}"


def _is_common(path: Setting) -> bool:
    """Of the jobs, what each can be told at first sight; of the rest, all but what hardly anybody changes."""
    if any(path[: len(rare)] == rare for rare in _NEVER_COMMON):
        return False
    return path[0] != "jobs" or (len(path) == 3 and path[-1] not in _LIMITS_OF_RUNS)


def _comment(text: str, above: Setting) -> list[str]:
    first = " ".join(text.split())
    return textwrap.wrap(first, _WIDTH, initial_indent=f"{_indent(above)}# ", subsequent_indent=f"{_indent(above)}# ")


def _indent(above: Setting) -> str:
    return "  " * len(above)


def _yaml(value: Any) -> str:
    """A value in YAML's flow style: JSON is that, and its texts are always in quotes, whatever they look like."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))

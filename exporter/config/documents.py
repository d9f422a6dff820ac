"""YAML read as untrusted input: no tags, no aliases, no duplicate keys, bounded size and depth.

Scalars follow YAML 1.2's JSON-like core: `010`, `1:30`, `yes` and `.nan` are text, so a field that wants
a number or a boolean refuses them instead of guessing.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_VALUES = 50_000


class DocumentError(ValueError):
    """The text is not an acceptable document; the message says where and why in one line."""


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own class-level registry)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise DocumentError(f"line {key.start_mark.line + 1}: a key must be text")
            if key.value in seen:
                raise DocumentError(f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_NUMBER_START = list("-0123456789")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"null|~|"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(0|[1-9][0-9]{0,17})"), _NUMBER_START)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]+)?([eE][-+]?[0-9]{1,2})?"),  # none of them is infinite
    _NUMBER_START,
)
# PyYAML matches resolvers from the start only; without an end these would accept `80abc`.
for _first, _resolvers in _Loader.yaml_implicit_resolvers.items():
    _Loader.yaml_implicit_resolvers[_first] = [
        (tag, re.compile(rf"(?:{pattern.pattern})$")) for tag, pattern in _resolvers
    ]


def read_yaml(text: str) -> Any:
    """Given YAML text, return its plain value; raise DocumentError for anything doubtful."""
    if len(text) > MAX_BYTES:
        raise DocumentError(f"longer than {MAX_BYTES} characters")
    try:
        _refuse_what_hurts(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise DocumentError(f"{where}{error.problem or error.context or 'not YAML'}") from None
    except yaml.YAMLError as error:
        raise DocumentError(str(error).splitlines()[0]) from None
    except ValueError as error:
        raise DocumentError(str(error)) from None


def _refuse_what_hurts(text: str) -> None:
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.AliasEvent):
            raise DocumentError(f"line {line}: aliases are not accepted; write the value out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise DocumentError(f"line {line}: tags are not accepted; write the value without {tag!r}")
        values += isinstance(event, yaml.NodeEvent)
        if values > MAX_VALUES:
            raise DocumentError(f"line {line}: more than {MAX_VALUES} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise DocumentError(f"line {line}: nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1

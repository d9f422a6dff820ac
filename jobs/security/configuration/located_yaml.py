"""YAML as Compose reads it (anchors, aliases, merge keys), taken as hostile input, with the line of every value.

Every scalar stays the text that it is. Size, depth and number of values are limited before and after aliases are
followed, so that a bomb of them is refused; a key that is given twice is refused as Compose refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.security.configuration.rules import Unparsable

if TYPE_CHECKING:
    import yaml

MAX_CHARACTERS = 1 << 20
_MAX_DEPTH = 32
_MAX_VALUES = 50_000
_NULLS = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Scalar:
    """One value; its text is None where it is null."""

    text: str | None
    line: int


@dataclass(frozen=True)
class Items:
    """A list."""

    values: tuple[Value, ...]
    line: int


@dataclass(frozen=True)
class Fields:
    """A mapping; merged keys come after its own."""

    values: dict[str, Value] = field(default_factory=dict)
    line: int = 1

    def get(self, *path: str) -> Value | None:
        """The value at this path; None where there is none."""
        found: Value | None = self
        for key in path:
            found = found.values.get(key) if isinstance(found, Fields) else None
        return found

    def text(self, *path: str) -> str:
        """The text at this path; empty where there is none."""
        found = self.get(*path)
        return found.text or "" if isinstance(found, Scalar) else ""


Value = Scalar | Items | Fields


def items(value: Value | None) -> tuple[Value, ...]:
    """The values of a list, one alone as a list of one, nothing as none."""
    if isinstance(value, Items):
        return value.values
    return () if value is None else (value,)


def scalars(value: Value | None) -> Iterator[Scalar]:
    """The scalars among `items`."""
    yield from (item for item in items(value) if isinstance(item, Scalar))


def read(text: str) -> Value:
    """The value of a document; Unparsable where it is none, or one that could hurt."""
    import yaml

    if len(text) > MAX_CHARACTERS:
        raise Unparsable(f"it is longer than {MAX_CHARACTERS} characters")
    try:
        _refuse_what_hurts(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Unparsable(f"{line}it is not YAML") from None
    except Unparsable:
        raise
    except (yaml.YAMLError, ValueError):
        raise Unparsable("it is not YAML") from None
    return _Converter().value(node, 0) if node is not None else Fields()


def _refuse_what_hurts(text: str) -> None:
    import yaml

    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        values += isinstance(event, yaml.NodeEvent)
        if depth > _MAX_DEPTH or values > _MAX_VALUES:
            what = f"nested deeper than {_MAX_DEPTH}" if depth > _MAX_DEPTH else f"more than {_MAX_VALUES} values"
            raise Unparsable(f"line {event.start_mark.line + 1 if event.start_mark else 1}: {what}")


class _Converter:
    """From PyYAML's nodes, of which an alias is the same one again, to values."""

    def __init__(self) -> None:
        self._made = 0

    def value(self, node: yaml.Node, depth: int) -> Value:
        import yaml

        line = node.start_mark.line + 1
        self._made += 1
        if self._made > _MAX_VALUES or depth > _MAX_DEPTH:
            raise Unparsable(f"line {line}: its aliases unfold to more than can be followed")
        if node.tag == "!reset":  # Compose: as if it had not been given
            return Scalar(None, line)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.value(item, depth + 1) for item in node.value), line)
        if isinstance(node, yaml.MappingNode):
            return self._fields(node, depth, line)
        null = isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS
        return Scalar(None if null else node.value, line)

    def _fields(self, node: yaml.MappingNode, depth: int, line: int) -> Fields:
        own: dict[str, Value] = {}
        merged: list[Value] = []
        for key, value in node.value:
            name = key.value if isinstance(key.value, str) else ""
            converted = self.value(value, depth + 1)
            if key.tag == "tag:yaml.org,2002:merge":
                merged += items(converted)
            elif name in own:
                raise Unparsable(f"line {key.start_mark.line + 1}: a key is given twice")
            else:
                own[name] = converted
        for other in merged:
            own = {**other.values, **own} if isinstance(other, Fields) else own
        return Fields(own, line)

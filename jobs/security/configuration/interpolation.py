"""Variables in Compose files: `$NAME`, `${NAME:-default}` and the like, filled in as far as can be known.

Of the environment that Compose will be started in only the `.env` file beside it is known. See
https://docs.docker.com/reference/compose-file/interpolation/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_DEPTH = 16


@dataclass(frozen=True)
class Filled:
    """A text with its variables filled in; None where one of them is not known. `names` are those that were."""

    text: str | None
    names: tuple[str, ...] = ()
    from_default: bool = False


def fill(text: str, known: Mapping[str, str]) -> Filled:
    """Fill in the variables of `text`."""
    return _Filler(known).fill(text, 0)


class _Filler:
    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._names: list[str] = []
        self._default = False

    def fill(self, text: str, depth: int) -> Filled:
        filled = self._filled(text, depth)
        return Filled(filled, tuple(self._names), self._default)

    def _filled(self, text: str, depth: int) -> str | None:
        pieces: list[str] = []
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            pieces.append(text[at:dollar])
            piece, at = self._variable(text, dollar, depth)
            if piece is None:
                return None
            pieces.append(piece)
        return "".join([*pieces, text[at:]])

    def _variable(self, text: str, dollar: int, depth: int) -> tuple[str | None, int]:
        """What stands for the `$` at this place, and where the text goes on."""
        after = dollar + 1
        if text.startswith("$", after):
            return "$", after + 1
        if name := _NAME.match(text, after):
            return self._value(name[0]), name.end()
        if not text.startswith("{", after) or not (name := _NAME.match(text, after + 1)):
            return "$", after
        end = _closing(text, name.end())
        if end < 0 or depth > _MAX_DEPTH:
            return None, len(text)
        return self._braced(name[0], text[name.end() : end], depth), end + 1

    def _braced(self, name: str, rest: str, depth: int) -> str | None:
        value = self._known.get(name)
        colon = rest.startswith(":")
        operator, word = rest[colon : colon + 1], rest[colon + 1 :]
        given = bool(value) if colon else value is not None
        if operator == "-" and not given:
            self._default = True
            return self._filled(word, depth + 1)
        if operator == "+":
            return self._filled(word, depth + 1) if given else None
        return self._value(name)

    def _value(self, name: str) -> str | None:
        if name not in self._known:
            return None
        self._names.append(name)
        return self._known[name]


def _closing(text: str, at: int) -> int:
    """Where the brace closes that is open here; -1 where it does not."""
    depth = 1
    for place in range(at, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    return -1

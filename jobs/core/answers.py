"""Parts of a JSON document that somebody else wrote, each checked for its type; ValueError for another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


def _checked(kind: type[_T], word: str) -> Callable[[object], _T]:
    def check(value: object) -> _T:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{word} expected, found {type(value).__name__}")
        return value

    return check


text: Callable[[object], str] = _checked(str, "text")
number: Callable[[object], int] = _checked(int, "a number")
items: Callable[[object], list[Any]] = _checked(list, "a list")
mapping: Callable[[object], dict[str, Any]] = _checked(dict, "an object")

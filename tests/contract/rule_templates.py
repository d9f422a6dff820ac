"""The templates of the alert rules, taken apart: what each rule asks the settings for, and its own numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from exporter.rules.rendering import TEMPLATES
from tests.contract.rule_files import read_yaml

_SPOKEN = "two|twice|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty|half|quarter|hundred|thousand"
_ASKED = re.compile(r"\[\[(.+?)\]\]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_:][\w:.]*")


@dataclass(frozen=True)
class Template:
    """One rule as its template has it. `bare` are its own numbers, with what they are of: `[6h]`, `for 15m`, `2.5`."""

    name: str
    asked: tuple[str, ...]
    bare: frozenset[str]

    @property
    def settings(self) -> frozenset[str]:
        """The settings that it asks for, by their full names."""
        named = re.compile(r"\b(?:alerts|certificate|remediation|jobs\.\w+)(?:\.[a-z_]\w*)+")
        return frozenset(name for asked in self.asked for name in named.findall(_QUOTED.sub("", asked)))


@cache
def templates() -> tuple[Template, ...]:
    """Every rule of every template."""
    return tuple(found for path in sorted(TEMPLATES.iterdir()) for found in _of(path.read_text()))


def _of(text: str) -> Iterator[Template]:
    asked: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        asked.append(match[1])
        return f"ASKED_{len(asked) - 1}_"

    document = read_yaml(_ASKED.sub(numbered, re.sub(r"\[%.*?%\]\n?", "", text)))
    for rule in (rule for group in document["groups"] for rule in group["rules"]):
        mine = [asked[int(number)] for number in re.findall(r"ASKED_(\d+)_", str(rule))]
        texts = " ".join(rule.get("annotations", {}).values())
        own = [*_of_expression(rule["expr"]), *_of_hold(rule.get("for", "")), *_of_texts(texts)]
        own += [f"asked {number}" for one in mine for number in _of_question(one)]
        yield Template(rule.get("alert") or rule["record"], tuple(mine), frozenset(own))


def _of_expression(expr: str) -> Iterator[str]:
    expr = _QUOTED.sub("", expr)
    yield from re.findall(r"\[\w+\]|offset \d\w*", expr)
    yield from re.findall(r"\d[\w.]*", _NAME.sub("", re.sub(r"\[\w+\]|offset \w+", "", expr)))


def _of_hold(hold: str) -> Iterator[str]:
    if hold and not hold.startswith("ASKED"):
        yield f"for {hold}"


def _of_texts(texts: str) -> Iterator[str]:
    shown = re.sub(r"\{\{.*?\}\}|https\S+|ASKED_\d+_", "", texts)
    yield from (f"says {word}" for word in re.findall(rf"\b(?:\d[\w.]*|{_SPOKEN})\b", shown))


def _of_question(asked: str) -> Iterator[str]:
    """Numbers in what a template asks for: how many looks, and how long a run may take, are no limits."""
    asked = re.sub(r"looks\('[\w-]+', \d\)|\+ (\d+ \* )?(MINUTE|HOUR|DAY)\b", "", asked)
    yield from re.findall(r"\d[\w.]*", _NAME.sub("", _QUOTED.sub("", asked)))

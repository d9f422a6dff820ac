"""Every alert as a row of the table that the documentation prints."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

COLUMNS = ("alert", "severity", "after", "says", "file")


def rows(files: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """The alerts of these rule files: name, severity, how long each waits, what it says, and in which file."""
    for name, text in files.items():
        for group in yaml.safe_load(text)["groups"]:
            yield from (_row(name, rule) for rule in group["rules"] if "alert" in rule)


def _row(file: str, rule: Mapping[str, Any]) -> tuple[str, ...]:
    page = f"[{rule['alert']}](runbooks/{rule['alert']}.md)"
    hold = rule.get("for", "at once")
    return page, rule["labels"]["severity"], hold, _shown(rule["annotations"]["summary"]), f"`{file}`"


def _shown(summary: str) -> str:
    """A summary with a word for each thing that Prometheus puts in: `Agent *agent* is down`."""
    named = re.sub(r"\{\{[^}]*\$labels\.(\w+)[^}]*\}\}", r"*\1*", summary)
    return re.sub(r"\{\{.*?\}\}", "*value*", named)

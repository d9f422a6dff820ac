"""Every alert as a Markdown table, as the documentation prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from exporter.reference import print_markdown


def print_table(files: Mapping[str, str]) -> None:
    """Print the alerts of these rule files: name, severity, how long it waits, what it says, and in which file."""
    print_markdown(("alert", "severity", "after", "says", "file"), _rows(files))


def _rows(files: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
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

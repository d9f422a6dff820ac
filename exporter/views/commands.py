"""Commands that can be typed as they are: ours, and those that a remedy begins with or ends in."""

from __future__ import annotations

import re

_WORDS = r"(?: (?![A-Z]+\b)[A-Za-z0-9_./:=@,+-]+)+"
# Remedies may quote what comes from elsewhere: nothing else than these is ever offered to be typed.
_COMMAND = re.compile(
    r"(?:^|: )((?:sutazai-exporter|docker (?:logs|start|unpause|inspect|ps)|systemctl (?:status|start))"
    rf"{_WORDS})(?: \(.*)?$"
)


def command_in(remedy: str) -> str:
    """The command that a remedy consists of; empty where it is no single one, or wants something filled in."""
    match = _COMMAND.search(remedy)
    return match[1] if match else ""


def run(task: str, mode: str = "") -> str:
    """The command that runs a task now."""
    return f"sutazai-exporter run {task}" + (f" --mode {mode}" if mode else "")

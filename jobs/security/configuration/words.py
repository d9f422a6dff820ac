"""Lines of configuration files taken apart into words."""

from __future__ import annotations

import shlex

_LONG = 4096
TRUE = ("1", "true", "yes", "y", "on")
"""How a variable or a key of YAML, in small letters, says that it is on."""


def split_words(line: str, *, comments: bool = False) -> list[str]:
    """The words of a line as a shell would read its quotes; ValueError where they do not match.

    A line that is longer than any that is meant is taken apart at its blanks alone, which takes no time.
    """
    if len(line) > _LONG:
        return line.split()
    return shlex.split(line, comments=comments)

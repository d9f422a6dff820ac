"""Texts from outside (file names, titles of vulnerabilities, what programs print) as one harmless line."""

from __future__ import annotations

import re

# Line ends and other control characters, and those that turn the direction of what stands around them.
_TREACHEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def plain_line(text: str, limit: int) -> str:
    """`text` in one line of at most `limit` characters, with an escape for every byte that is not UTF-8 (`\\xff`)

    and every character that is no sign of its own. Two names stay two names, as long as they are not cut.
    """
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    return _TREACHEROUS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file's name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"


def beside(subject: str, message: str) -> str:
    """A message as it is shown beside its subject: without that at its beginning."""
    return message.removeprefix(subject).lstrip(":, ") or message


def counted(count: int, one: str, many: str = "") -> str:
    """`1 finding`, `2 findings`."""
    return f"{count} {one if count == 1 else many or one + 's'}"

"""Texts from anywhere, as they may stand on a page: nothing in them is hidden, and none takes the page over."""

from __future__ import annotations

import re

MOST_CHARACTERS = 4000
"""Of one text. What is longer is cut, and says so."""

# Invisible, or not what it looks like.
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, but for tab and line feed
    "\u00ad\u034f\u180e\u200b\u2060-\u2064\ufeff\U000e0000-\U000e007f"  # of no width
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"  # that turn the direction of writing
    "\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # letters that look like nothing
    "\u2028\u2029\ufff9-\ufffb"  # separators of lines that break no line, annotations
    "\ud800-\udfff\ufdd0-\ufdef"  # halves of surrogates, and what is no character
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    + "]"
)


def visible(text: str) -> str:
    r"""The text with what cannot be seen written as an escape: a right-to-left override becomes `\u202e`."""
    text = text.replace("\r\n", "\n")
    shown = _INVISIBLE.sub(_escape, text[:MOST_CHARACTERS])
    missing = len(text) - MOST_CHARACTERS
    return f"{shown}… ({missing:,} more characters)" if missing > 0 else shown


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

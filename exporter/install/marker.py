"""The first line of what we write where others write as well: whose a file is, and whether it is as we left it."""

from __future__ import annotations

import hashlib
import re
from enum import Enum

_FIRST_LINE = re.compile(rb"# Written by sutazai-exporter \(sha256:([0-9a-f]{64})\)[^\n]*\n")


class Whose(Enum):
    """What a file is to us."""

    NOBODYS = "not there"
    OURS = "as we wrote it"
    CHANGED = "ours, changed by hand since"
    OTHERS = "not ours"


def marked(body: str) -> bytes:
    """The file whose text is `body`, with its first line."""
    digest = hashlib.sha256(body.encode()).hexdigest()
    note = "your own changes belong in a drop-in or in the configuration; `sutazai-exporter uninstall` removes it"
    return f"# Written by sutazai-exporter (sha256:{digest}): {note}.\n{body}".encode()


def whose(content: bytes | None) -> Whose:
    """What a file with this content is; None: there is none."""
    if content is None:
        return Whose.NOBODYS
    match = _FIRST_LINE.match(content)
    if not match:
        return Whose.OTHERS
    same = hashlib.sha256(content[match.end() :]).hexdigest().encode() == match[1]
    return Whose.OURS if same else Whose.CHANGED

"""The style sheet of report pages, and what a policy knows it by."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

_FILE = Path(__file__).parent / "templates" / "report.css"


def style() -> str:
    """The sheet as it stands in each page."""
    return _FILE.read_text("utf-8")


def style_hash() -> str:
    """Its hash as a Content-Security-Policy names it (https://www.w3.org/TR/CSP3/#match-element-to-source-list)."""
    return f"sha256-{b64encode(sha256(style().encode()).digest()).decode()}"

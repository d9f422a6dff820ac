"""Secrets are taken out of everything that leaves a run, whoever put them there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote, unquote

MASK = "***"
_SHORTEST = 4
"""A shorter secret would blank ordinary words; such a secret protects nothing anyway."""
_SHORTEST_KEY = 16
_HTTP_URL = re.compile(r"(https?://[^/?#]*)(.*)", re.DOTALL | re.IGNORECASE)
_DSN_PASSWORD = re.compile(r"(\w+://[^\s:/@]*:)([^\s@]+)(@)")
_KEY_VALUE_PASSWORD = re.compile(r"\bpassword\s*=\s*(?:'((?:[^'\\]|\\.)*)'|([^\s'&]+))")


def passwords_in(text: str) -> list[str]:
    """The passwords within a URL (as written there and as meant) or a key=value connection string."""
    found = [match[2] for match in _DSN_PASSWORD.finditer(text)]
    found += [re.sub(r"\\(.)", r"\1", quoted) or plain for quoted, plain in _KEY_VALUE_PASSWORD.findall(text)]
    return [form for password in found for form in dict.fromkeys((password, unquote(password))) if form]


def shown_url(url: str) -> str:
    """The scheme and the server of an HTTP URL, with `/…` for what comes after: many services have their key there."""
    server, rest = halves_of(url)
    return f"{server}/…" if rest else server


def keys_in(url: str) -> list[str]:
    """What comes after the server of an HTTP URL, and each part of it, where it may be a key (as written and as meant).

    Nothing short and no words in small letters: these stand in other texts too, such as the paths of files.
    """
    _, rest = halves_of(url)
    keys = [part for part in (rest, *re.split("[/?&=#]", rest)) if len(part) >= _SHORTEST_KEY]
    return [form for key in keys if re.search("[0-9A-Z]", key) for form in dict.fromkeys((key, unquote(key)))]


def secrets_of_url(url: str) -> list[str]:
    """What to mask of an HTTP URL of which only the server may be seen: its keys, else the URL as a whole."""
    return keys_in(url) or ([url] if halves_of(url)[1] else [])


def halves_of(url: str) -> tuple[str, str]:
    """An HTTP URL up to its path, and the rest, which is empty if that is but a slash; of other text nothing."""
    found = _HTTP_URL.fullmatch(url)
    return (found[1], found[2].rstrip("/")) if found else ("", "")


def _jinja_escaped(text: str) -> str:
    """As MarkupSafe writes it into a page; it has other numbers for the quotes than Python."""
    return escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


def _json_escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


class Redactor:
    """Replaces known secrets, and passwords in URLs, by `***`."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {
            form
            for text in secrets
            if len(text) >= _SHORTEST
            for form in (text, quote(text, safe=""), escape(text), _jinja_escaped(text), _json_escaped(text))
        }
        ordered = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """The text without secrets."""
        if self._known:
            text = self._known.sub(MASK, text)
        return _DSN_PASSWORD.sub(rf"\1{MASK}\3", text) if "://" in text else text

    def document(self, value: Any) -> Any:
        """A JSON-like value without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.document(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.document(inner) for inner in value]
        return value

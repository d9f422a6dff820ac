"""HTTP to services on loopback, past any proxy that the environment names."""

from __future__ import annotations

from typing import Any

import requests

TRANSIENT: tuple[type[Exception], ...] = (OSError, ValueError, KeyError, requests.RequestException)
"""What asking a service raises while it starts: nobody listens, or the answer is not what it will be."""


def ask(method: str, url: str, *, timeout: float = 10, **options: Any) -> requests.Response:
    """Send one request and return the answer, whatever its status."""
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, timeout=timeout, **options)


def get_json(url: str, **options: Any) -> Any:
    """The JSON at `url`; raise when its status is an error."""
    answer = ask("GET", url, **options)
    answer.raise_for_status()
    return answer.json()

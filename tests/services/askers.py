"""Hooks for schemathesis: each request has the token, and an address of its own, as a proxy on this machine would tell.

So nobody is on this machine, who may read without a token, and nobody is put off for the wrong tokens of others.
"""

from __future__ import annotations

import itertools
import os
from typing import Any

import schemathesis

_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name the address."""
    number = next(_numbers)
    case.headers["X-Forwarded-For"] = f"198.18.{number // 250 % 250}.{number % 250 + 1}"


@schemathesis.auth()
class Token:
    """Shows the token of the environment where schemathesis does not leave it out on purpose."""

    def get(self, case: Any, context: Any) -> str:
        """The header."""
        return os.environ["AUTHORIZATION"]

    def set(self, case: Any, data: str, context: Any) -> None:
        """Put it into a request."""
        case.headers["Authorization"] = data

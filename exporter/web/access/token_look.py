"""Looks whether the tokens have changed, for those who must answer whatever the disk does."""

from __future__ import annotations

import asyncio
import logging

from exporter.web.access.tokens import Tokens

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""A disk that does not say by then whether the tokens have changed is not waited for: what was known goes on."""


class TokenLook:
    """One look at a time for all who ask at once."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._look: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Wait for a look, but not for ever; raise TokenError where it found tokens that cannot be read."""
        # A look that is under way may have seen the file before it changed: what it misses the next one sees.
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(asyncio.to_thread(self._read), name="look at the tokens")
        try:
            await asyncio.wait_for(asyncio.shield(self._look), PATIENCE_SECONDS)
        except TimeoutError:
            logger.warning("the tokens are not looked at: the disk does not answer")

    def _read(self) -> None:
        self._tokens.load()

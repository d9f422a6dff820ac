"""Telling what of a tree was not looked at: how much, and the first of it by name."""

from __future__ import annotations

from collections.abc import Sequence

from jobs.clients.tree import Told, shown
from jobs.security.scanner import Look

NAMED = 5
"""So many paths are named; the others are counted."""


def tell_unread(look: Look, told: Told) -> None:
    """Tell which paths could not be read."""
    unread = [f"{shown(path)} ({reason})" for path, reason in sorted(told.unread)]
    places = [] if told.unread_more else [shown(path) for path, _ in told.unread]
    tell_missed(look, len(unread) + told.unread_more, unread, "could not be read", places)


def tell_missed(look: Look, number: int, paths: Sequence[str], what: str, places: Sequence[str]) -> None:
    """Tell that so many were missed, which the paths are the first of; nothing where there are none.

    `places` are all of them; none where they are too many to be known.
    """
    if number:
        others = " and others" if number > NAMED else ""
        look.missed(f"{number:,} {what}: {'; '.join(paths[:NAMED])}{others}", *places)

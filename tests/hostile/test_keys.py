"""Idempotency keys without end: what is kept of one asker has a limit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.store import Store, idempotency
from exporter.store.idempotency import KEPT, Keys, TooManyKeys

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def test_an_asker_has_so_many_keys_and_takes_none_of_another_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_KEYS", 3)
    store, begun = Store(tmp_path / "store.db"), []
    keys = Keys(store)

    def ask(who: str, key: str, at: datetime = NOON) -> str:
        def enqueue(mark: Callable[[], None]) -> None:
            begun.append((who, key))

        return keys.answer(who, key, "start", at, key, enqueue)

    assert [ask("greedy", f"k{number}") for number in range(3)] == ["k0", "k1", "k2"]
    with pytest.raises(TooManyKeys):
        ask("greedy", "k3")
    assert ask("greedy", "k0") == "k0", "what was answered is answered still"
    assert ask("other", "k3") == "k3"
    assert ask("greedy", "k3", NOON + KEPT + timedelta(seconds=1)) == "k3"
    assert begun == [("greedy", "k0"), ("greedy", "k1"), ("greedy", "k2"), ("other", "k3"), ("greedy", "k3")]
    store.close()

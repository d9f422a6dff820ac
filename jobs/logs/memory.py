"""What the log rotation remembers between runs.

data/log-rotation/pending.json   an archive that is written while its source is not yet cut or removed
data/log-rotation/state.json     figures of the last rotation, and sizes to measure growth by
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from jobs.core.clock_jump import ClockMark
from jobs.core.files import atomic_write, read_small, sync_directory

MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Pending:
    """The next thing to be done to a source once its archive is in place.

    `names` are those that the source may bear in `directory`; `size` bytes of it are in the archive;
    `first_block` is where it began on the disk before the cut, `filler` what is to stand at its head after it.
    """

    kind: Literal["cut", "remove"]
    directory: str
    names: tuple[str, ...]
    inode: int
    size: int
    archive: str
    first_block: int | None = None
    filler: str = ""


@dataclass
class State:
    """Figures by name. `sizes` holds for each directory the bytes, and when they were counted."""

    skipped: dict[str, int] | None = None
    rotated_at: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    sizes_at: ClockMark | None = None
    growth: dict[str, float] = field(default_factory=dict)


class Memory:
    """The files below `base_dir`; methods raise OSError where the file system refuses."""

    def __init__(self, base_dir: Path) -> None:
        self._directory = base_dir / "data" / "log-rotation"
        self._pending, self._state = self._directory / "pending.json", self._directory / "state.json"

    def pending(self) -> Pending | None:
        """What a run that was cut off had yet to do; None for nothing, or a record that cannot be understood."""
        try:
            found = _read(self._pending)
            if found is None:
                return None
            names = tuple(_of(str, name) for name in found["names"])
            block = found.get("first_block")
            return Pending(
                kind="cut" if found["kind"] == "cut" else "remove",
                directory=_of(str, found["directory"]),
                names=names,
                inode=_of(int, found["inode"]),
                size=_of(int, found["size"]),
                archive=_of(str, found["archive"]),
                first_block=None if block is None else _of(int, block),
                filler=_of(str, found.get("filler", "")),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def remember(self, pending: Pending) -> None:
        """Put down what is to be done, in place of what was done before."""
        _write(self._pending, asdict(pending))

    def settle(self) -> None:
        """Nothing is left to be done."""
        if self._pending.exists():
            self._pending.unlink()
            sync_directory(self._directory)

    def state(self) -> State:
        """What the last run put down; a new one where there is none, or it cannot be understood."""
        try:
            found = _read(self._state) or {}
            at = found.get("sizes_at")
            return State(
                skipped=_numbers(int, found["skipped"]) if found.get("skipped") is not None else None,
                rotated_at=_of(str, found.get("rotated_at", "")),
                sizes=_numbers(int, found.get("sizes", {})),
                sizes_at=None if at is None else ClockMark.model_validate(at),
                growth=_numbers(float, found.get("growth", {})),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return State()

    def save(self, state: State) -> None:
        """Put the state down."""
        at = state.sizes_at.model_dump(mode="json") if state.sizes_at else None
        # `asdict` copies what it finds, and the zone of a local time cannot be copied.
        _write(self._state, {**asdict(replace(state, sizes_at=None)), "sizes_at": at})


def _write(path: Path, document: Mapping[str, Any]) -> None:
    # ASCII: file names that are not UTF-8 come out as escapes and back again.
    atomic_write(path, json.dumps(document, indent=1).encode() + b"\n")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = read_small(path, MAX_BYTES)
    except FileNotFoundError:
        return None
    document: dict[str, Any] = _of(dict, json.loads(content))
    return document


def _of(kind: type[Any], value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{kind.__name__} expected")
    return value


def _numbers(kind: type[Any], value: Any) -> dict[str, Any]:
    return {_of(str, name): kind(_of((int, float), number)) for name, number in _of(dict, value).items()}  # type: ignore[arg-type]

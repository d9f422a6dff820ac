"""Series in memory and the bodies that a scrape gets: rendered when something changes, not when somebody asks.

Both formats share their sample lines and differ in the header of counters and the final `# EOF`
(Prometheus text format 0.0.4, OpenMetrics 1.0.0). The process's own figures are appended at each scrape.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from isal import isal_zlib

from jobs.core.model import Family, MetricType, clean_text

Labels = tuple[tuple[str, str], ...]
"""Label names and values, in the order of the family's label names."""
SeriesKey = tuple[str, Labels]
"""A suffix (`_bucket` of a histogram, else empty) and the labels."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_EOF = b"# EOF\n"
_GZIP_HEADER = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])


class Body(NamedTuple):
    """One format's prepared part: plain, and as the beginning of a gzip member that `gzip_with` ends."""

    plain: bytes
    gzip_begin: bytes
    crc: int

    @classmethod
    def prepare(cls, plain: bytes) -> Body:
        """Compress once; a sync flush ends the deflate blocks at a byte, so that more can follow."""
        compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
        blocks = compressor.compress(plain) + compressor.flush(isal_zlib.Z_SYNC_FLUSH)
        return cls(plain, _GZIP_HEADER + blocks, isal_zlib.crc32(plain))

    def gzip_with(self, tail: bytes) -> bytes:
        """One gzip member of the prepared part and a tail of less than 64 KiB, which stands there uncompressed.

        (RFC 1951 section 3.2.4, RFC 1952 section 2.3. A second member would be shorter to write, but curl
        and others stop after the first.)
        """
        stored = struct.pack("<BHH", 1, len(tail), len(tail) ^ 0xFFFF) + tail
        length = (len(self.plain) + len(tail)) & 0xFFFFFFFF
        return self.gzip_begin + stored + struct.pack("<II", isal_zlib.crc32(tail, self.crc), length)


@dataclass
class _Group:
    """A family with its series, each with the text that stands before its value."""

    family: Family
    series: dict[SeriesKey, tuple[str, float]]
    text: bytes = b""


class Exposition:
    """The series of every family in the catalogue."""

    def __init__(self, catalogue: Iterable[Family], max_series_per_family: int = 50_000) -> None:
        self.max_series_per_family = max_series_per_family
        self._groups = {family.name: _Group(family, {}) for family in catalogue}
        self._lock = threading.RLock()
        self._depth = 0
        self._changed: set[str] = set()
        self.text = self.openmetrics = Body.prepare(b"")

    @contextmanager
    def changes(self) -> Iterator[None]:
        """Group changes: the bodies are made anew once, at the end of the outermost group."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0 and self._changed:
                    self._publish()

    def set(self, name: str, value: float, labels: Mapping[str, str] | None = None, suffix: str = "") -> None:
        """Set one series."""
        with self.changes():
            group = self._groups[name]
            key = self._key(group.family, labels or {}, suffix)
            before = group.series.get(key)
            if (before is None or before[1] != value) and self._put(group, key, value):
                self._changed.add(name)

    def replace(
        self, name: str, series: Iterable[tuple[Mapping[str, str], float]], scope: Mapping[str, str] | None = None
    ) -> int:
        """Let a family have these series instead of those that match `scope` (all, if it is empty).

        Where the family lacks a label of the scope, its other series stay. Return how many series were
        dropped because the family was full.
        """
        scope = scope or {}
        with self.changes():
            group = self._groups[name]
            if not scope:
                kept: dict[SeriesKey, tuple[str, float]] = {}
            elif set(scope) <= set(group.family.labels):
                kept = {key: entry for key, entry in group.series.items() if not scope.items() <= dict(key[1]).items()}
            else:
                kept = dict(group.series)
            before, group.series, dropped = group.series, kept, 0
            for labels, value in series:
                key = self._key(group.family, labels, "")
                dropped += not self._put(group, key, value, before.get(key))
            if group.series != before:
                self._changed.add(name)
            return dropped

    def get(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """The value of one series, if it is there."""
        with self._lock:
            group = self._groups[name]
            entry = group.series.get(self._key(group.family, labels or {}, ""))
            return entry[1] if entry else None

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """The labels and value of every series of a family."""
        with self._lock:
            return [(dict(labels), value) for (_, labels), (_, value) in self._groups[name].series.items()]

    def _put(self, group: _Group, key: SeriesKey, value: float, known: tuple[str, float] | None = None) -> bool:
        entry = known or group.series.get(key)
        if entry is None and len(group.series) >= self.max_series_per_family:
            return False
        prefix = entry[0] if entry else _prefix(group.family.name + key[0], key[1])
        group.series[key] = (prefix, value)
        return True

    def _key(self, family: Family, labels: Mapping[str, str], suffix: str) -> SeriesKey:
        names = (*family.labels, "le") if suffix == "_bucket" else family.labels
        if set(labels) != set(names):
            raise ValueError(f"{family.name} has the labels {', '.join(names) or '(none)'}, not {', '.join(labels)}")
        return suffix, tuple((name, _clean(labels[name])) for name in names)

    def _publish(self) -> None:
        for name in self._changed:
            group = self._groups[name]
            group.text = "".join([f"{prefix}{number(value)}\n" for prefix, value in group.series.values()]).encode()
        self._changed.clear()
        shown = [group for group in self._groups.values() if group.series]
        text = b"".join([part for group in shown for part in (_header(group.family, "text"), group.text)])
        openmetrics = b"".join([part for group in shown for part in (_header(group.family, "open"), group.text)])
        self.text = Body.prepare(text)
        self.openmetrics = Body.prepare(openmetrics)

    def scrape(self, *, openmetrics: bool, gzip: bool, process: Callable[[], bytes] = bytes) -> bytes:
        """A complete body; `process` gives the figures that are read now."""
        prepared = self.openmetrics if openmetrics else self.text
        tail = process() + (_EOF if openmetrics else b"")
        return prepared.gzip_with(tail) if gzip else prepared.plain + tail


def number(value: float) -> str:
    """A value as both formats write it."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(text, text)


def _clean(value: str) -> str:
    """A label value that can be encoded, before it is compared: two that only differ in what cannot are one series."""
    return value if value.isascii() else str(clean_text(value))


def _prefix(name: str, labels: Labels) -> str:
    if not labels:
        return f"{name} "
    pairs = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels)
    return f"{name}{{{pairs}}} "


_HEADERS: dict[tuple[str, str], bytes] = {}


def _header(family: Family, kind: str) -> bytes:
    key = (family.name, kind)
    if key not in _HEADERS:
        counter = family.type is MetricType.COUNTER and kind == "open"
        name = family.name.removesuffix("_total") if counter else family.name
        text = family.help.replace("\\", r"\\").replace("\n", r"\n")
        _HEADERS[key] = f"# HELP {name} {text}\n# TYPE {name} {family.type}\n".encode()
    return _HEADERS[key]

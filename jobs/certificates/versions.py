"""The files of our own pair: every version in a directory of its own, and one link that says which is in use.

ssl/cert.pem, ssl/key.pem        links to current/cert.pem and current/key.pem, so that both change at one moment
ssl/current                      link to versions/version_TIME
ssl/versions/version_TIME/       cert.pem (0644) and key.pem (0600)
backups/certificates/backup_TIME/  the pair as it was before a change, and manifest.json (directory 0700)
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from jobs.core.files import atomic_symlink, atomic_write, sync_directory, timestamped
from jobs.core.privileges import may_give_files_away

CERT, KEY = "cert.pem", "key.pem"
_LEFTOVER = re.compile(r"\.new\.[0-9a-f]{16}\.tmp")
_KNOWN_FILES = frozenset({CERT, KEY, "manifest.json"})


@dataclass(frozen=True)
class Pair:
    """A certificate with its chain and its private key, in PEM form."""

    cert: bytes
    key: bytes

    def __repr__(self) -> str:
        """Without the key, wherever it may be printed."""
        return "Pair(…)"


class Versions:
    """The pair below `base_dir`. Every method raises OSError where the file system refuses."""

    def __init__(self, base_dir: Path) -> None:
        self.ssl = base_dir / "ssl"
        self.cert, self.key, self.current = self.ssl / CERT, self.ssl / KEY, self.ssl / "current"
        self.directory = self.ssl / "versions"
        self.backups = base_dir / "backups" / "certificates"

    def in_use(self) -> str:
        """The version that `current` names, empty where it names none."""
        if not self.current.is_symlink() or not self.current.is_dir():
            return ""
        target = self.current.readlink()
        return target.name if target.parent == Path("versions") else ""

    def linked(self) -> bool:
        """Whether both files already follow `current`."""
        return bool(self.in_use()) and all(_leads_to(link, f"current/{link.name}") for link in (self.cert, self.key))

    def prepare(self, pair: Pair, owner: tuple[int, int] | None = None) -> Path:
        """A new directory with a pair in it, not yet a version; `owner` (user, group) is whose the key is to be."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return _prepare(self.directory, {CERT: (pair.cert, 0o644), KEY: (pair.key, 0o600)}, 0o755, owner)

    def publish(self, prepared: Path, now: datetime) -> str:
        """Make a prepared directory a version and return its name."""
        return _publish(prepared, "version", now).name

    def adopt(self, pair: Pair, now: datetime, owner: tuple[int, int] | None) -> str:
        """Make a version of the pair that is in use as two plain files, and links of the files.

        At every moment each of the two names holds what it held before.
        """
        name = self.publish(self.prepare(pair, owner), now)
        self.switch(name)
        self.link(CERT, KEY)
        return name

    def switch(self, name: str) -> None:
        """Put a version in use: one rename."""
        atomic_symlink(self.current, f"versions/{name}")

    def link(self, *names: str) -> None:
        """Make links of the files, in this order; what each held is gone."""
        for name in names:
            if not _leads_to(self.ssl / name, f"current/{name}"):
                atomic_symlink(self.ssl / name, f"current/{name}")

    def back_up(self, files: Mapping[str, bytes], fingerprint: str, now: datetime) -> Path:
        """Keep a copy of what is there, with a manifest; whole or not at all."""
        self.backups.mkdir(parents=True, exist_ok=True)
        entries = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
            for name, content in files.items()
        }
        manifest = {
            "kind": "certificates",
            "created": now.isoformat(timespec="seconds"),
            "fingerprint": fingerprint,
            "files": entries,
        }
        contents = {name: (content, 0o600 if name == KEY else 0o644) for name, content in files.items()}
        contents["manifest.json"] = (json.dumps(manifest, indent=2).encode() + b"\n", 0o644)
        return _publish(_prepare(self.backups, contents, 0o700, None), "backup", now)

    def outdated(
        self, now: datetime, keep: int, retention_days: int, coming: int, needed: Collection[str]
    ) -> list[Path]:
        """Versions and backups beyond their number or age, when `coming` of each have come.

        Never a `needed` one, the newest, or one into which somebody has put something else.
        """
        oldest = f"{now - timedelta(days=retention_days):%Y%m%d_%H%M%S}"
        return [
            path
            for parent, stem in ((self.directory, "version"), (self.backups, "backup"))
            for place, (stamp, path) in enumerate(_named(parent, stem))
            if (place + coming >= keep or stamp < oldest) and place > 0
            if path.name not in needed and {entry.name for entry in path.iterdir()} <= _KNOWN_FILES
        ]

    def leftovers(self, now: datetime) -> list[Path]:
        """What runs that were killed have left unfinished."""
        found = [e for p in (self.directory, self.backups) if p.is_dir() for e in p.iterdir()]
        old = now.timestamp() - 3600
        return [e for e in found if _LEFTOVER.fullmatch(e.name) and not e.is_symlink() and e.lstat().st_mtime < old]


def remove(directory: Path) -> None:
    """Remove a version, a backup, or what was left of one."""
    shutil.rmtree(directory)
    sync_directory(directory.parent)


def _leads_to(link: Path, target: str) -> bool:
    return link.is_symlink() and str(link.readlink()) == target


def _prepare(
    parent: Path, files: Mapping[str, tuple[bytes, int]], mode: int, key_owner: tuple[int, int] | None
) -> Path:
    directory = parent / f".new.{secrets.token_hex(8)}.tmp"
    directory.mkdir(mode=0o700)
    try:
        for name, (content, file_mode) in files.items():
            atomic_write(directory / name, content, mode=file_mode)
        if key_owner is not None and may_give_files_away():
            os.chown(directory / KEY, *key_owner)
        directory.chmod(mode)
        sync_directory(directory)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return directory


def _publish(prepared: Path, stem: str, now: datetime) -> Path:
    name, attempt = timestamped(stem, now, ""), 0
    while os.path.lexists(place := prepared.with_name(name(attempt))):
        attempt += 1
    try:
        prepared.rename(place)
    except BaseException:
        shutil.rmtree(prepared, ignore_errors=True)
        raise
    sync_directory(place.parent)
    return place


def _named(parent: Path, stem: str) -> list[tuple[str, Path]]:
    """Directories that are named as we name them, with the time in their name, newest first."""
    pattern = re.compile(rf"{stem}_(\d{{8}}_\d{{6}})(?:_(\d{{1,9}}))?")
    if not parent.is_dir():
        return []
    found = [(m, e) for e in parent.iterdir() if (m := pattern.fullmatch(e.name)) and e.is_dir() and not e.is_symlink()]
    ordered = sorted(found, key=lambda pair: (pair[0][1], int(pair[0][2] or 1)), reverse=True)
    return [(match[1], entry) for match, entry in ordered]

"""Backups on disk: what is told of each, and which may go."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.backups.files import BackupFiles
from jobs.core.backups import Backup, Format, Kind, Manifest, Proof, Verified, database_source, outdated, stem

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHA, OTHER_SHA = "a" * 64, "b" * 64


def manifest(name: str, *, age_days: float = 0, source: str = "main/sutazai", sha256: str = SHA) -> Manifest:
    return Manifest(
        kind=Kind.DATABASE,
        format=Format.CUSTOM_DUMP,
        file=name,
        source=source,
        created=NOW - timedelta(days=age_days),
        bytes=3,
        sha256=sha256,
    )


def backup(name: str, age_days: float, *, source: str = "main/sutazai", proof: Proof | None = None) -> Backup:
    verified = Verified(sha256=SHA, at=NOW, proof=proof, seconds=1) if proof else None
    made = manifest(name, age_days=age_days, source=source)
    return Backup(Path(name), Kind.DATABASE, 3, NOW - timedelta(days=age_days), made, verified)


@pytest.fixture
def files(tmp_path: Path) -> BackupFiles:
    files = BackupFiles(tmp_path)
    files.of(Kind.DATABASE).mkdir(parents=True)
    return files


def made(files: BackupFiles, name: str = "a.dump", **fields: float) -> Path:
    path = files.of(Kind.DATABASE) / name
    path.write_bytes(b"abc")
    files.write_manifest(path, manifest(name, **fields))
    return path


def test_backups_are_listed_newest_first_with_what_is_known_of_them(files: BackupFiles) -> None:
    made(files, "old.dump", age_days=2)
    new = made(files, "new.dump", age_days=1)
    files.write_verified(new, Verified(sha256=SHA, at=NOW, proof=Proof.RESTORED, seconds=2))
    first, second = files.list(Kind.DATABASE, UTC)
    assert [first.path.name, second.path.name] == ["new.dump", "old.dump"]
    assert (first.source, first.proof, second.proof) == ("main/sutazai", Proof.RESTORED, None)
    assert files.list(Kind.REDIS) == []


def test_a_proof_of_another_file_proves_nothing(files: BackupFiles) -> None:
    path = made(files)
    files.write_verified(path, Verified(sha256=OTHER_SHA, at=NOW, proof=Proof.RESTORED, seconds=2))
    assert files.list(Kind.DATABASE)[0].proof is None


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[" * 100_000, b"\xff\xfe", b'{"version": 2}'])
def test_a_manifest_that_cannot_be_understood_is_a_problem_and_no_crash(files: BackupFiles, content: bytes) -> None:
    path = made(files)
    path.with_name("a.dump.manifest.json").write_bytes(content)
    (found,) = files.list(Kind.DATABASE)
    assert found.manifest is None
    assert "a.dump.manifest.json does not hold what it should" in found.problem


def test_a_backup_without_a_manifest_is_told_as_such(files: BackupFiles) -> None:
    made(files).with_name("a.dump.manifest.json").unlink()
    (found,) = files.list(Kind.DATABASE)
    assert "no manifest" in found.problem
    assert found.source == "database"


def test_a_manifest_of_another_backup_does_not_count(files: BackupFiles) -> None:
    path = made(files)
    files.write_manifest(path, manifest("b.dump"))
    assert "another backup" in files.list(Kind.DATABASE)[0].problem


def test_links_pipes_and_what_a_killed_write_left_are_no_backups(files: BackupFiles, tmp_path: Path) -> None:
    directory = files.of(Kind.DATABASE)
    (directory / "link.dump").symlink_to("/etc/passwd")
    os.mkfifo(directory / "pipe.dump")
    (directory / "directory.dump").mkdir()
    (directory / ".a.dump.0123456789abcdef.tmp").write_bytes(b"")
    (directory / "notes.txt").write_bytes(b"")
    assert files.list(Kind.DATABASE) == []
    path = made(files)
    path.with_name("a.dump.manifest.json").unlink()
    path.with_name("a.dump.manifest.json").symlink_to("/etc/passwd")
    assert "cannot be read" in files.list(Kind.DATABASE)[0].problem


def test_names_are_new_and_removal_takes_everything(files: BackupFiles) -> None:
    path = files.new_path(Kind.DATABASE, "sutazai_backup", NOW, Format.SQL)
    assert path.name == "sutazai_backup_20260302_120000.sql.gz"
    made(files, path.name)
    assert files.new_path(Kind.DATABASE, "sutazai_backup", NOW, Format.SQL).name.endswith("_120000_2.sql.gz")
    files.write_verified(path, Verified(sha256=SHA, at=NOW, proof=Proof.INTEGRITY, seconds=2))
    assert {entry.stat().st_mode & 0o777 for entry in path.parent.iterdir() if entry != path} == {0o600}
    files.remove(files.list(Kind.DATABASE)[0])
    assert list(path.parent.iterdir()) == []


def test_what_killed_runs_left_is_known_and_nothing_else_is_touched(files: BackupFiles) -> None:
    directory = files.of(Kind.DATABASE)
    whole = made(files)
    left = [
        ".e.rdb.manifest.json.0123456789abcdef.tmp",
        ".b.dump.0123456789abcdef.tmp",
        ".c.sql.gz.0123456789abcdef.tmp",
        "d.dump.manifest.json",
        "d.dump.verified.json",
    ]
    others = [".a.dump.verified.json.0123456789abcdef.tmp", ".hidden", "notes.txt", "x.manifest.json", "b.dump.tmp"]
    for name in (*left, *others):
        (directory / name).write_text("")
    assert [path.name for path in files.leftovers(Kind.DATABASE)] == sorted(left)
    for path in files.leftovers(Kind.DATABASE):
        files.remove_leftover(path)
    assert {path.name for path in directory.iterdir()} == {whole.name, f"{whole.name}.manifest.json", *others}
    assert files.leftovers(Kind.REDIS) == []


def test_a_source_is_one_line_and_no_two_databases_share_one() -> None:
    names = ["a", "a b;$(id)", "a\nb", "a\tb", "a\x1bb", "a_b"]
    sources = [database_source("main", name) for name in names]
    assert sources[:2] == ["main/a", "main/a b;$(id)"]
    assert all(source.isprintable() for source in sources)
    assert len(set(sources)) == len(names)


def test_names_of_backups_are_safe_and_never_shared() -> None:
    names = [
        "a",
        "a b;$(id)",
        "a_b__id_",
        "--file=x",
        "host=evil dbname=x",
        "../../etc/passwd",
        "ä",
        "x" * 63,
        "a@main",
    ]
    stems = [stem(Kind.DATABASE, "main", name, "sutazai") for name in names]
    stems += [stem(Kind.DATABASE, "other", name, "sutazai") for name in names]
    assert len(set(stems)) == len(stems)
    assert all("/" not in text and not text.startswith(("-", ".")) and text.isascii() for text in stems)
    assert stem(Kind.DATABASE, "main", "sutazai", "sutazai") == "sutazai_backup"
    assert stem(Kind.REDIS) == "redis_backup"


def test_old_backups_go_oldest_first() -> None:
    kept = [backup("new", 1), backup("29", 29)]
    spare = [backup("31", 31), backup("40", 40)]
    assert [one.path.name for one in outdated([*kept, *spare], NOW, 30)] == ["40", "31"]


def test_the_newest_and_the_newest_that_was_restored_stay_whatever_their_age() -> None:
    backups = [
        backup("newest", 31),
        backup("whole", 40, proof=Proof.INTEGRITY),
        backup("restored", 50, proof=Proof.RESTORED),
        backup("older", 60, proof=Proof.RESTORED),
    ]
    assert [one.path.name for one in outdated(backups, NOW, 30)] == ["older", "whole"]


def test_where_none_was_restored_the_newest_that_is_whole_stays() -> None:
    backups = [backup("newest", 31), backup("whole", 40, proof=Proof.INTEGRITY), backup("unproven", 50)]
    assert [one.path.name for one in outdated(backups, NOW, 30)] == ["unproven"]


def test_each_source_keeps_its_own() -> None:
    backups = [backup("a", 31), backup("b", 40, source="main/other")]
    assert outdated(backups, NOW, 30) == []

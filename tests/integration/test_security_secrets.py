"""The scanner of secrets on real trees: where each stands is told, what it is never; what was left out is said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.clients import tree
from jobs.clients.commands import CommandFailed
from jobs.clients.tree import Told, Trees
from jobs.security.filesystem.secrets import SECRETS, order_of
from jobs.security.scanner import Area, Look, OutOfTime, Seen
from jobs.security.secret_patterns import RULES
from jobs.security.settings import Settings
from tests.services.looks import by_rule, clients_of, look
from tests.services.planted import CLEAN, PLANTED, mixed, private_key

PASSWORD = f"DB_PASSWORD={mixed(14)}\n"


def write(path: Path, content: str | bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def scan(base: Path, *, full: bool = True, seconds: float = 60, **changes: Any) -> Seen:
    settings = {"filesystem": {"full_search_directories": [], **changes}}
    return look(SECRETS, clients_of(base), settings, full=full, seconds=seconds)


def places(seen: Seen, base: Path) -> set[tuple[str, int | None]]:
    return {(weakness.subject.removeprefix(f"{base}/"), weakness.line) for weakness in seen.weaknesses}


@pytest.mark.parametrize("full", [True, False], ids=["full", "standard"])
def test_each_kind_is_found_and_its_clean_twin_is_not(tmp_path: Path, full: bool) -> None:
    for name, texts in PLANTED.items():
        for number, text in enumerate(texts):
            write(tmp_path / "weak" / f"{name}-{number}.txt", f"one\n{text}\n")
    for name, texts in CLEAN.items():
        for number, text in enumerate(texts):
            write(tmp_path / "clean" / f"{name}-{number}.txt", f"one\n{text}\n")
    seen = scan(tmp_path, full=full)
    found = {rule: {weakness.subject for weakness in all_of_it} for rule, all_of_it in by_rule(seen).items()}
    assert found == {
        f"secret_{name}": {f"{tmp_path}/weak/{name}-{number}.txt" for number in range(len(texts))}
        for name, texts in PLANTED.items()
    }
    assert {weakness.line for weakness in seen.weaknesses} == {2}
    assert {weakness.path for weakness in seen.weaknesses} == set().union(*found.values())
    assert (seen.missed, seen.details["engine"]) == ([], "hyperscan")


def test_both_engines_tell_the_same(tmp_path: Path) -> None:
    for name, texts in [*PLANTED.items(), *CLEAN.items()]:
        write(tmp_path / f"{name}.txt", "\n".join(texts) * 30)
    records = []
    for without in (False, True):
        order = order_of(Trees([str(tmp_path)]), 1 << 20, without_hyperscan=without)
        told = list(tree.records("jobs.clients.secret_search", order, Told(), timeout_seconds=60))
        records.append(sorted(map(str, (record for record in told if record[0] == "hit"))))
        assert ["engine", "re" if without else "hyperscan"] in told
    assert records[0] == records[1]
    assert len(records[0]) > len(RULES)


def test_no_value_or_part_of_it_is_told(tmp_path: Path) -> None:
    for name, texts in PLANTED.items():
        write(tmp_path / f"{name}.txt", "\n".join(texts))
    values = {text[start : start + 6] for texts in PLANTED.values() for text in texts for start in range(0, 90, 6)}
    telling = {value for value in values if len(value) == 6 and any(c.isdigit() for c in value) and value.isalnum()}
    shown = repr(scan(tmp_path)).replace(str(tmp_path), "")
    assert len(telling) > 50
    assert [value for value in telling if value in shown] == []


def test_several_in_a_file_are_told_apart_by_their_number_as_lines_move(tmp_path: Path) -> None:
    file = write(tmp_path / "a.conf", f"{PASSWORD}\n{PASSWORD}")
    first = scan(tmp_path)
    assert places(first, tmp_path) == {("a.conf", 1), ("a.conf#2", 3)}
    write(file, f"# a comment\n{PASSWORD}{PASSWORD}")
    later = scan(tmp_path)
    assert places(later, tmp_path) == {("a.conf", 2), ("a.conf#2", 3)}
    assert {w.identity(Area.FILESYSTEM) for w in first.weaknesses} == {
        w.identity(Area.FILESYSTEM) for w in later.weaknesses
    }
    assert any("(2 in this file)" in weakness.message for weakness in later.weaknesses)


def test_secrets_where_they_belong_are_none(tmp_path: Path) -> None:
    write(tmp_path / "secrets_secure" / "db", PASSWORD)
    write(tmp_path / "backups" / "x.sql", PASSWORD)
    write(tmp_path / ".git" / "objects" / "x", PASSWORD)
    for name in (
        "ssl/key.pem",
        ".env",
        ".env.production",
        "home/.pgpass",
        "home/.ssh/id_rsa",
        "home/.docker/config.json",
    ):
        write(tmp_path / name, PASSWORD + private_key(), 0o600)
    assert scan(tmp_path).weaknesses == []
    (tmp_path / "ssl" / "key.pem").chmod(0o644)
    write(tmp_path / ".git" / "config", f"url = https://x:{mixed(16)}@git.internal/a.git\n", 0o600)
    write(tmp_path / "logs" / "app.log", PASSWORD, 0o600)
    assert {subject for subject, _ in places(scan(tmp_path), tmp_path)} == {
        "ssl/key.pem",
        ".git/config",
        "logs/app.log",
    }


def test_long_texts_are_searched_to_their_end_and_keys_over_the_seams(tmp_path: Path) -> None:
    line = b"2026-01-01 a line of a log, as there are many\n"
    many = line * ((4 << 20) // len(line) - 2)
    key = private_key().encode()
    text = many + key + many + key + PASSWORD.encode()
    write(tmp_path / "app.log", text)
    expected = {text[:at].count(b"\n") + 1 for at in (text.index(key), text.rindex(key), text.index(PASSWORD.encode()))}
    assert {weakness.line for weakness in scan(tmp_path).weaknesses} == expected


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-8-sig"])
def test_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    content = PASSWORD.encode(encoding)
    write(tmp_path / "a.txt", b"\xfe\xff" + content if encoding == "utf-16-be" else content)
    assert places(scan(tmp_path), tmp_path) == {("a.txt", 1)}


def test_what_is_not_searched_is_said(tmp_path: Path) -> None:
    write(tmp_path / "archive.gz", b"\x1f\x8b\x08\0" + PASSWORD.encode())
    with write(tmp_path / "sparse.img", b"").open("r+b") as sparse:
        sparse.truncate(1 << 30)
    large = write(tmp_path / "large.txt", b"text\n" * 250_000)
    seen = scan(tmp_path, max_searched_mb=1)
    assert seen.details["binary_files"] == 2
    assert seen.missed == [f"1 are larger than 1 MB: {large}"]
    assert seen.scanned == 0


def test_full_and_standard_search_different_directories(tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    base.mkdir()
    write(other / "a.conf", PASSWORD)
    changes = {"full_search_directories": [str(other)]}
    assert scan(base, full=False, **changes).weaknesses == []
    assert len(scan(base, full=True, **changes).weaknesses) == 1
    assert len(scan(base, full=False, search_directories=[str(other)]).weaknesses) == 1
    assert scan(base, full=True, **changes, search_exclude=["*.conf"]).weaknesses == []


def test_hits_beyond_the_first_of_a_file_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.conf", "".join(f"A_PASSWORD={mixed(14)}\n" for _ in range(60)))
    seen = scan(tmp_path)
    assert len(seen.weaknesses) == 20
    assert "(60 in this file)" in seen.weaknesses[0].message


def test_without_time_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        scan(tmp_path, seconds=0)


def test_what_was_reached_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> Iterator[list[object]]:
        yield ["hit", f"{tmp_path}/a.conf", "password", 1, 7, 1]
        raise CommandFailed("the search has ended", None)

    monkeypatch.setattr(tree, "records", failing)
    told = Look(Settings(), clients_of(tmp_path), full=True, unit="texts", deadline=math.inf)
    with pytest.raises(CommandFailed):
        SECRETS.scan(told)
    assert places(told.so_far(), tmp_path) == {("a.conf", 7)}

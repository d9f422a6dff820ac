"""What is told of single files, and what is remembered, without any service."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from jobs.backups.files import BackupFiles
from jobs.clients.errors import Absent
from jobs.core.backups import Format, Kind, Manifest
from jobs.core.drills import Drill, DrillState, differences, major_of
from jobs.core.plain_dump import PlainDump, Rows, Unusable
from jobs.verification.integrity import Checked, Integrity, State
from jobs.verification.items import all_items
from jobs.verification.state import Memory, PastRun, StateFiles
from tests.services.pem_pairs import pem_pair

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DUMP = b"--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
KEYED = DUMP + b"\\unrestrict " + b"k" * 63 + b"\n\n"


def no_pg_restore(major: int | None) -> str:
    raise Absent("there is no pg_restore")


class Shelf:
    """Backups of a base directory, written as they like, and checked."""

    def __init__(self, base_dir: Path) -> None:
        self.files = BackupFiles(base_dir)

    def put(self, name: str, content: bytes) -> Path:
        path = self.files.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def put_with_manifest(self, kind: Kind, form: Format, content: bytes, members: Mapping[str, str] | None) -> Path:
        path = self.put(f"{kind}/a{form}", content)
        manifest = Manifest(
            kind=kind,
            format=form,
            file=path.name,
            source=kind,
            created=NOW,
            bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            members=members or {},
        )
        self.files.write_manifest(path, manifest)
        return path

    def checked(self) -> dict[str, Checked]:
        integrity = Integrity(lambda: False, no_pg_restore, monotonic)
        return {item.name: integrity.check(item) for item in all_items(self.files, UTC)}

    def only(self) -> Checked:
        (one,) = self.checked().values()
        return one


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def sums(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


# --- plain dumps without a manifest ---


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(DUMP),
        gzip.compress(KEYED),
        gzip.compress(DUMP[:40]) + gzip.compress(DUMP[40:]),
        gzip.compress(DUMP) + b"\0" * 512,
        gzip.compress(DUMP.replace(b"database dump", b"database cluster dump")),
    ],
)
def test_a_whole_plain_dump_is_whole_without_a_manifest_too(shelf: Shelf, content: bytes) -> None:
    shelf.put("database/x.sql.gz", content)
    one = shelf.only()
    assert (one.state, one.reason) == (State.VERIFIED, "")
    assert one.notes == ("it has no manifest: it was made by something else, or its making was cut off",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"\0" * 20, "it is empty"),
        (gzip.compress(b""), "it unpacks to nothing"),
        (gzip.compress(b"pg_dump: error: connection failed\n"), "it does not begin as a dump"),
        (gzip.compress(DUMP)[:-1], "it is cut off"),
        (gzip.compress(DUMP[:60]), "it is cut off"),
        # Cut at the border of two members, which gzip does not notice.
        (gzip.compress(DUMP[:60]) + gzip.compress(b""), "it is cut off"),
        (gzip.compress(DUMP) + b"more", "it "),
        (DUMP, "it does not unpack"),
    ],
)
def test_a_plain_dump_that_is_not_whole_is_damaged(shelf: Shelf, content: bytes, reason: str) -> None:
    shelf.put("database/x.sql.gz", content)
    one = shelf.only()
    assert one.state is State.FAILED
    assert one.reason.startswith(reason) or reason in one.reason


def test_a_custom_dump_that_nobody_can_read_through_is_unknown(shelf: Shelf) -> None:
    shelf.put("database/x.dump", b"PGDMP and more")
    assert (shelf.only().state, shelf.only().reason) == (State.UNKNOWN, "there is no pg_restore")


@pytest.mark.parametrize("at", [0, 5_000_000, 11_999_999])
def test_a_bit_of_a_big_file_is_found_wherever_it_is(shelf: Shelf, at: int) -> None:
    content = b"PGDMP" + os.urandom(12_000_000 - 5)
    path = shelf.put_with_manifest(Kind.DATABASE, Format.CUSTOM_DUMP, content, None)
    assert (shelf.only().state, shelf.only().sha256) == (State.VERIFIED, hashlib.sha256(content).hexdigest())
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert shelf.only().state is State.FAILED


def test_a_file_of_another_size_is_told_without_being_read(shelf: Shelf) -> None:
    path = shelf.put_with_manifest(Kind.DATABASE, Format.SQL, gzip.compress(DUMP), None)
    os.truncate(path, 10)
    assert shelf.only().reason.startswith("it has 10 bytes and should have ")


def test_a_file_that_goes_while_it_is_looked_at_is_no_failure(shelf: Shelf) -> None:
    path = shelf.put("database/x.sql.gz", gzip.compress(DUMP))
    (item,) = all_items(shelf.files, UTC)
    path.unlink()
    assert Integrity(lambda: False, no_pg_restore, monotonic).check(item).state is State.GONE


# --- certificates ---


def test_a_key_is_a_key_and_no_corrupt_certificate(shelf: Shelf) -> None:
    certificate, key = pem_pair()
    shelf.put("certificates/cert.pem", certificate)
    shelf.put("certificates/key.pem", key)
    shelf.put("certificates/backup_20260101_040000/cert.pem", certificate)
    shelf.put("certificates/backup_20260101_040000/key.pem", key)
    checked = shelf.checked()
    assert {one.state for one in checked.values()} == {State.VERIFIED}
    assert len(checked) == 3


@pytest.mark.parametrize("name", ["cert.pem", "key.pem"])
def test_a_damaged_certificate_or_key_is_told(shelf: Shelf, name: str) -> None:
    certificate, key = pem_pair()
    content = {"cert.pem": certificate, "key.pem": key}[name]
    shelf.put(f"certificates/{name}", content[:40] + content[80:])
    one = shelf.only()
    assert one.state is State.FAILED
    assert "cannot be read" in one.reason


@pytest.mark.parametrize("content", [b"", b"no PEM at all\n", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_pem_is_told(shelf: Shelf, content: bytes) -> None:
    shelf.put("certificates/cert.pem", content)
    assert shelf.only().state is State.FAILED


def test_a_pair_that_does_not_belong_together_is_told(shelf: Shelf) -> None:
    shelf.put("certificates/backup_20260101_040000/cert.pem", pem_pair()[0])
    shelf.put("certificates/backup_20260101_040000/key.pem", pem_pair()[1])
    assert shelf.only().reason == "key.pem is not the key of cert.pem"


def listed_pair(shelf: Shelf) -> None:
    files = dict(zip(("cert.pem", "key.pem"), pem_pair(), strict=True))
    for name, content in files.items():
        shelf.put(f"certificates/backup_20260101_040000/{name}", content)
    told = {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()}
    shelf.put("certificates/backup_20260101_040000/manifest.json", json.dumps({"files": told}).encode())


def test_a_pair_with_a_list_of_its_files_is_checked_by_it(shelf: Shelf) -> None:
    listed_pair(shelf)
    checked = shelf.only()
    assert (checked.state, checked.item.has_manifest) == (State.VERIFIED, True)


@pytest.mark.parametrize("how", ["changed", "removed", "added", "list broken"])
def test_a_pair_that_is_not_what_its_list_says_is_damaged(shelf: Shelf, how: str) -> None:
    listed_pair(shelf)
    directory = shelf.files.directory / "certificates/backup_20260101_040000"
    if how == "changed":
        certificate, key = pem_pair()
        (directory / "cert.pem").write_bytes(certificate + b"\n")
        (directory / "key.pem").write_bytes(key)
    elif how == "removed":
        (directory / "key.pem").unlink()
    elif how == "added":
        (directory / "other.pem").write_bytes(pem_pair()[0])
    else:
        (directory / "manifest.json").write_bytes(b'{"files": 1}')
    checked = shelf.only()
    assert checked.state is State.FAILED
    assert "manifest.json" in checked.reason


def test_a_directory_without_any_certificate_is_told(shelf: Shelf) -> None:
    shelf.put("certificates/backup_20260101_040000/readme", b"x")
    assert shelf.only().reason == "there is no certificate or key in it"


def test_pairs_in_an_archive_must_belong_together(shelf: Shelf) -> None:
    files = {"ssl/cert3.pem": pem_pair()[0], "ssl/privkey3.pem": pem_pair()[1]}
    shelf.put_with_manifest(Kind.CERTIFICATES, Format.TAR, tar(files), sums(files))
    assert shelf.only().reason == "ssl/privkey3.pem is not the key of ssl/cert3.pem"


# --- archives ---


def test_a_file_in_an_archive_that_was_changed_is_named(shelf: Shelf) -> None:
    files = {"config/a.yml": b"a: 1\n", "config/b.yml": b"b: 2\n"}
    members = {**sums(files), "config/b.yml": "0" * 64}
    shelf.put_with_manifest(Kind.CONFIG, Format.TAR, tar(files), members)
    assert shelf.only().reason == "'config/b.yml' differs"


@pytest.mark.parametrize(
    ("members", "reason"),
    [({"a": b"1", "b": b"2"}, "'b' is missing"), ({}, "'a' is not in its manifest")],
)
def test_a_file_too_few_or_too_many_is_named(shelf: Shelf, members: Mapping[str, bytes], reason: str) -> None:
    shelf.put_with_manifest(Kind.CONFIG, Format.TAR, tar({"a": b"1"}), sums(members))
    assert shelf.only().reason == reason


def test_a_configuration_that_cannot_be_read_is_a_note_on_a_faithful_backup(shelf: Shelf) -> None:
    files = {"config/a.yml": b"a: [\n"}
    shelf.put_with_manifest(Kind.CONFIG, Format.TAR, tar(files), sums(files))
    one = shelf.only()
    assert (one.state, one.notes) == (State.VERIFIED, ("config/a.yml is not YAML (line 2)",))


@pytest.mark.parametrize("how", [lambda content: content[:-9], lambda content: content[: len(content) // 2]])
def test_an_archive_of_the_scripts_before_that_is_cut_off_is_damaged(
    shelf: Shelf, how: Callable[[bytes], bytes]
) -> None:
    shelf.put("system/s.tar.gz", how(tar({"a": os.urandom(20_000)})))
    assert shelf.only().state is State.FAILED


@pytest.mark.parametrize("content", [gzip.compress(b""), tar({}), gzip.compress(b"x" * 2000)])
def test_an_archive_with_nothing_in_it_is_no_backup(shelf: Shelf, content: bytes) -> None:
    shelf.put("config/c.tar.gz", content)
    assert shelf.only().state is State.FAILED


# --- Redis ---


@pytest.mark.parametrize("content", [b"REDIS0011", b"nonsense", b"REDIS0011" + b"\xff" + b"\1" * 8])
def test_a_snapshot_that_is_none_is_damaged(shelf: Shelf, content: bytes) -> None:
    shelf.put_with_manifest(Kind.REDIS, Format.RDB, content, None)
    assert shelf.only().state is State.FAILED


# --- plain dumps taken apart ---

TEXT = (
    b"--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET lock_timeout = 0;\nSET transaction_timeout = 0;\n\n"
    b"--\n-- Name: t; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE public.t (a text);\n\n\n"
    b"ALTER TABLE public.t OWNER TO o;\n\n"
    b"--\n-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: o\n--\n\n"
    b"COPY public.t (a) FROM stdin;\nx\n\\N\n\\\\.\n\\.\n\n\n"
    b"COPY public.e (a) FROM stdin;\n\\.\n\n\n"
    b"--\n-- Name: TABLE t; Type: ACL; Schema: public; Owner: o\n--\n\nGRANT SELECT ON TABLE public.t TO r;\n\n\n"
    b"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
def test_a_dump_is_taken_apart_the_same_however_it_comes(size: int) -> None:
    parts: list[object] = []
    for part in PlainDump(iter([TEXT[at : at + size] for at in range(0, len(TEXT), size)])).parts():
        parts.append((part.statement, b"".join(iter(part.read, b""))) if isinstance(part, Rows) else part)
    sql, *rows = parts
    assert rows == [
        (b"COPY public.t (a) FROM stdin", b"x\n\\N\n\\\\.\n"),
        (b"COPY public.e (a) FROM stdin", b""),
    ]
    assert isinstance(sql, bytes)
    assert b"CREATE TABLE public.t (a text);" in sql
    assert not [word for word in (b"restrict", b"transaction_timeout", b"OWNER TO", b"GRANT") if word in sql]


def test_a_dump_that_ends_within_rows_is_unusable() -> None:
    with pytest.raises(Unusable, match="cut off"):
        list(PlainDump(iter([TEXT[: TEXT.index(b"\\\\.")]])).parts())


def test_rows_that_nobody_reads_are_passed_over() -> None:
    assert len(list(PlainDump(iter([TEXT])).parts())) == 3


def test_a_long_dump_of_inserts_comes_in_pieces() -> None:
    text = b"".join(b"INSERT INTO public.t VALUES (%d, 'a;\nINSERT');\n" % n for n in range(20_000))
    parts = list(PlainDump(iter([text[i : i + 8192] for i in range(0, len(text), 8192)])).parts())
    assert len(parts) > 5
    assert b"".join(part for part in parts if isinstance(part, bytes)) == text


# --- comparing ---


def manifest(**fields: object) -> Manifest:
    base = {"kind": "database", "format": ".dump", "file": "a.dump", "source": "main/x", "created": NOW, "bytes": 1}
    return Manifest.model_validate({**base, "sha256": "a" * 64, "schema_fingerprint": "b" * 64, **fields})


def test_every_difference_is_named() -> None:
    made = manifest(row_counts={"a": 1, "b": 2, "c": 3})
    assert differences(made, "b" * 64, {"a": 1, "b": 2, "c": 3}) == []
    assert differences(made, "c" * 64, {"a": 1, "b": 1, "d": 0}) == [
        "its schema is another one than when it was dumped",
        "table b has 1 rows and had 2",
        "table c is missing",
        "table d was not there when it was dumped",
    ]


@pytest.mark.parametrize(("version", "major"), [("15.18 (Debian 15.18-0+deb12u1)", 15), ("17beta1", None), ("", None)])
def test_a_major_version_is_told_from_words(version: str, major: int | None) -> None:
    assert major_of(version) == major


# --- memory ---


def drill(source: str, state: DrillState, *, days: int = 0) -> Drill:
    at = NOW - timedelta(days=days)
    return Drill(source=source, backup="database/x", created=at, at=at, state=state)


def test_the_newest_backup_that_was_restored_is_remembered_when_a_later_one_fails() -> None:
    memory = Memory().with_drills([drill("a", DrillState.RESTORED, days=7)], ["a"])
    memory = memory.with_drills([drill("a", DrillState.FAILED), drill("a", DrillState.RESTORED, days=9)], ["a"])
    assert memory.restored == {"a": NOW - timedelta(days=7)}
    assert memory.with_drills([], []).drills == {}


def test_history_is_kept_for_its_days() -> None:
    memory = Memory()
    for days in (40, 20, 0):
        past = PastRun(at=NOW - timedelta(days=days), verified=1, failed=days == 20, unknown=0)
        memory = memory.with_run(past, 30)
    assert len(memory.history) == 2
    assert memory.success_ratio() == 2 / 3
    assert Memory().success_ratio() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b'{"version": 2}', b'{"history": 1}'])
def test_a_memory_that_cannot_be_read_is_set_aside(tmp_path: Path, content: bytes) -> None:
    files = StateFiles(tmp_path)
    files.directory.mkdir(parents=True)
    (files.directory / "state.json").write_bytes(content)
    memory, problem = files.load()
    assert memory == Memory()
    assert "does not hold what it should" in problem
    files.set_aside(NOW)
    files.save(memory)
    assert {path.name for path in files.directory.iterdir()} == {"state.json", "state.json.corrupt-20260302_120000"}
    assert files.load() == (memory, "")


def test_evidence_of_odd_names_stays_in_its_directory_and_is_pruned_by_number(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    odd = "main/../../x\n y"
    written = [files.save_evidence(odd, NOW + timedelta(seconds=n // 2), {"n": n}, 3) for n in range(6)]
    directory = tmp_path / "data/backup-verification/evidence"
    assert {path.parent for path in written} == {directory}
    assert sorted(json.loads(path.read_text())["n"] for path in directory.iterdir()) == [3, 4, 5]

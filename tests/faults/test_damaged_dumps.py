"""Two hundred damaged dumps, of eight kinds and both formats: none is accepted, and every undamaged one is."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from time import monotonic

import pytest
from pydantic import SecretStr

from jobs.backups.files import BackupFiles
from jobs.clients.postgres import Postgres
from jobs.clients.postgres_content import Content, read_content
from jobs.core.backups import Format, Kind, Manifest
from jobs.core.drills import DrillState
from jobs.core.settings import PostgresSettings
from jobs.verification.drills import Drills
from jobs.verification.integrity import Integrity, State
from jobs.verification.items import all_items
from jobs.verification.places import Places, find_pg_restore
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment
from tests.services.verification_runs import VerificationRuns

SEED = 20260302
TABLES = 8
SCHEMA = "".join(
    f"CREATE TABLE t{i} (id int PRIMARY KEY, note text NOT NULL, at date DEFAULT '2026-03-0{i + 1}');"
    f"INSERT INTO t{i} SELECT n, md5((n * {i + 7})::text) FROM generate_series(1, {20 + i}) n;"
    for i in range(TABLES)
)
FORMATS = (Format.CUSTOM_DUMP, Format.SQL)
CHANGES = [
    ("ALTER TABLE t0 ADD COLUMN more int", "ALTER TABLE t0 DROP COLUMN more"),
    ("ALTER TABLE t1 ALTER COLUMN note DROP NOT NULL", "ALTER TABLE t1 ALTER COLUMN note SET NOT NULL"),
    ("CREATE INDEX late ON t2 (note)", "DROP INDEX late"),
    ("ALTER TABLE t3 ALTER at SET DEFAULT '2026-04-01'", "ALTER TABLE t3 ALTER at SET DEFAULT '2026-03-04'"),
    ("CREATE VIEW seen AS SELECT id FROM t4", "DROP VIEW seen"),
    ("ALTER TABLE t5 ADD CONSTRAINT few CHECK (id < 1000)", "ALTER TABLE t5 DROP CONSTRAINT few"),
]


@dataclass(frozen=True)
class Damaged:
    """A damaged dump. With `as_made` its manifest names its own size and sha256: only its content can tell."""

    kind: str
    form: Format
    content: bytes
    as_made: bool


class Dumper:
    """Makes dumps of one database."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._server, self._database = server, database

    def dump(self, form: Format, *options: str) -> bytes:
        where = ["-h", self._server.host, "-p", str(self._server.port), "-U", self._server.user, "-d", self._database]
        how = ["-Fc"] if form is Format.CUSTOM_DUMP else ["-Fp"]
        argv = [self._server.program("pg_dump"), *where, *how, *options]
        environment = plain_environment(PGPASSWORD=self._server.password)
        content = subprocess.run(argv, env=environment, capture_output=True, check=True).stdout
        return content if form is Format.CUSTOM_DUMP else gzip.compress(content, mtime=0)

    def text_of(self, custom: bytes) -> bytes:
        """The SQL of a custom dump, without comments, owners and keys; and what pg_restore says of it."""
        argv = [self._server.program("pg_restore"), "--no-owner", "--no-acl", "--file=-"]
        said = subprocess.run(argv, input=custom, env=plain_environment(), capture_output=True, timeout=60)
        kept = [line for line in said.stdout.splitlines() if not re.match(rb"--|\\(un)?restrict ", line)]
        return b"\n".join([*kept, said.stderr])

    def changed(self, form: Format, change: str, undo: str) -> bytes:
        self._server.execute(change, database=self._database)
        try:
            return self.dump(form)
        finally:
            self._server.execute(undo, database=self._database)


@pytest.fixture(scope="module")
def dumper(postgres_server: PostgresServer) -> Iterator[Dumper]:
    postgres_server.create_database("damage")
    postgres_server.execute(SCHEMA, database="damage")
    yield Dumper(postgres_server, "damage")
    postgres_server.execute("DROP DATABASE damage", database="postgres")


def flip(content: bytes, rng: random.Random, first: int = 0) -> bytes:
    at = rng.randrange(first, len(content))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]


def flipped_custom(dumper: Dumper, custom: bytes, rng: random.Random) -> bytes:
    """A custom dump with one bit changed that means something: a bit of its date or of an owner's name does not."""
    good = dumper.text_of(custom)
    return next(changed for _ in range(100) if dumper.text_of(changed := flip(custom, rng)) != good)


def damaged_dumps(good: dict[Format, bytes], dumper: Dumper, rng: random.Random) -> Iterator[Damaged]:
    for form in FORMATS:
        whole = good[form]
        for _ in range(28):
            yield Damaged("bit flip", form, flip(whole, rng), as_made=False)
        for _ in range(25):
            yield Damaged("truncated", form, whole[: rng.randrange(len(whole))], as_made=False)
        for _ in range(10 if form is Format.SQL else 6):
            yield Damaged("truncated", form, whole[: rng.randrange(len(whole))], as_made=True)
        for i in range(6):
            rows = f"DELETE FROM t{i} WHERE id > {15 + i}"
            back = f"INSERT INTO t{i} SELECT n, md5((n * {i + 7})::text) FROM generate_series({16 + i}, {20 + i}) n"
            yield Damaged("fewer rows", form, dumper.changed(form, rows, back), as_made=True)
            yield Damaged("missing table", form, dumper.dump(form, f"--exclude-table=t{i}"), as_made=True)
            yield Damaged("another day's schema", form, dumper.changed(form, *CHANGES[i]), as_made=True)
    for _ in range(20):
        yield Damaged("bit flip", Format.SQL, flip(good[Format.SQL], rng, 10), as_made=True)
    for _ in range(10):
        custom = good[Format.CUSTOM_DUMP]
        yield Damaged("bit flip", Format.CUSTOM_DUMP, flipped_custom(dumper, custom, rng), as_made=True)
    empty = gzip.compress(b"")
    for as_made in (False, True):
        yield Damaged("empty gzip", Format.SQL, empty, as_made)
        yield Damaged("empty gzip", Format.SQL, empty + empty, as_made)
        yield Damaged("empty gzip", Format.SQL, gzip.compress(b"\n"), as_made)
        yield Damaged("nothing", Format.SQL, b"", as_made)
        yield Damaged("nothing", Format.CUSTOM_DUMP, b"", as_made)
        yield Damaged("empty gzip", Format.CUSTOM_DUMP, empty, as_made)


class Bench:
    """Verifies dumps one by one, all in one private cluster."""

    def __init__(self, base_dir: Path, places: Places, runs: VerificationRuns, content: Content, version: str) -> None:
        clients = runs.clients()
        self._files, self._content, self._version = BackupFiles(base_dir), content, version
        self._integrity = Integrity(lambda: False, cache(partial(find_pg_restore, clients)), monotonic)
        self._drills = Drills(clients, places, lambda: 600.0, limit_seconds=60, jobs=2, extensions=())
        self._files.of(Kind.DATABASE).mkdir(parents=True)
        self.drilled = 0

    def accepts(self, form: Format, content: bytes, written_for: bytes) -> bool:
        """Whether a dump is accepted whose manifest was written for another, or the same."""
        path = self._files.of(Kind.DATABASE) / f"sutazai_backup_20260302_030000{form}"
        path.write_bytes(content)
        manifest = Manifest(
            kind=Kind.DATABASE,
            format=form,
            file=path.name,
            source="main/damage",
            created=datetime.now(UTC),
            bytes=len(written_for),
            sha256=hashlib.sha256(written_for).hexdigest(),
            server_version=self._version,
            schema_fingerprint=self._content.schema_fingerprint,
            row_counts=self._content.row_counts,
        )
        self._files.write_manifest(path, manifest)
        (item,) = all_items(self._files, UTC)
        checked = self._integrity.check(item)
        try:
            if checked.state is not State.VERIFIED:
                return False
            self.drilled += 1
            return self._drills.drill(checked).drill.state is DrillState.RESTORED
        finally:
            path.unlink()
            path.with_name(f"{path.name}.manifest.json").unlink()


@pytest.fixture(scope="module")
def bench(postgres_server: PostgresServer, dumper: Dumper, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    base = tmp_path_factory.mktemp("damaged")
    runs = VerificationRuns(base, dsn=postgres_server.dsn_of("damage"))
    postgres = Postgres(PostgresSettings(dsn=SecretStr(postgres_server.dsn_of("damage"))))
    with postgres.session() as session:
        content, major = read_content(session, timeout_seconds=60), session.server_version // 10000
    with Places(runs.clients(), "cluster", None, limit_seconds=600) as places:
        yield Bench(base, places, runs, content, f"{major}.0")


@pytest.mark.parametrize("form", FORMATS)
def test_every_undamaged_dump_is_accepted(bench: Bench, dumper: Dumper, form: Format) -> None:
    for options in ([], ["--no-owner", "--no-acl"], ["--inserts"], ["--column-inserts", "--rows-per-insert=3"]):
        dump = dumper.dump(form, *options)
        assert bench.accepts(form, dump, dump), options


def test_no_damaged_dump_is_accepted(bench: Bench, dumper: Dumper) -> None:
    rng = random.Random(SEED)
    good = {form: dumper.dump(form) for form in FORMATS}
    damaged = list(damaged_dumps(good, dumper, rng))
    assert len(damaged) == 200
    assert len({one.kind for one in damaged}) >= 6
    bench.drilled = 0
    accepted = [
        (number, one.kind, one.form, one.as_made)
        for number, one in enumerate(damaged)
        if bench.accepts(one.form, one.content, one.content if one.as_made else good[one.form])
    ]
    assert accepted == [], Counter(kind for _, kind, _, _ in accepted)
    # Those that no checksum can find were found by restoring them.
    assert bench.drilled >= 36

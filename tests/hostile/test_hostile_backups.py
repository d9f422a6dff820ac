"""Backups made to harm whoever checks or restores them: nothing in them is executed, and nothing leaves its place."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import cache, partial
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import psutil
import pytest

from jobs.core.drills import DrillState
from jobs.core.settings import MAIN_SERVER
from jobs.verification.archives import check_archive
from jobs.verification.drills import Drills
from jobs.verification.integrity import Integrity
from jobs.verification.items import all_items
from jobs.verification.places import Places, find_pg_restore
from jobs.verification.reading import MAX_UNPACKED_BYTES, Damaged, Unverifiable, unzipped
from jobs.verification.texts import problem_of
from tests.services.postgres import PostgresServer
from tests.services.verification_runs import VerificationRuns, change, resqueezed

SOURCE = f"{MAIN_SERVER}/hostile"
ANCHOR = b"SET lock_timeout = 0;"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    postgres_server.create_database("hostile")
    postgres_server.execute(
        "CREATE TABLE t AS SELECT n FROM generate_series(1, 5) n;"
        "CREATE FUNCTION harmless() RETURNS int LANGUAGE sql AS 'SELECT 1 /*" + "." * 200 + "*/'",
        database="hostile",
    )
    yield "hostile"
    postgres_server.execute("DROP DATABASE hostile", database="postgres")


@pytest.fixture
def stage(postgres_server: PostgresServer, database: str, tmp_path: Path) -> VerificationRuns:
    dsn = postgres_server.dsn_of(database)
    return VerificationRuns(tmp_path / "base", dsn=dsn, postgres={"databases": (database,)}, backup_format="sql")


ATTACKS = [
    r"\! touch {mark}",
    r"\o | touch {mark}",
    r"\copy t TO PROGRAM 'touch {mark}'",
    r"\i /etc/passwd",
    r"SELECT 1 \g | touch {mark}",
    r"\unrestrict x" "\n" r"\! touch {mark}",
    r"SELECT '\'; \! touch {mark}",
    r"COPY t TO PROGRAM 'touch {mark}';",
    r"COPY public.t FROM PROGRAM 'touch {mark}';",
    r"COPY (SELECT 'x') TO '{mark}';",
    r"SELECT lo_export(lo_from_bytea(0, 'x'), '{mark}');",
    r"CREATE TABLE stolen AS SELECT pg_read_file('/etc/passwd');",
    r"CREATE FUNCTION system(cstring) RETURNS int AS '/lib/x86_64-linux-gnu/libc.so.6', 'system' LANGUAGE c STRICT;",
    r"CREATE EXTENSION dblink;",
    r"ALTER ROLE CURRENT_USER SUPERUSER;",
    r"RESET SESSION AUTHORIZATION; DROP DATABASE hostile;",
    r"ROLLBACK; SET ROLE sutazai; DROP TABLE t;",
    r"DROP DATABASE hostile WITH (FORCE);",
    r"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'hostile' AND pid <> pg_backend_pid();"
    r" ALTER SYSTEM SET archive_command = 'touch {mark}';",
]


@pytest.mark.parametrize("where", ["cluster", "server"])
def test_nothing_in_a_plain_dump_is_executed_but_sql_that_its_role_may(
    stage: VerificationRuns, postgres_server: PostgresServer, where: Literal["cluster", "server"]
) -> None:
    mark = Path("/tmp") / f"sutazai-hostile-{os.getpid()}-{where}"
    stage.make()
    good, clients, states = stage.newest().read_bytes(), stage.clients(), {}
    integrity = Integrity(lambda: False, cache(partial(find_pg_restore, clients)), monotonic)
    with Places(clients, where, None, limit_seconds=600) as places:
        drills = Drills(clients, places, lambda: 600.0, limit_seconds=60, jobs=2, extensions=())
        for attack in ("SELECT 1;", *ATTACKS):
            line = attack.replace("{mark}", str(mark)).encode()
            harmful = resqueezed(lambda text, line=line: text.replace(ANCHOR, ANCHOR + b"\n" + line + b"\n"))
            change(stage.newest(), lambda _, harmful=harmful: harmful(good), as_made=True)
            (item,) = all_items(stage.files, UTC)
            states[attack] = drills.drill(integrity.check(item)).drill.state
            assert not mark.exists(), attack
    assert states.pop("SELECT 1;") is DrillState.RESTORED
    assert [attack for attack, state in states.items() if state is DrillState.RESTORED] == []
    assert postgres_server.execute("SELECT count(*) FROM t", database="hostile") == [(5,)]
    assert postgres_server.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^sutazai_drill'") == [(0,)]


def test_rows_that_look_like_commands_are_rows(stage: VerificationRuns, postgres_server: PostgresServer) -> None:
    postgres_server.execute(
        "CREATE TABLE texts (line text); INSERT INTO texts VALUES"
        " (E'\\\\! touch x'), (E'\\\\.'), (E'a\\nCOPY t FROM stdin;'), (NULL), (''); CREATE FUNCTION odd() RETURNS text"
        " LANGUAGE sql AS E'SELECT ''\n\\\\! touch x\n--\n'';'",
        database="hostile",
    )
    try:
        stage.make()
        assert stage.verify("full", drill="cluster").verdict == 0
    finally:
        postgres_server.execute("DROP TABLE texts; DROP FUNCTION odd()", database="hostile")


@pytest.mark.parametrize("where", ["cluster", "server"])
def test_a_custom_dump_with_copy_to_program_does_not_run_it(
    stage: VerificationRuns, tmp_path: Path, where: str
) -> None:
    mark = f"/tmp/sutazai-hostile-custom-{os.getpid()}-{where}"
    stage.make(backup_format="custom")

    def harmful(content: bytes) -> bytes:
        at = content.index(b"CREATE FUNCTION public.harmless()")
        until = content.index(b"*/", at) + 2
        statement = f"COPY (SELECT 1) TO PROGRAM 'touch {mark}'; --".encode()
        return content[:at] + statement.ljust(until - at, b"-") + content[until:]

    change(stage.newest(), harmful, as_made=True)
    result = stage.verify("full", drill=where)
    assert result.verdict == 2
    (finding,) = [finding for finding in result.findings if finding.kind == "drill_failed"]
    assert "external program" in finding.message
    assert not Path(mark).exists()


# --- archives ---


def archive(*members: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in members:
            info, content = member if isinstance(member, tuple) else (member, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return iter([buffer.getvalue()])


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def ignored(name: str, content: bytes) -> None:
    """Looks at no file."""


@pytest.mark.parametrize("expected", [None, {}])
@pytest.mark.parametrize(
    "members",
    [
        (entry("../outside"),),
        (entry("/etc/cron.d/x"),),
        (entry("a/../../b"),),
        (entry("device", tarfile.CHRTYPE),),
        (entry("disk", tarfile.BLKTYPE),),
        (entry("pipe", tarfile.FIFOTYPE),),
        (entry("hard", tarfile.LNKTYPE, "/etc/shadow"),),
        (entry("up", tarfile.SYMTYPE, "/etc"), entry("up/passwd")),
        (entry("here", tarfile.SYMTYPE, "."), entry("here/x")),
    ],
)
def test_an_archive_that_would_harm_is_rejected(members: Any, expected: dict[str, str] | None) -> None:
    with pytest.raises(Damaged):
        check_archive(archive((entry("fine"), b"x"), *members), expected, ignored)


def test_a_link_out_of_an_archive_that_we_did_not_make_is_rejected() -> None:
    link = entry("key.pem", tarfile.SYMTYPE, "../../etc/ssl/key.pem")
    with pytest.raises(Damaged, match="a link to"):
        check_archive(archive((entry("fine"), b"x"), link), None, ignored)
    assert check_archive(archive(link), {}, ignored) == [
        "key.pem is a link to ../../etc/ssl/key.pem, which is not in it"
    ]


def test_a_file_that_stands_twice_in_an_archive_is_rejected() -> None:
    with pytest.raises(Damaged, match="twice"):
        check_archive(archive((entry("a"), b"1"), (entry("a"), b"2")), None, ignored)


def test_a_header_of_gigabytes_is_not_read() -> None:
    info = tarfile.TarInfo("long")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    with pytest.raises(Damaged, match="a header of"):
        check_archive(iter([info.tobuf(tarfile.GNU_FORMAT)]), None, ignored)


def test_a_sparse_file_is_not_walked() -> None:
    info = tarfile.TarInfo("holes")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    content = b"0\n".ljust(512, b"\0")
    info.size = len(content)
    data = info.tobuf(tarfile.PAX_FORMAT) + content + b"\0" * 1024
    with pytest.raises((Damaged, Unverifiable)):
        check_archive(iter([data]), None, ignored)


def test_a_gzip_bomb_is_unpacked_in_small_pieces() -> None:
    pieces = unzipped(iter([gzip.compress(b"\0" * (64 << 20))]))
    assert max(map(len, pieces)) <= MAX_UNPACKED_BYTES


def test_a_gzip_bomb_ends_with_the_time() -> None:
    ticks = iter(range(1000))
    with pytest.raises(Unverifiable, match="time"):
        list(unzipped(iter([gzip.compress(b"\0" * (64 << 20))]), lambda: next(ticks) > 3))


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.yml", b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b,*b]\n", ""),
        ("a.yml", b"[" * 20_000, "a.yml is nested too deep"),
        ("a.yml", b"a: [", "a.yml is not YAML (line 1)"),
        ("a.json", b"[" * 200_000, "a.json is nested too deep"),
        ("a.json", b'{"password": hunter2}', "a.json is not JSON (line 1)"),
        (".env", b"A=1\nexport B='x\ny'\n# c\nC\n", ""),
        ("x.env", b"A=1\nsecret words here\n", "x.env has no assignment in line 2"),
        ("a.yaml", b"\xff\xfe", "a.yaml is not UTF-8"),
        ("a.bin", b"\xff", ""),
    ],
)
def test_a_configuration_file_is_parsed_and_its_values_are_not_told(name: str, content: bytes, problem: str) -> None:
    assert problem_of(name, content) == problem


# --- names and kinds of files ---


def test_links_pipes_and_directories_are_no_backups_and_are_not_opened(stage: VerificationRuns) -> None:
    stage.make()
    directory = stage.newest().parent
    os.mkfifo(directory / "pipe.dump")
    (directory / "link.dump").symlink_to("/dev/zero")
    (directory / "directory.dump").mkdir()
    (directory / "evil\x1b[2J\udcff.sql.gz").write_bytes(b"x")
    result = stage.verify()
    (finding,) = [finding for finding in result.findings if finding.kind == "backup_damaged"]
    assert "\x1b" not in finding.message
    assert finding.message.encode()
    (directory / "evil\x1b[2J\udcff.sql.gz").unlink()
    assert stage.verify().verdict == 0


# --- secrets ---


def test_no_secret_is_in_arguments_environments_reports_or_files(
    stage: VerificationRuns,
    postgres_server: PostgresServer,
    run_cli: Callable[..., Any],
    tmp_path: Path,
) -> None:
    stage.make(backup_format="custom")
    told = tmp_path / "told"
    # Its life is shorter than a look at all processes: it tells of itself.
    real = postgres_server.program("pg_restore")
    spy = tmp_path / "programs" / "pg_restore"
    spy.parent.mkdir()
    spy.write_text(f"""#!/bin/sh\n(tr '\\0' '\\n' </proc/$$/environ; echo "$0 $*") >>{told}\nexec {real} "$@"\n""")
    spy.chmod(0o755)
    config = {
        "postgres": {"dsn": postgres_server.dsn_of("hostile"), "databases": ["hostile"], "programs": [spy.parent]},
        "jobs": {"backup_verification": {"drill": "server"}},
    }
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in psutil.Process().children(recursive=True):
                try:
                    seen.append("\0".join([*process.cmdline(), *process.environ().values()]))
                except psutil.Error:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = run_cli("run", "backup-verification", "--mode", "full", "--json", base_dir=stage.base_dir, config=config)
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stdout
    seen.append(told.read_text())
    assert "pg_restore --" in seen[-1] and "SUTAZAI_RUN_ID=" in seen[-1], seen[-1]
    secret = postgres_server.password
    assert [text for text in seen if secret in text] == []
    assert secret not in done.stdout + done.stderr
    written = [path for path in stage.base_dir.rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []


def test_the_password_of_a_drill_reaches_the_server_only_as_a_hash(
    stage: VerificationRuns, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.clients import pg_scratch

    stage.make()
    canary = "canary-of-the-drill-77"
    monkeypatch.setattr(pg_scratch.secrets, "token_urlsafe", lambda size: canary)
    postgres_server.execute("ALTER SYSTEM SET log_statement = 'all'")
    postgres_server.execute("SELECT pg_reload_conf()")
    try:
        result = stage.verify("full", drill="server")
    finally:
        postgres_server.execute("ALTER SYSTEM RESET log_statement")
        postgres_server.execute("SELECT pg_reload_conf()")
    assert result.verdict == 0
    log = postgres_server.log_file.read_text()
    assert "CREATE ROLE" in log and canary not in log
    assert canary not in result.model_dump_json()

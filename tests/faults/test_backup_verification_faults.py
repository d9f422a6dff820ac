"""Faults 17 to 21 and a full disk: damaged dumps are rejected, and what a killed drill leaves is collected."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.backup_verification import JOB
from jobs.clients import pg_scratch
from jobs.clients.pg_scratch import Place
from jobs.core.settings import MAIN_SERVER
from tests.services.disks import ext4, make_read_only
from tests.services.exporter_daemon import command_line, environment_of, write_config
from tests.services.postgres import PostgresServer
from tests.services.verification_runs import VerificationRuns, change, flipped, kinds, value
from tests.services.wait import wait_for

SOURCE = f"{MAIN_SERVER}/faulty"


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    postgres_server.create_database("faulty")
    postgres_server.execute(
        "CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 500) n", database="faulty"
    )
    yield "faulty"
    postgres_server.execute("DROP DATABASE faulty", database="postgres")


@pytest.fixture
def stage(postgres_server: PostgresServer, database: str, tmp_path: Path) -> VerificationRuns:
    dsn = postgres_server.dsn_of(database)
    return VerificationRuns(tmp_path / "base", dsn=dsn, postgres={"databases": (database,)})


def drills(server: PostgresServer) -> list[str]:
    names = "SELECT datname FROM pg_database UNION SELECT rolname FROM pg_roles"
    return [name for (name,) in server.execute(names) if str(name).startswith("sutazai_drill_")]


def clusters(base_dir: Path) -> list[Path]:
    place = Place.of(base_dir)
    return [path for path in Path(tempfile.gettempdir()).iterdir() if place.owns(path.name)]


@pytest.mark.parametrize("form", ["custom", "sql"])
@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("truncated", lambda content: content[: len(content) // 2]),
        ("flipped bit", flipped(-600)),
        ("valid but empty gzip", lambda content: gzip.compress(b"")),
        ("empty", lambda content: b""),
    ],
)
@pytest.mark.parametrize("as_made", [False, True])
def test_a_damaged_dump_is_rejected(
    stage: VerificationRuns, form: str, fault: str, how: Callable[[bytes], bytes], as_made: bool
) -> None:
    stage.make(backup_format=form)
    stage.verify()
    change(stage.newest(), how, as_made=as_made)
    # A flipped bit in a custom dump of which even the manifest tells is found by restoring it.
    result = stage.verify("full" if as_made and form == "custom" else "standard", drill="server")
    assert (result.status, result.verdict) == ("FAILED", 2), fault
    assert stage.backups()[0].proof is None
    told = [finding for finding in result.findings if finding.kind in ("backup_damaged", "drill_failed")]
    assert stage.newest().name in told[0].message


@pytest.mark.parametrize("form", ["custom", "sql"])
def test_a_dump_of_another_schema_is_rejected(
    stage: VerificationRuns, postgres_server: PostgresServer, form: str
) -> None:
    stage.make(backup_format=form)
    path = stage.newest()
    manifest = path.with_name(f"{path.name}.manifest.json")
    mine = json.loads(manifest.read_text())
    stage.clock.advance(60)
    postgres_server.execute("ALTER TABLE t ADD COLUMN later int", database="faulty")
    try:
        stage.make(backup_format=form)
    finally:
        postgres_server.execute("ALTER TABLE t DROP COLUMN later", database="faulty")
    other = stage.newest()
    assert other != path
    content = other.read_bytes()
    for leftover in (other, other.with_name(f"{other.name}.manifest.json")):
        leftover.unlink()
    change(path, lambda _: content, as_made=True)
    assert json.loads(manifest.read_text())["schema_fingerprint"] == mine["schema_fingerprint"]
    result = stage.verify("full", drill="server")
    assert result.verdict == 2
    (finding,) = [finding for finding in result.findings if finding.kind == "drill_failed"]
    assert "its schema is another one" in finding.message
    assert value(result, "sutazai_restore_drill_state", source=SOURCE, state="failed") == 1


# --- fault 21 ---


def endless(content: bytes) -> bytes:
    text = gzip.decompress(content)
    return gzip.compress(text.replace(b"SET lock_timeout = 0;", b"SELECT pg_sleep(3600);"))


@pytest.mark.parametrize("where", ["server", "cluster"])
def test_what_a_killed_drill_has_left_is_collected_at_the_next_start(
    stage: VerificationRuns, postgres_server: PostgresServer, where: str, run_cli: Callable[..., Any]
) -> None:
    stage.make(backup_format="sql")
    good = stage.newest().read_bytes()
    change(stage.newest(), endless, as_made=True)
    config = {
        "postgres": {"dsn": postgres_server.dsn_of("faulty"), "databases": ["faulty"]},
        "jobs": {"backup_verification": {"drill": where}},
    }
    env = environment_of(stage.base_dir)
    env["SUTAZAI_CONFIG_FILE"] = str(write_config(stage.base_dir.parent / "killed.yml", config))
    command = command_line("run", JOB.name, "--mode", "full")
    run = subprocess.Popen(command, env=env, cwd=stage.base_dir.parent, stdout=subprocess.DEVNULL)
    try:
        left = (lambda: drills(postgres_server)) if where == "server" else (lambda: _restoring(stage.base_dir))
        wait_for(left, 60, "the drill is under way")
        family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
        # All at once but the servers: they outlive whoever started them.
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by itself meanwhile
                if "postgres" not in process.name():
                    process.kill()
    finally:
        run.kill()
        run.wait(30)
    assert drills(postgres_server) if where == "server" else clusters(stage.base_dir)
    change(stage.newest(), lambda _: good, as_made=True)
    done = run_cli("run", JOB.name, "--mode", "full", "--json", base_dir=stage.base_dir, config=config)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert [action["verb"] for action in result["actions"]].count("remove") == 1
    assert (drills(postgres_server), clusters(stage.base_dir)) == ([], [])
    assert not [p for p in psutil.process_iter(["cmdline"]) if str(stage.base_dir) in (p.info["cmdline"] or [])]


def _restoring(base_dir: Path) -> bool:
    """Whether a private cluster is there and somebody sleeps in it."""
    here = [str(path / "data") for path in clusters(base_dir)]
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:3] == ["-D", *here]:
            titles = (child.cmdline() for child in process.children())
            return any("sutazai_drill" in " ".join(title) and "SELECT" in " ".join(title) for title in titles)
    return False


def test_scratch_databases_of_others_are_left_alone_while_they_may_be_in_use(
    stage: VerificationRuns, postgres_server: PostgresServer
) -> None:
    now = datetime.now().astimezone()
    stage.make()
    names = {
        "sutazai_drill_11111111_00000001": now,
        "sutazai_drill_11111111_00000002": now - timedelta(days=2),
        "sutazai_drill_11111111_00000003": None,
        "sutazai_drill_mine": now - timedelta(days=2),
    }
    for name, since in names.items():
        postgres_server.create_database(name)
        if since:
            comment = f"sutazai-exporter: restore drill of elsewhere since {since.isoformat()}"
            postgres_server.execute(f"COMMENT ON DATABASE {name} IS '{comment}'", database="postgres")
    in_use = postgres_server.connect("sutazai_drill_11111111_00000002")
    try:
        assert [action.verb for action in stage.verify().actions] == []
        in_use.close()
        gone = "sutazai_drill_11111111_00000002"
        wait_for(
            lambda: not postgres_server.execute("SELECT FROM pg_stat_activity WHERE datname = %s", (gone,)),
            30,
            "it is not in use",
        )
        (action,) = stage.verify().actions
        assert (action.verb, action.subject) == ("remove", f"{MAIN_SERVER}/{gone}")
        assert set(drills(postgres_server)) == names.keys() - {gone}
    finally:
        in_use.close()
        for name in names:
            postgres_server.execute(f"DROP DATABASE IF EXISTS {name}", database="postgres")


def test_a_server_killed_in_mid_drill_leaves_it_unknown_and_the_next_run_collects(
    stage: VerificationRuns, postgres_factory: Callable[..., PostgresServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_factory()
    server.execute("CREATE TABLE t (n int)")
    runs = VerificationRuns(stage.base_dir, dsn=server.dsn, postgres={"databases": (server.database,)})
    runs.make()
    real = pg_scratch._make_database

    def killing(*arguments: Any) -> None:
        real(*arguments)
        server.kill()

    monkeypatch.setattr(pg_scratch, "_make_database", killing)
    result = runs.verify("full", drill="server")
    monkeypatch.undo()
    assert ("drill_unknown", f"{MAIN_SERVER}/{server.database}") in kinds(result)
    assert result.verdict == 1
    server.start()
    assert len(drills(server)) == 1
    result = runs.verify("full", drill="server")
    assert result.verdict == 0
    assert [action.verb for action in result.actions] == ["remove", "restore"]
    assert drills(server) == []


# --- the disk ---


def test_a_file_system_without_room_or_without_writes_is_told_and_nothing_is_claimed(
    postgres_server: PostgresServer, database: str
) -> None:
    with ext4() as mount:
        base = mount / "base"
        runs = VerificationRuns(base, dsn=postgres_server.dsn_of(database), postgres={"databases": (database,)})
        runs.make()
        result = runs.verify("full", drill="cluster", drill_directory=mount)
        (finding,) = result.findings
        assert finding.kind == "drill_unknown" and "set drill_directory to a place with more" in finding.message
        runs.backups()[0].path.with_name(f"{runs.backups()[0].path.name}.verified.json").unlink()
        make_read_only(mount)
        result = runs.verify("full", drill="cluster")
        assert result.verdict == 1
        assert ("not_written", "files") in kinds(result) and ("not_written", "state") in kinds(result)
        assert value(result, "sutazai_backups_checked", kind="database", result="verified") == 1
        assert runs.backups()[0].verified is None

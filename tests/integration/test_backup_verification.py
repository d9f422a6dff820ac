"""The backup verification on real backups, a real PostgreSQL, and private clusters."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.backup_verification import JOB, Settings
from jobs.core.backups import Kind, Proof
from jobs.core.model import Request
from jobs.core.settings import MAIN_SERVER
from tests.integration.test_postgres_content import SCHEMA
from tests.services.pem_pairs import write_pair
from tests.services.postgres import PostgresServer
from tests.services.redis import RedisServer
from tests.services.trees import tree_digest
from tests.services.verification_runs import VerificationRuns, change, edit_manifest, flipped, kinds, value

SOURCE = f"{MAIN_SERVER}/verified"
FORMATS = ["custom", "sql"]


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[str]:
    postgres_server.create_database("verified")
    postgres_server.execute(SCHEMA, database="verified")
    postgres_server.execute("CREATE ROLE reader")
    postgres_server.execute("GRANT SELECT ON owner TO reader", database="verified")
    postgres_server.execute("ALTER TABLE owner FORCE ROW LEVEL SECURITY", database="verified")
    postgres_server.execute("COMMENT ON EXTENSION pg_trgm IS 'not ours to comment on'", database="verified")
    postgres_server.execute("COMMENT ON TABLE owner IS E'a\\n\\\\! touch x'", database="verified")
    postgres_server.execute("SELECT lo_from_bytea(0, 'a large object')", database="verified")
    yield "verified"
    postgres_server.execute("DROP DATABASE verified", database="postgres")
    postgres_server.execute("DROP ROLE reader", database="postgres")


@pytest.fixture
def stage(postgres_server: PostgresServer, database: str, tmp_path: Path) -> VerificationRuns:
    base = tmp_path / "base"
    (base / "config").mkdir(parents=True)
    (base / "config" / "stack.yml").write_text("services: {api: {image: x}}\n")
    return VerificationRuns(
        base, dsn=postgres_server.dsn_of(database), postgres={"databases": (database,)}, backup_format="custom"
    )


def drills(server: PostgresServer) -> list[str]:
    """What there is on a server of drills: databases and roles."""
    sql = "SELECT datname FROM pg_database WHERE datname ~ '^sutazai_drill' UNION ALL SELECT rolname FROM pg_roles "
    return [str(name) for (name,) in server.execute(sql + "WHERE rolname ~ '^sutazai_drill'")]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("where", ["cluster", "server"])
def test_a_good_dump_is_restored_compared_and_proven(
    stage: VerificationRuns, postgres_server: PostgresServer, form: str, where: str
) -> None:
    stage.make(backup_format=form)
    result = stage.verify("full", drill=where)
    assert (result.status, result.verdict, result.findings) == ("VERIFIED", 0, ())
    (backup,) = stage.backups()
    assert backup.proof is Proof.RESTORED
    assert value(result, "sutazai_restore_drill_state", source=SOURCE, state="restored") == 1
    assert value(result, "sutazai_backup_success_ratio") == 1
    taken = value(result, "sutazai_restore_drill_restore_seconds", source=SOURCE)
    assert taken and taken > 0
    point = value(result, "sutazai_backup_recovery_point_timestamp_seconds", source=SOURCE)
    assert point == backup.created.timestamp()
    assert drills(postgres_server) == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_dump_of_the_newest_postgres_is_restored_in_a_cluster_of_its_version(
    newest_postgres_server: PostgresServer, tmp_path: Path, form: str
) -> None:
    newest_postgres_server.create_database("newest")
    newest_postgres_server.execute(SCHEMA.replace("CREATE EXTENSION pg_trgm;", ""), database="newest")
    runs = VerificationRuns(
        tmp_path / "base",
        dsn=newest_postgres_server.dsn_of("newest"),
        postgres={"databases": ("newest",), "programs": (Path(newest_postgres_server.program("pg_dump")).parent,)},
        backup_format=form,
    )
    try:
        runs.make()
        for where in ("cluster", "server"):
            result = runs.verify("full", drill=where)
            assert (result.verdict, result.findings) == (0, ()), where
    finally:
        newest_postgres_server.execute("DROP DATABASE newest", database="postgres")


def test_evidence_of_a_drill_says_what_was_restored_where_and_what_was_found(stage: VerificationRuns) -> None:
    stage.make()
    stage.verify("full", drill="cluster")
    (file,) = (stage.base_dir / "data/backup-verification/evidence").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    evidence = json.loads(file.read_text())
    assert (evidence["source"], evidence["state"], evidence["differences"]) == (SOURCE, "restored", [])
    assert evidence["where"].startswith("a private cluster of PostgreSQL ")
    assert evidence["row_counts"]['"public"."owner"'] == 7
    assert evidence["restore_seconds"] <= evidence["seconds"]


def test_evidence_is_kept_up_to_its_number(stage: VerificationRuns) -> None:
    stage.make()
    for _ in range(3):
        stage.verify("full", drill="off", evidence_files=2)
        stage.verify("full", drill="server", evidence_files=2)
    assert len(list((stage.base_dir / "data/backup-verification/evidence").iterdir())) == 2


def test_a_standard_run_proves_files_and_keeps_what_was_restored(stage: VerificationRuns) -> None:
    stage.make()
    assert stage.verify().verdict == 0
    assert stage.backups()[0].proof is Proof.INTEGRITY
    stage.verify("full", drill="server")
    first = stage.backups()[0].verified
    stage.clock.advance(3600)
    result = stage.verify()
    second = stage.backups()[0].verified
    assert first and second and second.at > first.at
    assert (second.proof, second.seconds) == (Proof.RESTORED, first.seconds)
    # The figures of the last drill are those of the run that made it.
    assert value(result, "sutazai_restore_drill_timestamp_seconds", source=SOURCE) == pytest.approx(
        first.at.timestamp()
    )
    assert value(result, "sutazai_restore_drill_state", source=SOURCE, state="restored") == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_file_loses_its_proof(stage: VerificationRuns, form: str) -> None:
    stage.make(backup_format=form)
    stage.verify()
    path = stage.newest()
    change(path, flipped(path.stat().st_size // 2))
    result = stage.verify()
    assert (result.status, result.verdict) == ("FAILED", 2)
    assert ("backup_damaged", f"database/{path.name}") in kinds(result)
    assert stage.backups()[0].verified is None
    assert [action.verb for action in result.actions] == ["take back the proof of"]
    assert value(result, "sutazai_backups_checked", kind="database", result="failed") == 1
    assert value(result, "sutazai_backup_damaged", kind="database", file=f"database/{path.name}") == 1
    assert value(result, "sutazai_backups_checked", kind="config", result="verified") == 1


def test_where_the_newest_cannot_be_restored_the_next_is_tried(stage: VerificationRuns) -> None:
    stage.make()
    old = stage.newest()
    stage.clock.advance(3600)
    stage.make()
    newest = stage.newest()
    assert newest != old
    edit_manifest(newest, row_counts={'"public"."owner"': 8})
    result = stage.verify("full", drill="server")
    assert result.verdict == 2
    assert ("drill_failed", SOURCE) in kinds(result)
    by_name = {backup.path: backup.proof for backup in stage.backups()}
    assert by_name == {newest: None, old: Proof.RESTORED}
    point = value(result, "sutazai_backup_recovery_point_timestamp_seconds", source=SOURCE)
    assert point == stage.backups()[1].created.timestamp()


def test_with_verify_all_every_dump_is_restored(stage: VerificationRuns) -> None:
    stage.make()
    stage.clock.advance(3600)
    stage.make(backup_format="sql")
    stage.verify("full", drill="server", verify_all=True)
    assert {backup.proof for backup in stage.backups()} == {Proof.RESTORED}


@pytest.mark.parametrize("mode", ["standard", "full"])
def test_a_dry_run_says_everything_and_writes_nothing(
    stage: VerificationRuns, postgres_server: PostgresServer, mode: str
) -> None:
    stage.make()
    postgres_server.create_database("sutazai_drill_00000000_00000000")
    before = tree_digest(stage.base_dir)
    try:
        result = stage.verify(mode, dry_run=True)
    finally:
        postgres_server.execute("DROP DATABASE sutazai_drill_00000000_00000000", database="postgres")
    assert tree_digest(stage.base_dir) == before
    assert not any(action.done for action in result.actions)
    verbs = [action.verb for action in result.actions]
    assert verbs == ["check", "check"] + (["restore"] if mode == "full" else [])
    assert result.samples == ()


# --- what cannot be done is unknown ---


def test_a_drill_that_cannot_be_made_is_unknown_and_named(stage: VerificationRuns) -> None:
    stage.make()
    edit_manifest(stage.newest(), server_version="99.1")
    result = stage.verify("full", drill="cluster")
    assert (result.status, result.verdict) == ("INCOMPLETE", 1)
    assert ("drill_unknown", SOURCE) in kinds(result)
    assert value(result, "sutazai_restore_drill_state", source=SOURCE, state="unknown") == 1
    assert value(result, "sutazai_restore_drill_restore_seconds", source=SOURCE) is None
    assert stage.backups()[0].proof is Proof.INTEGRITY


def test_a_role_that_may_make_no_database_leaves_it_unknown(
    stage: VerificationRuns, postgres_server: PostgresServer
) -> None:
    stage.make()
    postgres_server.execute("CREATE ROLE poor LOGIN PASSWORD 'poor-secret'")
    try:
        poor = VerificationRuns(
            stage.base_dir,
            dsn=postgres_server.dsn_of("verified").replace(
                f"{postgres_server.user}:{postgres_server.password}", "poor:poor-secret"
            ),
            postgres={"databases": ("verified",)},
        )
        result = poor.verify("full", drill="server")
    finally:
        postgres_server.execute("DROP ROLE poor", database="postgres")
    assert result.verdict == 1
    (finding,) = [finding for finding in result.findings if finding.kind == "drill_unknown"]
    assert "may not create databases" in finding.message


def test_a_role_that_only_makes_databases_restores_as_itself(
    stage: VerificationRuns, postgres_server: PostgresServer
) -> None:
    postgres_server.create_database("plainly")
    postgres_server.execute("CREATE TABLE t AS SELECT generate_series(1, 9)", database="plainly")
    postgres_server.execute("CREATE ROLE maker LOGIN CREATEDB PASSWORD 'maker-secret'")
    postgres_server.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO maker", database="plainly")
    dsn = postgres_server.dsn_of("plainly")
    secret = f"{postgres_server.user}:{postgres_server.password}"
    own = VerificationRuns(
        stage.base_dir / "own",
        dsn=dsn.replace(secret, "maker:maker-secret"),
        postgres={"databases": ("plainly",)},
    )
    try:
        own.make()
        assert own.verify("full", drill="server").verdict == 0
        assert own.backups()[0].proof is Proof.RESTORED
        # Of a dump that nobody here has made, its role might do what it likes to other databases.
        own.newest().with_name(f"{own.newest().name}.manifest.json").unlink()
        result = own.verify("full", drill="server")
        (finding,) = [finding for finding in result.findings if finding.kind == "drill_unknown"]
        assert "not restored as itself" in finding.message
    finally:
        postgres_server.execute("DROP DATABASE plainly", database="postgres")
        postgres_server.execute("DROP ROLE maker", database="postgres")
    assert drills(postgres_server) == []


def test_a_restore_past_its_time_is_ended_and_unknown(stage: VerificationRuns) -> None:
    stage.make(backup_format="sql")

    def endless(content: bytes) -> bytes:
        text = gzip.decompress(content)
        return gzip.compress(text.replace(b"SET lock_timeout = 0;", b"SELECT pg_sleep(3600);"))

    change(stage.newest(), endless, as_made=True)
    result = stage.verify("full", drill="cluster", max_verification_seconds=1)
    (finding,) = [finding for finding in result.findings if finding.kind == "drill_unknown"]
    assert "not restored within 1 s" in finding.message


# --- completeness, age, storage ---


def test_an_empty_directory_is_a_missing_backup_and_not_a_file(stage: VerificationRuns) -> None:
    (stage.base_dir / "backups" / "database").mkdir(parents=True)
    result = stage.verify()
    assert (result.status, result.verdict) == ("FAILED", 2)
    assert ("backup_missing", SOURCE) in kinds(result)
    assert value(result, "sutazai_backup_missing", kind="database", source=SOURCE) == 1
    assert value(result, "sutazai_backup_success_ratio") == 0
    assert result.report and result.report["completeness_summary"]["backup_counts"]["database"] == 0
    assert result.report["verification_results"]["total_verified"] == 0


def test_nothing_known_and_nothing_there_is_not_configured(tmp_path: Path) -> None:
    runs = VerificationRuns(tmp_path)
    clients = runs.clients()
    clients.__dict__["postgres_servers"] = ()
    result = JOB.run(Settings(), clients, Request(task=JOB.name, mode="standard"))
    assert (result.status, result.verdict, result.report) == ("NOT_CONFIGURED", 0, None)


def test_a_server_that_does_not_answer_makes_it_incomplete(stage: VerificationRuns) -> None:
    stage.make()
    away = VerificationRuns(stage.base_dir, dsn="postgresql://u:some-secret@127.0.0.1:1/d")
    result = away.verify()
    assert result.verdict == 1
    assert ("sources_unknown", "postgres") in kinds(result)
    assert "some-secret" not in result.model_dump_json()


def test_backups_of_databases_that_are_too_old_are_told(stage: VerificationRuns) -> None:
    stage.make()
    stage.clock.advance(8 * 86400)
    result = stage.verify()
    assert (result.status, result.verdict) == ("INCOMPLETE", 1)
    assert ("backup_too_old", SOURCE) in kinds(result)
    assert value(result, "sutazai_backup_max_age_seconds") == 7 * 86400
    assert stage.verify(max_backup_age_days=9).verdict == 0


@pytest.mark.parametrize(("warn", "most", "expected"), [(0.001, 0.002, "high"), (0.001, 100, "medium")])
def test_a_full_disk_is_told(stage: VerificationRuns, warn: float, most: float, expected: str) -> None:
    stage.make()
    result = stage.verify(storage_warn_percent=warn, storage_max_percent=most)
    assert result.verdict == 1
    (finding,) = [finding for finding in result.findings if finding.kind == "backup_storage"]
    assert finding.severity == expected
    used = shutil.disk_usage(stage.base_dir)
    ratio = value(result, "sutazai_backup_storage_used_ratio")
    assert ratio == pytest.approx(used.used / (used.used + used.free), abs=0.01)


def test_the_success_ratio_is_over_recorded_history(stage: VerificationRuns) -> None:
    stage.make(backup_config_paths=())
    assert value(stage.verify(), "sutazai_backup_success_ratio") == 1
    change(stage.newest(), flipped(9))
    # Two of two, then one of two.
    assert value(stage.verify(), "sutazai_backup_success_ratio") == 0.75
    stage.clock.advance(31 * 86400)
    assert value(stage.verify(), "sutazai_backup_success_ratio") == 0.5


def test_what_the_time_did_not_suffice_for_is_unknown_and_comes_first_the_next_time(stage: VerificationRuns) -> None:
    stage.make()
    clients = stage.clients()
    ticks = iter(range(0, 10**7, 2000))

    class Hurried:
        now = stage.clock.now

        def monotonic(self) -> float:
            return float(next(ticks))

    clients.clock = Hurried()
    result = JOB.run(Settings(max_run_seconds=1000), clients, Request(task=JOB.name, mode="standard"))
    assert result.verdict == 1
    unknown = [finding for finding in result.findings if finding.kind == "backup_unknown"]
    assert len(unknown) == 2 and all("time of the run" in finding.message for finding in unknown)


# --- what other programs have left ---


def test_backups_of_the_scripts_before_are_checked_as_far_as_can_be(stage: VerificationRuns) -> None:
    stage.make(backup_format="sql")
    plain = gzip.decompress(stage.newest().read_bytes())
    backups = stage.base_dir / "backups"
    shutil.rmtree(backups)
    (backups / "database").mkdir(parents=True)
    (backups / "database" / "sutazai_backup_20260101_030000.sql.gz").write_bytes(gzip.compress(plain))
    result = stage.verify("full", drill="server")
    # It is there, it is whole, and whether it holds what it should nobody can know.
    assert (result.status, result.verdict) == ("INCOMPLETE", 1)
    assert {kind for kind, _ in kinds(result)} == {"backup_without_manifest", "drill_unknown"}
    assert value(result, "sutazai_backup_missing", kind="database", source=SOURCE) == 0
    assert not list(backups.rglob("*.verified.json"))


@pytest.mark.parametrize("form", ["custom", "sql"])
def test_the_backup_of_an_empty_database_is_good(tmp_path: Path, postgres_server: PostgresServer, form: str) -> None:
    # Every server has one: `postgres`.
    postgres_server.create_database("nothing")
    try:
        runs = VerificationRuns(
            tmp_path, dsn=postgres_server.dsn_of("nothing"), postgres={"databases": ("nothing",)}, backup_format=form
        )
        runs.make()
        result = runs.verify("full")
    finally:
        postgres_server.execute("DROP DATABASE nothing", database="postgres")
    assert (result.verdict, result.findings) == (0, ())
    assert value(result, "sutazai_restore_drill_state", source="main/nothing", state="restored") == 1


def test_every_undamaged_kind_is_accepted(
    stage: VerificationRuns, redis_server: RedisServer, postgres_server: PostgresServer
) -> None:
    write_pair(stage.base_dir / "ssl")
    everything = VerificationRuns(
        stage.base_dir,
        dsn=postgres_server.dsn_of("verified"),
        postgres={"databases": ("verified",)},
        redis_url=redis_server.url,
    )
    everything.make()
    result = everything.verify()
    assert (result.verdict, result.findings) == (0, ())
    for kind in Kind:
        assert value(result, "sutazai_backups_checked", kind=kind, result="verified") == 1

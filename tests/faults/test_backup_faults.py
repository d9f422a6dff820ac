"""Disks that fill, processes that are killed, servers that die: a backup is whole and described, or it is not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.core.backups import Kind
from jobs.databases.part import Part
from tests.services.backup_runs import BackupRuns, config_runs, value
from tests.services.binaries import need, need_root
from tests.services.postgres import PostgresServer
from tests.services.process import plain_environment
from tests.services.wait import wait_for

ROOT = Path(__file__).resolve().parents[2]
FILL = "INSERT INTO filled SELECT i, gen_random_uuid()::text || gen_random_uuid() FROM generate_series(1, {rows}) i"
_RUN = """
import json, resource, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.services.backup_runs import BackupRuns
options = json.loads(sys.stdin.read())
if limit := options.pop("max_file_bytes", None):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
part = BackupRuns(Path(options.pop("base")), **options).run()
print(json.dumps([finding.message for finding in part.findings]))
"""


@contextlib.contextmanager
def tmpfs(directory: Path, options: str) -> Iterator[Path]:
    """A file system in memory, of a size of its own, mounted on a directory."""
    need_root("mounting a file system")
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@contextlib.contextmanager
def filled(server: PostgresServer, name: str, rows: int) -> Iterator[str]:
    """A database with a table that hardly compresses, 80 bytes a row."""
    server.create_database(name)
    server.execute("CREATE TABLE filled (id int, noise text)", database=name)
    server.execute(FILL.format(rows=rows), database=name)
    try:
        yield name
    finally:
        if server.process.running:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)', database="postgres")


def runs_of(base: Path, server: PostgresServer, name: str, **settings: object) -> BackupRuns:
    return BackupRuns(base, dsn=server.dsn, postgres={"databases": (name,)}, **{"backup_min_free_mb": 0, **settings})


def in_a_process(base: Path, server: PostgresServer, name: str, *prefix: str, **options: object) -> list[str]:
    """A run in a process of its own; the messages of its findings."""
    given = {"base": str(base), "dsn": server.dsn, "postgres": {"databases": [name]}, **options}
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _RUN.format(root=str(ROOT))],
        input=json.dumps(given),
        env=plain_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    messages: list[str] = json.loads(done.stdout.splitlines()[-1])
    return messages


def all_whole(runs: BackupRuns, kind: Kind = Kind.DATABASE) -> int:
    """How many backups there are; every one of them must be what its manifest says."""
    backups = runs.backups(kind)
    for backup in backups:
        assert backup.manifest is not None, backup.problem
        assert hashlib.sha256(backup.path.read_bytes()).hexdigest() == backup.manifest.sha256
    return len(backups)


def failed_alone(runs: BackupRuns, part: Part, before: list[str], *words: str) -> None:
    """It failed for the reason given, and what was there is there, and nothing else."""
    assert part.failed
    for word in words:
        assert word in part.findings[0].message
    assert runs.names() == before
    source = f"main/{runs.world.postgres.databases[0]}" if runs.world.postgres.databases else ""
    assert value(part, "sutazai_backup_failed", kind="database", source=source) == 1
    last = value(part, "sutazai_backup_last_success_timestamp_seconds", kind="database", source=source)
    assert last == runs.backups()[0].created.timestamp()


# --- disks ---


@pytest.mark.parametrize("form", ["custom", "sql"])
def test_a_full_disk(tmp_path: Path, postgres_server: PostgresServer, form: str) -> None:
    """Fault 1."""
    with filled(postgres_server, "full", 10) as name, tmpfs(tmp_path / "backups" / "database", "size=1m"):
        runs = runs_of(tmp_path, postgres_server, name, backup_format=form)
        # By its estimate it would not begin, as there is no backup yet to go by.
        assert not with_estimate_of(0, runs.run).failed
        before = runs.names()
        postgres_server.execute(FILL.format(rows=60_000), database=name)
        failed_alone(runs, runs.run(), before, "is full")
        assert all_whole(runs) == 1


def with_estimate_of(part_of_database: float, run: Callable[[], Part]) -> Part:
    """A run that takes a dump for so large a part of its database beforehand."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.backups.database._DUMP_PART", part_of_database)
        return run()


def test_a_disk_without_room_for_it_is_not_begun_on(tmp_path: Path, postgres_server: PostgresServer) -> None:
    with filled(postgres_server, "full", 10) as name, tmpfs(tmp_path / "backups" / "database", "size=1m"):
        part = runs_of(tmp_path, postgres_server, name).run()
        assert "has 1 MiB free, about " in part.findings[0].message
        assert "make room" in part.findings[0].remedy


def test_a_disk_out_of_inodes(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Fault 2: it says so, and not that it is full."""
    with (
        filled(postgres_server, "inodes", 10) as name,
        tmpfs(tmp_path / "backups" / "database", "size=64m,nr_inodes=3"),
    ):
        runs = runs_of(tmp_path, postgres_server, name)
        assert not runs.run().failed
        before = runs.names()
        assert len(before) == 2
        failed_alone(runs, runs.run(), before, "is out of inodes", "MiB are free")


def test_a_limit_on_the_size_of_files(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Fault 8."""
    with filled(postgres_server, "limited", 60_000) as name:
        (message,) = in_a_process(tmp_path, postgres_server, name, max_file_bytes=1 << 20)
    assert "RLIMIT_FSIZE" in message
    assert BackupRuns(tmp_path).names() == []


@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_syncing_that_fails(tmp_path: Path, postgres_server: PostgresServer, when: int) -> None:
    """Fault 6, at the manifest, its directory, the backup, and the directory that has its name already."""
    strace = need("strace", package="strace")
    with filled(postgres_server, "synced", 10) as name:
        runs = runs_of(tmp_path, postgres_server, name)
        assert not runs.run().failed
        before = runs.names()
        inject = ["-e", "trace=fsync", "-e", f"inject=fsync:error=EIO:when={when}"]
        (message,) = in_a_process(tmp_path, postgres_server, name, strace, "-o", str(tmp_path / "log"), *inject)
        assert "Input/output error" in message
        assert runs.names() == before
        assert all_whole(runs) == 1
        assert not runs.run().failed
        assert all_whole(runs) == 2


# --- killed ---


STEPS = frozenset(
    ("open", "write", "flush", "fsync", "fchmod", "fdopen", "replace", "rename", "unlink", "close", "mkdir")
)


def killed_at(step: int, work: Callable[[], object]) -> int:
    """Do the work in a forked child that ends by SIGKILL before or after its `step`-th change of a file."""
    child = os.fork()
    if child == 0:
        left = step

        def count(frame: object, event: str, arg: object) -> None:
            nonlocal left
            if event in ("c_call", "c_return") and getattr(arg, "__name__", "") in STEPS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        try:
            work()
        finally:
            sys.setprofile(None)
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_run_killed_at_any_step_leaves_whole_backups_only_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    """Fault 7."""
    runs = config_runs(tmp_path / "base")
    runs.run()
    steps, counts = 0, set()
    for step in range(1, 2000):
        work = tmp_path / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(tmp_path / "base", work)
        tried = config_runs(work)
        status = killed_at(step, tried.run)
        counts.add(all_whole(tried, Kind.CONFIG))
        if step % 15 == 0 or status == 0:
            assert not config_runs(work).run().failed
            assert all_whole(tried, Kind.CONFIG) >= 2
            assert not [name for name in tried.names(Kind.CONFIG) if name.endswith(".tmp")]
            assert len(tried.names(Kind.CONFIG)) == 2 * len(tried.backups(Kind.CONFIG))
        if status == 0:
            steps = step
            break
        assert status == -signal.SIGKILL
    assert steps > 20
    assert counts == {1, 2}


class Halting:
    """The real pg_dump, halted in the middle of its output until `go_on`: a fault can then be timed."""

    def __init__(self, directory: Path, server: PostgresServer) -> None:
        directory.mkdir()
        self.directory, self.halted, self._gate = directory, directory / "halted", directory / "gate"
        os.mkfifo(self._gate)
        real, program = server.program("pg_dump"), directory / "pg_dump"
        program.write_text(
            "#!/bin/bash\nset -o pipefail\n"
            f'[ "$1" = --version ] && exec {real} --version\n'
            f'{real} "$@" | {{ head -c 1500000; touch {self.halted}; cat {self._gate}; exec cat; }}\n'
        )
        program.chmod(0o755)

    def wait_halted(self) -> None:
        """Wait until it halts."""
        wait_for(self.halted.exists, 60, "the dump is in its middle")

    def go_on(self) -> None:
        """Let it go on, and not halt again."""
        self._gate.write_text("")
        (self.directory / "pg_dump").unlink()


def test_a_run_killed_in_the_middle_of_a_dump(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Fault 7, from without: what it left is removed by the next run, and pg_dump has ended with it."""
    with filled(postgres_server, "killed", 250_000) as name:
        halting = Halting(tmp_path / "programs", postgres_server)
        postgres = {"databases": [name], "programs": [str(halting.directory)]}
        given = {"base": str(tmp_path), "dsn": postgres_server.dsn, "postgres": postgres}
        process = subprocess.Popen(
            [sys.executable, "-c", _RUN.format(root=str(ROOT))], stdin=subprocess.PIPE, env=plain_environment()
        )
        assert process.stdin
        process.stdin.write(json.dumps(given).encode())
        process.stdin.close()
        runs = runs_of(tmp_path, postgres_server, name)
        halting.wait_halted()
        process.kill()
        process.wait(30)
        halting.go_on()
        assert runs.backups() == []
        (left,) = runs.names()
        others = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
        wait_for(lambda: postgres_server.execute(others) == [(0,)], 30, "nobody is connected any more")
        part = runs.run()
        assert ("remove", f"database/{left}") in {(action.verb, action.subject) for action in part.actions}
        assert not part.failed
        assert all_whole(runs) == 1
        assert left not in runs.names()


def test_a_server_killed_in_the_middle_of_a_dump(
    tmp_path: Path, postgres_factory: Callable[..., PostgresServer]
) -> None:
    """Fault 15."""
    server = postgres_factory()
    with filled(server, "killed", 250_000) as name:
        halting, parts = Halting(tmp_path / "programs", server), list[Part]()
        runs = runs_of(tmp_path, server, name, backup_format="sql")
        postgres = runs.world.postgres.model_copy(update={"programs": (halting.directory,)})
        runs.world = runs.world.model_copy(update={"postgres": postgres})
        worker = threading.Thread(target=lambda: parts.append(runs.run()))
        worker.start()
        try:
            halting.wait_halted()
            server.kill()
            halting.go_on()
        finally:
            worker.join(60)
        (part,) = parts
        (finding,) = part.findings
        assert "pg_dump ended with 1: " in finding.message or "PostgreSQL at " in finding.message
        assert runs.names() == []
        server.start()
        assert not runs.run().failed
        assert all_whole(runs) == 1

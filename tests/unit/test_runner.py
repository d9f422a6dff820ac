"""A request becomes a record: real processes, a real ledger, and jobs that do what the test wants."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from exporter.clock import SystemClock
from exporter.locks import FileLock
from exporter.metrics import RUNS as RUNS_FAMILY
from exporter.metrics import counter_key, counters_of
from exporter.record import EXIT_NOT_OK, EXIT_SKIPPED, Record
from exporter.runs.answer import Watcher
from exporter.runs.asking import UnknownRequest
from exporter.runs.runner import LedgerError, Runner
from exporter.store import Store, StoreError
from jobs.core.model import Outcome, Request
from tests.services.exporter_daemon import REPOSITORY
from tests.services.trees import tree_digest
from tests.services.trial_jobs import TASK, TrialPackage, configuration_of, work
from tests.services.wait import wait_for


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


@pytest.fixture(autouse=True)
def trial(tmp_path: Path) -> Iterator[TrialPackage]:
    package = TrialPackage(tmp_path / "package")
    with package.in_process():
        yield package


def runner_of(base: Path, code: str = "", **settings: Any) -> Runner:
    configuration = configuration_of(base, work(code, task=settings))
    return Runner(configuration, Store(base / "data" / "sutazai.db"), SystemClock())


def run(base: Path, code: str, request: Request | None = None, **settings: Any) -> Record:
    runner = runner_of(base, code, **settings)
    try:
        return runner.run(request or Request(task=TASK))
    finally:
        runner._store.close()


def ledger(base: Path) -> list[Record]:
    return Store(base / "data" / "sutazai.db", read_only=True).ledger()


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody has reaped counts)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True


def wait_gone(pid: int) -> None:
    wait_for(lambda: gone(pid), 60, f"process {pid} is gone")


def pid_in(file: Path) -> int:
    """The process id that a run writes into a file."""
    return int(wait_for(lambda: file.exists() and file.read_text(), 20, f"{file.name} is written"))


# What comes of a run


def test_a_run_leaves_a_record_a_report_a_link_and_a_log(base: Path) -> None:
    code = """
clients.report.log("warning", "looked twice")
result = Result(status="FAIR", verdict=1, summary="one thing", score=80, report={"things": [1, "é"]})
"""
    record = run(base, code, Request(task=TASK, reason="because"))
    assert (record.outcome, record.exit_code, record.error) == (Outcome.OK, 1, "")
    assert record.request == Request(task=TASK, mode="full", reason="because")
    assert 0 < record.duration_seconds < 60
    assert ledger(base) == [record]
    stamp = f"{record.started:%Y%m%d_%H%M%S}"
    assert record.report == f"reports/trial/trial_report_{stamp}.json"
    assert json.loads((base / record.report).read_text()) == {"things": [1, "é"]}
    link = base / "reports" / "latest_trial_report.json"
    assert not link.readlink().is_absolute()
    assert link.resolve() == base / record.report
    assert (base / "logs" / f"trial_{stamp}.log").read_text() == "WARNING looked twice\n"
    assert stat.S_IMODE((base / record.report).stat().st_mode) == 0o640


def test_the_run_is_in_a_process_group_of_its_own_and_sees_no_settings_in_its_environment(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUTAZAI_REDIS__PASSWORD", "canary")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials")
    code = """
import json
result = Result(status="X", report={
    "group": os.getpgid(0), "session": os.getsid(0), "pid": os.getpid(), "nice": os.nice(0),
    "environ": Path("/proc/self/environ").read_text(), "cmdline": Path("/proc/self/cmdline").read_text(),
    "stdin": sys.stdin.read(), "modules": sorted(sys.modules)})
"""
    report = run(base, code).result.report  # type: ignore[union-attr]
    assert report
    assert report["group"] == report["session"] == report["pid"] != os.getpgid(0)
    assert report["nice"] > os.nice(0)
    assert report["stdin"] == ""
    assert "canary" not in report["environ"] + report["cmdline"]
    assert "CREDENTIALS" not in report["environ"]
    assert [v for v in report["environ"].split("\0") if v.startswith("SUTAZAI_")] == [f"SUTAZAI_RUN_ID={os.getpid()}-1"]
    unwanted = {"docker", "psycopg2", "redis", "requests", "cryptography", "starlette", "uvicorn", "rich", "click"}
    assert not unwanted & set(report["modules"])


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise JobError('the disk /x is full: remove y')", "the disk /x is full: remove y"),
        ("raise KeyError('x')", "KeyError: 'x'"),
        ("raise ValueError('two\\n  lines')", "ValueError: two lines"),
        ("os._exit(7)", "ended with exit code 7 and no result; it last printed: nothing"),
        ("print('a\\nlast words', flush=True); os._exit(0)", "exit code 0 and no result; it last printed: last words"),
        ("sys.exit(3)", "ended with exit code 3 and no result"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9; it last printed: nothing"),
        ("os.kill(os.getpid(), 11)", "killed by signal 11"),
        ("result = None", "AttributeError"),
        ("result = Result(status='X', verdict=9)", "verdict"),
        ("result = Result(status='X', samples=(Sample(family='nobodys', value=1),))", "nobodys{} is not in the job's"),
        (
            "result = Result(status='X', samples=(Sample(family='sutazai_trial_value', value=1, labels={'x': '1'}),))",
            "sutazai_trial_value{'x': '1'} is not in the job's metrics",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_what_goes_wrong_is_one_line_in_the_record(base: Path, code: str, says: str) -> None:
    record = run(base, code)
    assert record.outcome is Outcome.ERROR
    assert record.exit_code == EXIT_NOT_OK
    assert says in record.error
    assert "\n" not in record.error
    assert record.result is None
    assert ledger(base) == [record]
    assert not (base / "reports").exists()


@pytest.mark.parametrize(
    "line",
    [b"no json", b"[]", b"{}", b'{"result": 5}', b'{"result": {"status": "X", "nonsense": 1}}', b'{"progress": {}}',
     b"\xff\xfe", b"[" * 100_000, b'{"result": {"status": "X", "score": NaN}}', b'{"result": null, "log": null}'],
    ids=lambda line: repr(line)[:30],
)  # fmt: skip
def test_a_run_that_answers_nonsense_has_not_worked(base: Path, line: bytes) -> None:
    code = f"""
import base64
descriptor = int(Path("/proc/self/cmdline").read_text().split("\\0")[-2])
os.write(descriptor, base64.b64decode({__import__("base64").b64encode(line).decode()!r}) + b"\\n")
"""
    record = run(base, code)
    assert record.outcome is Outcome.ERROR
    assert "answered nonsense" in record.error


def test_text_that_is_not_unicode_does_not_stop_a_run(base: Path) -> None:
    code = """
name = b"caf\\xe9".decode("utf-8", "surrogateescape")
clients.report.log("info", name)
clients.report.progress(1, 2, name)
result = Result(status=name, report={name: [name]}, findings=(
    Finding(kind="x", subject=name, severity="low", message=name),),
    samples=(Sample(family="sutazai_trial_value", value=1, labels={"thing": name}),))
"""
    record = run(base, code)
    assert record.outcome is Outcome.OK, record.error
    assert record.result
    assert record.result.status == "caf\ufffd"
    assert json.loads((base / record.report).read_text()) == {"caf\ufffd": ["caf\ufffd"]}


def test_what_a_run_prints_does_not_disturb_its_answer(base: Path) -> None:
    code = """
print('{"result": 1}')
sys.stderr.write('{"error": "x"}\\n')
subprocess.run(["echo", '{"error": "y"}'])
"""
    assert run(base, code).outcome is Outcome.OK


def test_progress_is_told_as_it_comes(base: Path) -> None:
    told: list[tuple[int, int, str]] = []
    watcher = Watcher(progress=lambda request, done, total, message: told.append((done, total, message)))
    code = "for n in range(3): clients.report.progress(n, 3, f'step {n}')"
    runner_of(base, code).run(Request(task=TASK), watcher)
    assert told == [(0, 3, "step 0"), (1, 3, "step 1"), (2, 3, "step 2")]


def test_two_runs_in_one_second_keep_both_reports(base: Path) -> None:
    class Stopped(SystemClock):
        def now(self) -> datetime:
            return datetime(2026, 3, 2, 12).astimezone()

    runner = Runner(configuration_of(base, work()), Store(base / "data" / "sutazai.db"), Stopped())
    reports = [runner.run(Request(task=TASK)).report for _ in range(2)]
    assert reports == [
        "reports/trial/trial_report_20260302_120000.json",
        "reports/trial/trial_report_20260302_120000_2.json",
    ]
    assert (base / "reports" / "latest_trial_report.json").resolve() == base / reports[1]


def test_a_report_that_cannot_be_written_is_an_error_that_names_it(base: Path) -> None:
    base.mkdir()
    (base / "reports").write_text("in the way")
    record = run(base, "")
    assert record.outcome is Outcome.ERROR
    assert f"the report could not be written: {base}/reports" in record.error
    assert ledger(base) == [record]


# Wrong requests


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request(task="trial-wrok"), "no task is called 'trial-wrok'; did you mean 'trial-work'?"),
        (Request(task="zzz"), "no task is called 'zzz'; there are trial-work"),
        (Request(task=TASK, mode="fast"), "trial-work has no mode 'fast'; it has full, light"),
        (Request(task=TASK, target="../x"), "'../x' cannot be a target: letters, digits"),
        (Request(task=TASK, target="a\n"), "cannot be a target"),
        (Request(task=TASK, target="-x"), "cannot be a target"),
        (Request(task="../jobs/core"), "no task is called"),
    ],
)
def test_a_wrong_request_is_refused_and_leaves_nothing(base: Path, request_: Request, says: str) -> None:
    runner = runner_of(base)
    before = tree_digest(base)
    with pytest.raises(UnknownRequest) as refused:
        runner.run(request_)
    assert says in str(refused.value)
    assert tree_digest(base) == before


def test_a_dry_run_writes_nothing(base: Path) -> None:
    run(base, "")
    before = tree_digest(base)
    configuration = configuration_of(base, work("clients.history.points('x', clients.clock.now())"))
    runner = Runner(configuration, Store(base / "data" / "sutazai.db", read_only=True), SystemClock())
    record = runner.run(Request(task=TASK, dry_run=True))
    assert record.outcome is Outcome.OK
    assert tree_digest(base) == before


# One at a time


def test_a_task_that_is_running_is_skipped_and_the_holder_is_named(base: Path) -> None:
    runner = runner_of(base)
    lock = FileLock(base / "data" / "locks" / f"{TASK}.lock", "pid 4711 since then")
    record = runner.run(Request(task=TASK))
    assert (record.outcome, record.exit_code) == (Outcome.SKIPPED, EXIT_SKIPPED)
    assert record.error == "trial-work is running already: pid 4711 since then"
    assert ledger(base) == [record]
    lock.release()
    assert runner.run(Request(task=TASK)).outcome is Outcome.OK


def test_another_target_of_a_task_runs_beside_it(base: Path) -> None:
    lock = FileLock(base / "data" / "locks" / f"{TASK}.one.lock", "somebody")
    runner = runner_of(base)
    assert runner.run(Request(task=TASK, target="one")).outcome is Outcome.SKIPPED
    assert runner.run(Request(task=TASK, target="two")).outcome is Outcome.OK
    lock.release()


def test_who_waits_runs_when_the_other_is_done(base: Path) -> None:
    runner = runner_of(base)
    lock = FileLock(base / "data" / "locks" / f"{TASK}.lock", "somebody")
    records: list[Record] = []
    thread = threading.Thread(target=lambda: records.append(runner.run(Request(task=TASK), wait_seconds=60)))
    thread.start()
    assert not records
    lock.release()
    thread.join(30)
    assert [record.outcome for record in records] == [Outcome.OK]


def test_the_lock_is_held_as_long_as_the_run_lives_not_its_starter(
    base: Path, trial: TrialPackage, tmp_path: Path
) -> None:
    """A starter that is killed leaves the lock to the run until that has ended as well."""
    code = f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); os.kill(os.getpid(), signal.SIGSTOP)"
    starter = _start_beside(base, trial, code)
    pid = pid_in(tmp_path / "pid")
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, 20, "the run stands still")
    starter.kill()
    starter.wait()
    # It cannot follow its starter yet.
    assert run(base, "").outcome is Outcome.SKIPPED
    os.kill(pid, signal.SIGCONT)
    wait_gone(pid)
    assert wait_for(lambda: run(base, "").outcome is Outcome.OK, 60, "the lock is free")


def test_a_run_that_was_cut_off_is_closed_and_one_that_lives_is_left_alone(
    base: Path, trial: TrialPackage, tmp_path: Path
) -> None:
    code = f"Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(600)"
    starter = _start_beside(base, trial, code)
    pid = pid_in(tmp_path / "pid")
    runner = runner_of(base)
    runner.close_cut_off()
    assert ledger(base) == []
    starter.kill()
    starter.wait()
    wait_gone(pid)
    runner.close_cut_off()
    runner.close_cut_off()
    (record,) = ledger(base)
    assert record.outcome is Outcome.ERROR
    assert record.error == f"cut off: the process that ran it (pid {starter.pid}) ended before it did"
    assert _store(base).counters()[counter_key(RUNS_FAMILY, {"task": TASK, "outcome": "error"})] == 1


def _store(base: Path) -> Store:
    return Store(base / "data" / "sutazai.db", read_only=True)


def _start_beside(base: Path, trial: TrialPackage, code: str) -> subprocess.Popen[bytes]:
    """`sutazai-exporter run trial-work` on this base directory, not waited for."""
    configuration_of(base, work(code))
    environment = {**os.environ, **trial.environment, "SUTAZAI_CONFIG_FILE": str(base.with_suffix(".yml"))}
    return subprocess.Popen([sys.executable, "-m", "exporter", "run", TASK], env=environment, cwd="/")


# The ledger's own troubles


def test_without_a_ledger_nothing_is_run(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(base, f"Path({str(tmp_path / 'ran')!r}).touch()")

    def fails(*_: object) -> int:
        raise StoreError("no")

    monkeypatch.setattr(runner._store, "begin_run", fails)
    with pytest.raises(StoreError):
        runner.run(Request(task=TASK))
    assert not (tmp_path / "ran").exists()


def test_a_run_whose_record_cannot_be_entered_still_has_its_record(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(base)

    def fails(*_: object, **__: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(runner._store, "finish_run", fails)
    with pytest.raises(LedgerError) as failed:
        runner.run(Request(task=TASK))
    assert failed.value.record.outcome is Outcome.OK


def test_a_run_that_came_to_nothing_is_entered_whole_or_not_at_all(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = runner_of(base)
    store = runner._store

    def fails(*arguments: object, **given: object) -> None:
        raise StoreError("disk I/O error")

    monkeypatch.setattr(store, "finish_run", fails)
    with pytest.raises(StoreError):
        runner.enter(Request(task=TASK), Outcome.SKIPPED, "is running already", SystemClock().now())
    assert store.unfinished_runs() == [], "it would be told of as cut off"


# Limits: see also tests/faults/test_runs_faults.py


def test_of_a_long_last_line_the_end_is_told(base: Path) -> None:
    record = run(base, "print('x' * 1_000_000 + ' the end', flush=True); os._exit(1)")
    assert record.error.endswith("x the end")
    assert len(record.error) < 1000


def test_counters_of_a_record(base: Path) -> None:
    things = "Sample(family='sutazai_trial_things_total', value=2, labels={'thing': 'a'})"
    record = run(base, f"result = Result(status='X', samples=({things}, {things}))")
    counters = counters_of(record)
    assert counters[("sutazai_trial_things_total", (("thing", "a"),))] == 4
    assert counters[counter_key(RUNS_FAMILY, {"task": TASK, "outcome": "ok"})] == 1
    assert _store(base).counters() == counters


def test_observations_reach_the_next_run(base: Path) -> None:
    code = """
points = clients.history.points("s", clients.clock.now().replace(year=2020))
result = Result(status=str(len(points)), observations=(Observation(series="s", value=1),))
"""
    assert [run(base, code).result.status for _ in range(3)] == ["0", "1", "2"]  # type: ignore[union-attr]


def test_budgets_are_shared_between_runs(base: Path) -> None:
    code = """
result = Result(status=str(clients.budgets.spend("k", clients.clock.now(), limit=2, window_seconds=3600)))
"""
    assert [run(base, code).result.status for _ in range(3)] == ["True", "True", "False"]  # type: ignore[union-attr]


@pytest.mark.parametrize("other_threads", [False, True])
def test_a_copy_of_this_process_is_made_only_where_it_has_no_other_threads(other_threads: bool) -> None:
    code = f"""
import threading, psutil
from exporter.processes.process import OwnProcess

done = threading.Event()
if {other_threads}:
    threading.Thread(target=done.wait).start()
process = OwnProcess({{"request": {{"task": "none"}}}}, 1, "exporter.runs.child", fork=True)
while not (command := psutil.Process(process.pid).cmdline()):
    pass  # the kernel shows none for a moment within exec, after it has closed what tells Popen of its success
print("exporter.runs.child" in command or command)
answers = []
process.listen(answers.append, limit_seconds=30, stop=threading.Event(), stop_grace_seconds=1)
print(answers)
done.set()
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    started, answers = done.stdout.splitlines()
    assert (started == "True") == other_threads
    assert answers == """[b'{"error": "KeyError: \\'none\\'"}']"""

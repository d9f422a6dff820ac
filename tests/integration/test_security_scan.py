"""The security scan as an operator runs it: its command, its files, its settings, its metrics."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.services.binaries import need_root
from tests.services.security_runs import SecurityRuns, planted, scanner, standings, weakness
from tests.services.trial_jobs import TrialPackage
from tests.services.wait import wait_for

CANARY = "canary-4f1d-password"

PLANTED = '''
from jobs.clients import commands
from jobs.clients.errors import Absent
from jobs.core.model import Severity
from jobs.security.scanner import Area, Scanner, Weakness


def files(look):
    """Every file below planted/, as the file says."""
    for path in sorted((look.clients.base_dir / "planted").iterdir()):
        look.scanned()
        if path.read_text().startswith("password"):
            look.found(Weakness("secret", path.name, Severity.HIGH, "a password", "take it out", str(path), 1))


def trivy(look):
    raise Absent("trivy is not installed, or not in PATH")


def hangs(look):
    look.scanned()
    look.found(Weakness("told", "before", Severity.CRITICAL, "told before it hung"))
    with commands.Child(["sleep", "600"], timeout_seconds=600) as child:
        (look.clients.base_dir / "child").write_text(str(child.pid))
        child.wait()


def prints(look):
    """A program that prints without end."""
    look.scanned()
    commands.run(["yes"], timeout_seconds=1)


def faulty(look):
    raise RuntimeError((look.clients.base_dir / "planted" / "bad.env").read_text())


ALL = {name: Scanner(name, area, name, "files", scan) for name, area, scan in (
    ("files", Area.FILESYSTEM, files), ("trivy", Area.CONTAINERS, trivy), ("hangs", Area.NETWORK, hangs),
    ("prints", Area.CODE, prints), ("faulty", Area.CONFIGURATION, faulty))}
SCANNERS = tuple(ALL[name] for name in NAMES)
'''


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base directory with one file that holds a secret and a clean twin of it."""
    directory = tmp_path / "base"
    (directory / "planted").mkdir(parents=True)
    (directory / "planted" / "bad.env").write_text(f"password={CANARY}")
    (directory / "planted" / "good.env").write_text("user=nobody")
    return directory


@pytest.fixture
def scan(tmp_path: Path, base: Path, run_cli: Callable[..., Any]) -> Callable[..., Any]:
    """`scan("files", "trivy", "--mode", "full", some_setting=1)`: a run of the command with these planted scanners."""
    config = {"textfile": {"directory": base / "textfile"}}
    package = TrialPackage(tmp_path / "package", real_jobs=True)
    planted(package, "NAMES = ()\n" + PLANTED)

    def run(*words: str, command: tuple[str, ...] = ("run", "security-scan"), **settings: Any) -> Any:
        names = tuple(word for word in words if word in ("files", "trivy", "hangs", "prints", "faulty"))
        rest = [word for word in words if word not in names]
        file = package.directory / "jobs" / "security" / "scanners.py"
        file.write_text(f"NAMES = {names!r}\n{PLANTED}")
        return run_cli(*command, *rest, env=package.environment, config=config | {"jobs": {"security_scan": settings}})

    return run


def written(base: Path) -> dict[str, str]:
    """Every file that a run has left, by its path."""
    files = (path for path in base.rglob("*") if path.is_file() and "planted" not in path.parts)
    return {str(path.relative_to(base)): path.read_bytes().decode(errors="replace") for path in files}


def test_a_scan_writes_its_report_in_each_form_and_ends_with_the_risk(scan: Callable[..., Any], base: Path) -> None:
    done = scan("files", "trivy")
    assert done.returncode == 1, done.stderr
    assert "security-scan: MEDIUM" in done.stdout
    assert "score 80; 1 high; 1 new; trivy unknown" in done.stdout
    for suffix in ("json", "html", "sarif"):
        link = base / "reports/security" / f"latest_security_report.{suffix}"
        assert link.is_symlink() and link.stat().st_mode & 0o777 == 0o640
    report = json.loads((base / "reports/security/latest_security_report.json").read_text())
    (found,) = report["results"]["filesystem"]["findings"]
    assert (found["rule"], found["subject"], found["standing"]) == ("secret", "bad.env", "new")
    again = scan("files", "trivy", "--mode", "full")
    assert "1 new" not in again.stdout
    (base / "planted" / "bad.env").unlink()
    assert "1 fixed" in scan("files", "trivy").stdout


def test_each_scanner_that_fails_in_its_way_leaves_the_others_standing(scan: Callable[..., Any], base: Path) -> None:
    done = scan("files", "trivy", "hangs", "prints", "faulty", max_scanner_seconds=1, parallel_scanners=4)
    assert done.returncode == 3, done.stderr
    report = json.loads((base / "reports/security/latest_security_report.json").read_text())
    assert report["summary"]["scanners"]["unknown"] == ["trivy", "hangs", "prints", "faulty"]
    assert report["summary"]["security_score"] == 100 - 25 - 10 - 4 * 10
    reasons = {
        one["name"]: one["reason"] for area in report["results"].values() for one in area["scanners"] if "reason" in one
    }
    assert reasons == {
        "trivy": "trivy is not installed, or not in PATH",
        "hangs": "it had not ended 1 s after it began, and was left behind",
        "prints": "yes was not done after 1 s",
        "faulty": reasons["faulty"],
    }
    assert reasons["faulty"].startswith("it failed by RuntimeError at scanners.py:")
    assert [one["rule"] for one in report["results"]["network"]["findings"]] == ["told"]
    wait_for(lambda: _has_ended(int((base / "child").read_text())), 20, "what the scanner had started has ended")


def _has_ended(pid: int) -> bool:
    """Whether a process has ended; one that nobody has reaped has as well."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_no_secret_reaches_any_output(scan: Callable[..., Any], base: Path) -> None:
    done = scan("files", "trivy", "faulty")
    texts = {**written(base), "stdout": done.stdout, "stderr": done.stderr}
    assert {Path(name).suffix for name in texts} >= {".json", ".html", ".sarif", ".log", ".prom", ".db"}
    assert [name for name, text in texts.items() if CANARY in text or CANARY[:8] in text] == []


def test_a_dry_run_says_what_it_finds_and_leaves_nothing(scan: Callable[..., Any], base: Path) -> None:
    done = scan("files", "--dry-run")
    assert "bad.env: a password" in done.stdout
    assert written(base) == {}


def test_wrong_settings_are_named_with_their_place(scan: Callable[..., Any]) -> None:
    entry = {"rule": "x", "reason": "y", "until": "2026-13-01"}
    done = scan(command=("check-config",), accepted_risks=[entry], severity_threshold="dangerous", report_format="pdf")
    assert done.returncode == 78
    for place in ("accepted_risks.0.until", "severity_threshold", "report_format"):
        assert f"jobs.security_scan.{place}" in done.stderr.replace("[0]", ".0"), done.stderr
    accepted = scan(
        command=("check-config",), accepted_risks=[{**entry, "until": "2026-12-31"}], severity_threshold="MEDIUM"
    )
    assert accepted.returncode == 0, accepted.stderr


def test_a_memory_that_cannot_be_written_is_told_and_the_scan_is_worth_it_all_the_same(tmp_path: Path) -> None:
    runs = SecurityRuns(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/security").write_text("in the way")
    result = runs.scan(scanner(told=[weakness()]))
    assert standings(result) == {"thing": "new"}
    (told,) = [one for one in result.findings if one.kind == "scan_problem"]
    assert str(runs.memory) in told.message


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A base directory that belongs to a user without rights, where such a user can come to."""
    need_root("becoming another user")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chown(directory, 65534, 65534)
        yield Path(directory)


def test_a_user_without_rights_can_scan(anyones: Path) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        code = 1
        try:
            first, second = (SecurityRuns(anyones).scan(scanner(told=[weakness()])) for _ in range(2))
            os.write(writing, json.dumps([first.status, standings(first), standings(second)]).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        assert json.load(answer) == ["MEDIUM", {"thing": "new"}, {"thing": "known"}]
    assert os.waitpid(child, 0)[1] == 0

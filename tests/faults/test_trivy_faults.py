"""Faults 12 and 13, and all else that Trivy can do wrong: it is never zero findings, and nothing of it is left behind.

Each script stands for a Trivy in a state that the real one cannot be brought into.
"""

from __future__ import annotations

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.clients import trivy as client
from jobs.clients.errors import ClientError
from jobs.core.settings import DockerSettings
from jobs.security.containers.images import IMAGES
from jobs.security.scanner import Look, OutOfTime
from jobs.security.settings import Settings
from tests.services.looks import clients_of
from tests.services.told_engine import ToldEngine, image_id, inspection
from tests.services.wait import wait_for

CANARY = "hunter2-canary"
WHY = "why: " * 100
VERSION = json.dumps({"Version": "0.74.0", "VulnerabilityDB": {"UpdatedAt": "2999-01-01T00:00:00Z"}})
GOOD = {
    "SchemaVersion": 2, "ArtifactName": "x",
    "Results": [{"Target": "t", "Packages": [{}], "Vulnerabilities": [{"VulnerabilityID": "CVE-1-1", "PkgName": "p"}]}],
}  # fmt: skip
# It is told an image by its id: so a script can be good to image 1 and bad to image 2.
SCRIPT = """#!/bin/sh
[ "$1" = version ] && {{ cat <<'END'
{version}
END
exit; }}
case "$*" in *{good_id}) cat <<'END'
{good}
END
exit;; esac
{bad}
"""


@pytest.fixture
def stage(tmp_path: Path) -> Any:
    return lambda bad, **options: Stage(tmp_path, bad, **options)


class Stage:
    """A scan of image 1, which goes well, and of image 2, for which the script does `bad`."""

    def __init__(
        self, directory: Path, bad: str, *, version: str = VERSION, good: Any = GOOD, seconds: float = 60, **trivy: Any
    ) -> None:
        script = directory / "trivy"
        script.write_text(SCRIPT.format(version=version, good=json.dumps(good), good_id=image_id(1)[7:], bad=bad))
        script.chmod(0o755)
        self._settings = Settings.model_validate({"containers": {"trivy": {"program": str(script), **trivy}}})
        self._directory, self._seconds = directory, seconds

    def scan(self, *numbers: int) -> Look:
        containers = [inspection(n, Image=image_id(n), Config={"Image": f"image:{n}"}) for n in numbers or (1, 2)]
        with ToldEngine(containers, [(image_id(n), f"image:{n}") for n in (1, 2)]) as engine:
            clients = clients_of(self._directory, docker=DockerSettings(url=engine.url))
            deadline = clients.clock.monotonic() + self._seconds
            self.look = Look(self._settings, clients, full=False, unit="images", deadline=deadline)
            IMAGES.scan(self.look)
        return self.look


BAD = {
    "an exit code": (
        "echo '2026-01-01T00:00:00Z\tFATAL\tFatal error\trun error: no' >&2; exit 1",
        "with 1: run error: no",
    ),
    "a long chain of reasons": (
        f"echo 'FATAL Fatal error {WHY}--skip-java-db-update cannot be specified on the first run' >&2; false",
        "cannot be specified on the first run; run 'trivy image --download-java-db-only'",
    ),
    "an exit code after a good report": ("echo '{\"SchemaVersion\": 2}'; exit 2", "trivy ended with 2"),
    "a signal": ("kill -9 $$", "was ended by signal 9"),
    "nothing": ("exit 0", "no JSON document"),
    "half a document": ("echo '{\"SchemaVersion\": 2,'", "no JSON document"),
    "another document": ("echo '[]'", "an object expected"),
    "another schema": ("echo '{\"SchemaVersion\": 3}'", "schema 2 expected, found '3'"),
    "other results": ("echo '{\"SchemaVersion\": 2, \"Results\": [[]]}'", "an object expected"),
    "deep JSON": ("head -c 200000 /dev/zero | tr '\\0' '['", "no JSON document"),
    "no rule": (
        """echo '{"SchemaVersion": 2, "Results": [{"Vulnerabilities": [{"VulnerabilityID": "<b>"}]}]}'""",
        "no name of a rule",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_an_image_that_fails_is_told_and_the_others_are_scanned(stage: Any, how: str) -> None:
    bad, said = BAD[how]
    seen = stage(bad).scan().so_far()
    assert (seen.scanned, [weakness.rule for weakness in seen.weaknesses]) == (1, ["CVE-1-1"])
    assert len(seen.missed) == 1
    assert seen.missed[0].startswith("image image:2: ")
    assert said in seen.missed[0]
    assert seen.missed[0].isprintable()


def test_when_every_image_fails_the_scanner_has_failed(stage: Any) -> None:
    with pytest.raises(ClientError, match="trivy ended with 3"):
        stage("exit 3").scan(2)


def test_12_output_without_end_is_capped_and_its_program_killed(
    stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_REPORT_BYTES", 8 << 20)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    seen = stage(f"echo $$ > {tmp_path}/pid; exec yes {CANARY}").scan().so_far()
    assert seen.missed == ["image image:2: trivy's report does not end (8 MiB read)"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
    assert time.monotonic() - began < 30
    assert not alive(tmp_path / "pid")


def test_12_errors_without_end_are_drained(stage: Any) -> None:
    seen = stage("head -c 50000000 /dev/zero | tr '\\0' 'e' >&2; exit 1").scan().so_far()
    assert seen.missed[0].startswith("image image:2: trivy ended with 1: ... eee")
    assert len(seen.missed[0]) < 500


def test_13_one_that_never_ends_is_killed_with_all_its_children(stage: Any, tmp_path: Path) -> None:
    files = f"touch $TMPDIR/image; echo $TMPDIR > {tmp_path}/where"
    bad = f"{files}; sleep 1000 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/pid; sleep 1000"
    seen = stage(bad, max_image_seconds=5).scan().so_far()
    assert seen.missed == ["image image:2: trivy was not done after 5 s"]
    wait_for(lambda: not alive(tmp_path / "child") and not alive(tmp_path / "pid"), 60, "both are gone")
    assert not Path((tmp_path / "where").read_text().strip()).exists()


def test_13_the_limit_of_the_whole_scan_ends_it_and_what_was_seen_is_kept(stage: Any) -> None:
    one = stage("sleep 1000", seconds=8)
    with pytest.raises(OutOfTime):
        one.scan()
    seen = one.look.so_far()
    assert (seen.scanned, len(seen.weaknesses), seen.missed) == (1, 1, [])


@pytest.mark.parametrize(
    "version", ["", "[]", "{}", '{"Version": 1}', '{"Version": "1", "VulnerabilityDB": {"UpdatedAt": 1}}']
)
def test_a_version_that_is_nonsense_is_an_error(stage: Any, version: str) -> None:
    with pytest.raises(ClientError, match="trivy"):
        stage("exit 0", version=version).scan(1)


def test_without_a_database_secrets_are_found_and_the_scanner_fails_all_the_same(stage: Any) -> None:
    report = {"SchemaVersion": 2, "Results": [{"Target": "/a", "Secrets": [{"RuleID": "github-pat"}]}]}
    one = stage("exit 1", version='{"Version": "0.74.0"}', good=report)
    with pytest.raises(ClientError, match="no database of them; run 'trivy image --download-db-only'"):
        one.scan(1)
    assert [weakness.rule for weakness in one.look.so_far().weaknesses] == ["github-pat"]


def test_what_a_secret_looks_like_and_markup_is_not_passed_on(stage: Any) -> None:
    hostile = f"</script>\x1b[2J\n{'x' * 5000}"
    report = {
        "SchemaVersion": 2, "Metadata": {"OS": {"Family": hostile, "Name": hostile, "EOSL": True}},
        "Results": [{
            "Target": hostile, "Packages": [{}],
            "Secrets": [{"RuleID": "r1", "Title": hostile, "Match": CANARY, "Code": {"Lines": [{"Content": CANARY}]}}],
            "Misconfigurations": [
                {"ID": "DS-0001", "Title": hostile, "Resolution": hostile, "Status": "FAIL"},
                {"ID": "DS-0002", "Status": "PASS"},
            ],
            "Vulnerabilities": [
                {"VulnerabilityID": "CVE-1-1", "PkgName": hostile, "Title": hostile, "Severity": "DREADFUL",
                 "PrimaryURL": "javascript:alert(1)", "FixedVersion": hostile},
                {"VulnerabilityID": "CVE-1-1", "PkgName": hostile, "Severity": "HIGH"},
            ],
        }],
    }  # fmt: skip
    seen = stage("exit 1", good=report).scan(1).so_far()
    assert {w.rule: w.severity.value for w in seen.weaknesses} == {
        "end_of_life_system": "high", "r1": "low", "DS-0001": "low", "CVE-1-1": "high",
    }  # fmt: skip
    for weakness in seen.weaknesses:
        texts = (weakness.subject, weakness.message, weakness.remedy, weakness.url)
        assert all(text.isprintable() and len(text) < 1000 for text in texts)
        assert CANARY not in " ".join(texts)
        assert "javascript" not in weakness.url


def test_thousands_of_vulnerabilities_are_all_kept(stage: Any) -> None:
    many = [{"VulnerabilityID": f"CVE-2026-{n}", "PkgName": f"p{n % 100}", "Title": "t" * 200} for n in range(5000)]
    seen = stage("exit 1", good={**GOOD, "Results": [{"Packages": [{}], "Vulnerabilities": many}]}).scan(1).so_far()
    assert len(seen.weaknesses) == 5000


def test_an_id_that_is_none_never_becomes_an_option(stage: Any, tmp_path: Path) -> None:
    hostile = {**inspection(1, Config={"Image": "--output=/x"}), "Image": "--output=/x"}
    one = stage(f"touch {tmp_path}/asked; exit 1")
    with ToldEngine([hostile]) as engine:
        clients = clients_of(tmp_path, docker=DockerSettings(url=engine.url))
        look = Look(one._settings, clients, full=False, unit="images", deadline=clients.clock.monotonic() + 60)
        with pytest.raises(ClientError, match="without an id"):
            IMAGES.scan(look)
    assert not (tmp_path / "asked").exists()


def test_what_it_is_told_and_what_not(stage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours is in its environment but the engine's address, and it is kept from the network."""
    monkeypatch.setenv("SUTAZAI_REDIS__PASSWORD", CANARY)
    monkeypatch.setenv("TRIVY_SERVER", "http://elsewhere")
    stage(f'env > {tmp_path}/env; echo "$*" > {tmp_path}/args; pwd > {tmp_path}/cwd; exit 1').scan()
    environment, arguments = (tmp_path / "env").read_text(), (tmp_path / "args").read_text()
    assert CANARY not in environment
    assert "TRIVY_SERVER" not in environment
    assert "DOCKER_HOST=tcp://127.0.0.1:" in environment
    assert "--offline-scan --skip-db-update --skip-java-db-update" in arguments
    assert arguments.endswith(f" -- {image_id(2)[7:]}\n")
    assert (tmp_path / "cwd").read_text() == "/\n"


def test_a_database_that_cannot_be_updated_is_told_and_the_old_one_used(stage: Any) -> None:
    seen = stage("echo 'no network' >&2; exit 1", update_database=True).scan(1).so_far()
    assert (seen.scanned, len(seen.weaknesses)) == (1, 1)
    assert seen.missed == ["trivy's databases could not be brought up to date: trivy ended with 1: no network"]


def alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path("/proc", pid_file.read_text().strip(), "stat").read_text().split()[2]

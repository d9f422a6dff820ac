"""Trivy on images of a real engine: each kind of weakness is found, its clean twin is not, and the unknown is said.

Every test runs on what Trivy was recorded to say (tests/services/trivy), and where Trivy is installed also on itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.clients.errors import Absent, ClientError
from jobs.core.settings import DockerSettings
from jobs.security.containers.images import IGNORE_FILE, IMAGES
from jobs.security.scanner import Look, Seen
from jobs.security.settings import Settings
from tests.services.docker_engine import DockerEngine as RealEngine
from tests.services.docker_images import AGENT_IMAGE, IMAGE_SECRET
from tests.services.looks import clients_of, look
from tests.services.trivy import CLEAN, PROGRAMS, RECORDED, TOKEN, WEAK, make_database, make_images, program

Scan = Callable[..., Seen]
NOTHING_KNOWN = f"image {AGENT_IMAGE}:latest: trivy recognises no package in it: vulnerabilities are unknown"
CONFIGURATION = f"{WEAK}/(configuration: ENV, history)"
FOUND = {
    ("CVE-2023-5363", f"{WEAK}/openssl", "high"),
    ("CVE-2099-0001", f"{WEAK}/oldlib", "low"),  # which Trivy calls UNKNOWN
    ("CVE-2019-14806", f"{WEAK}/Werkzeug", "critical"),
    ("DS-0001", f"{WEAK}/app/Dockerfile", "medium"),
    ("DS-0002", f"{WEAK}/app/Dockerfile", "high"),
    ("DS-0026", f"{WEAK}/app/Dockerfile", "low"),
    ("aws-access-key-id", f"{WEAK}/app/.env", "critical"),
    ("github-pat", CONFIGURATION, "critical"),
}


@pytest.fixture(params=PROGRAMS)
def scan(request: pytest.FixtureRequest, docker_clean: RealEngine, tmp_path: Path) -> Scan:
    """`scan(WEAK, CLEAN)` scans while containers of these images run."""
    ids = make_images(docker_clean)
    recordings = {str(image.id): "without-packages" for image in docker_clean.client.images.list()}
    recordings |= {ids[WEAK]: "weak", ids[CLEAN]: "clean"}
    cache_dir = tmp_path / "cache"
    settings = {"program": program(request.param, tmp_path, recordings), "cache_dir": str(cache_dir)}

    def run(
        *images: str,
        age: timedelta | None = timedelta(hours=1),
        full: bool = False,
        dry_run: bool = False,
        **changes: Any,
    ) -> Seen:
        if age is not None:
            make_database(cache_dir, age=age)
        for image in images:
            options = {"network_mode": "host", "stop_signal": "SIGKILL"}
            docker_clean.client.containers.run(image, ["/bin/sleep", "1000"], detach=True, **options)
        told = Look(
            Settings.model_validate({"containers": {"trivy": {**settings, **changes}}}),
            clients_of(tmp_path / "base", docker=DockerSettings(url=docker_clean.url)),
            full=full, unit="images", deadline=time.monotonic() + 300, dry_run=dry_run,
        )  # fmt: skip
        IMAGES.scan(told)
        return told.so_far()

    return run


def found(seen: Seen) -> set[tuple[str, str, str]]:
    return {(weakness.rule, weakness.subject, weakness.severity.value) for weakness in seen.weaknesses}


def test_planted_weaknesses_are_found_and_those_of_the_clean_twin_are_not(scan: Scan, docker_clean: RealEngine) -> None:
    docker_clean.client.containers.create(CLEAN, ["/bin/sleep", "1000"])
    seen = scan(WEAK, WEAK, AGENT_IMAGE)
    assert found(seen) == FOUND
    # In an image of one static program it knows nothing: that is no image without weaknesses.
    assert (seen.scanned, seen.missed) == (1, [NOTHING_KNOWN])
    assert seen.details["trivy_version"][0].isdigit()
    assert seen.details["database_timestamp_seconds"] > 1.7e9
    by_rule = {weakness.rule: weakness for weakness in seen.weaknesses}
    assert by_rule["CVE-2023-5363"].remedy == "update openssl to 3.0.11-1~deb12u2"
    assert by_rule["CVE-2023-5363"].url == "https://avd.aquasec.com/nvd/cve-2023-5363"
    told = json.dumps([vars(weakness) for weakness in seen.weaknesses])
    assert not any(secret in told or secret[:12] in told for secret in (TOKEN, IMAGE_SECRET))
    assert "****" not in told


@pytest.mark.parametrize("scan", [RECORDED], indirect=True)
def test_a_full_scan_takes_every_image(scan: Scan) -> None:
    seen = scan(full=True)
    assert found(seen) == FOUND
    assert seen.scanned == 2
    assert NOTHING_KNOWN in seen.missed


def test_what_is_ignored_comes_back_when_its_time_is_over(scan: Scan, tmp_path: Path) -> None:
    file = tmp_path / "base" / IGNORE_FILE
    file.parent.mkdir(parents=True)
    file.write_text(
        "vulnerabilities:\n"
        "  - {id: CVE-2023-5363, expired_at: 2999-01-01, statement: not reachable}\n"
        "  - {id: CVE-2019-14806, expired_at: 2020-01-01, statement: was accepted until then}\n"
    )
    seen = scan(WEAK, CLEAN, ignore_unfixed=True, dry_run=True)
    assert found(seen) == {one for one in FOUND if one[0] not in ("CVE-2023-5363", "CVE-2099-0001")}
    assert (seen.scanned, seen.missed) == (2, [])
    # A dry run writes nothing, not even into Trivy's own directory.
    assert {path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()} == {"trivy.db", "metadata.json"}


def test_without_a_database_it_fails(scan: Scan) -> None:
    with pytest.raises(ClientError, match="trivy image --download-db-only"):
        scan(WEAK, age=None)


@pytest.mark.parametrize("scan", [RECORDED], indirect=True)
def test_an_old_database_makes_the_scan_incomplete(scan: Scan) -> None:
    seen = scan(CLEAN, age=timedelta(days=30, hours=1))
    assert seen.missed == ["vulnerabilities published in the last 30 days: trivy's database is as old as that"]


def test_without_the_program_it_is_absent(docker_clean: RealEngine, tmp_path: Path) -> None:
    clients = clients_of(tmp_path, docker=DockerSettings(url=docker_clean.url))
    with pytest.raises(Absent, match=r"no-such-trivy is not installed.*install Trivy"):
        look(IMAGES, clients, {"containers": {"trivy": {"program": "no-such-trivy"}}})

"""Trivy for tests: the real program where it is installed, and a player of what it said where it is not.

`recordings` were made by Trivy 0.74.0, built of its source with Go, on the images and with the database below (see
`record`); only the images' ids, one secret and times were taken out of them. The database was made by
`go run . advisories.yaml . && gzip -9n trivy.db` in its directory.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.services.docker_engine import DockerEngine
from tests.services.docker_images import packages_image

RECORDED, REAL = "recorded", "real"
PROGRAMS = (RECORDED, *([REAL] if shutil.which("trivy") else []))
"""The player is always tested; the real one, where it is installed, must tell the same."""

WEAK, CLEAN = "sutazai-planted/weak:1.0", "sutazai-planted/clean:1.0"
TOKEN = "ghp_" + "a1B2" * 9
"""The secret in the configuration of the image WEAK."""
_DATABASE = Path(__file__).parent / "database" / "trivy.db.gz"


def make_images(engine: DockerEngine) -> dict[str, str]:
    """The two images, made in the engine unless they are there: their ids by name."""
    there = {tag for image in engine.client.images.list() for tag in image.tags}
    for name in {WEAK, CLEAN} - there:
        repository, tag = name.split(":")
        changes = [f"ENV SERVICE_TOKEN={TOKEN}"] if name == WEAK else ["ENV SERVICE_TOKEN_FILE=/run/secrets/token"]
        engine.client.api.import_image_from_data(
            packages_image(weak=name == WEAK), repository=repository, tag=tag, changes=changes
        )
    return {name: str(engine.client.images.get(name).id) for name in (WEAK, CLEAN)}


def make_database(cache_dir: Path, *, age: timedelta = timedelta(hours=1)) -> None:
    """The database of vulnerabilities, made so long ago, where Trivy looks for it."""
    made = datetime.now(UTC) - age
    times = {"UpdatedAt": made, "NextUpdate": made + timedelta(hours=24), "DownloadedAt": made}
    directory = cache_dir / "db"
    directory.mkdir(parents=True)
    (directory / "trivy.db").write_bytes(gzip.decompress(_DATABASE.read_bytes()))
    (directory / "metadata.json").write_text(
        json.dumps({"Version": 2, **{name: time.strftime("%Y-%m-%dT%H:%M:%SZ") for name, time in times.items()}})
    )


def program(which: str, directory: Path, images: dict[str, str]) -> str:
    """The path of the real program, or of a player that knows these images (id -> recording)."""
    if which == REAL:
        return str(shutil.which("trivy"))
    played, script = directory / "played.json", directory / "trivy"
    played.write_text(
        json.dumps({"token": TOKEN, "images": {one.removeprefix("sha256:"): name for one, name in images.items()}})
    )
    player = Path(__file__).with_name("player.py")
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {player} {played} "$@"\n')
    script.chmod(0o755)
    return str(script)

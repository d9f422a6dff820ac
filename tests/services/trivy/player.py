"""Stands for Trivy 0.74 where it is not installed: plays what it said of the same images, and minds what it is asked.

Called as `player.py PLAYED ARGUMENT...`; PLAYED is a JSON file: image id -> name of the recording, and the secret that
was taken out of it. Where the real one would use the network, or refuse, this one ends with 1 and a line of its kind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import yaml

RECORDINGS = Path(__file__).parent / "recordings"
OFFLINE = (
    "TRIVY_SKIP_CHECK_UPDATE",
    "TRIVY_SKIP_VERSION_CHECK",
    "TRIVY_SKIP_VEX_REPO_UPDATE",
    "TRIVY_DISABLE_TELEMETRY",
)
_FOUND = {"vuln": "Vulnerabilities", "secret": "Secrets", "misconfig": "Misconfigurations"}


def fatal(what: str) -> NoReturn:
    """End as Trivy does."""
    sys.exit(f"2026-01-01T00:00:00Z\tFATAL\tFatal error\trun error: {what}")


def main(played: dict[str, Any], arguments: list[str]) -> None:
    """Play one call."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=("version", "image"))
    for name in ("format", "cache-dir", "scanners", "image-config-scanners", "image-src", "timeout", "ignorefile"):
        parser.add_argument(f"--{name}", required=name in ("format", "cache-dir"))
    parser.add_argument("--cache-backend", choices=("fs", "memory"))
    for name in ("quiet", "list-all-pkgs", "offline-scan", "skip-db-update", "skip-java-db-update", "ignore-unfixed"):
        parser.add_argument(f"--{name}", action="store_true")
    mark = arguments.index("--") if "--" in arguments else len(arguments)
    options = parser.parse_args(arguments[:mark])
    options.image = "".join(arguments[mark + 1 :])
    metadata = Path(options.cache_dir, "db", "metadata.json")
    if options.command == "version":
        database = {"VulnerabilityDB": json.loads(metadata.read_text())} if metadata.exists() else {}
        print(json.dumps({"Version": "0.74.0", **database}))  # noqa: T201
        return
    if missing := [name for name in OFFLINE if os.environ.get(name) != "true"]:
        fatal(f"it would use the network without {missing}")
    if not (options.offline_scan and options.skip_db_update and options.skip_java_db_update):
        fatal("it would use the network")
    if not os.environ.get("DOCKER_HOST", "").startswith("unix:///") or options.image_src != "docker":
        fatal("it would ask somewhere else")
    if "vuln" in options.scanners and not metadata.exists():
        fatal("init error: DB error: database error: --skip-db-update cannot be specified on the first run")
    if options.image not in played["images"]:
        fatal(f"unable to find the specified image {options.image!r} in ['docker']")
    print(json.dumps(report(played, options)))  # noqa: T201


def report(played: dict[str, Any], options: argparse.Namespace) -> Any:
    """What was recorded, less what was not asked for and what is ignored today."""
    text = (RECORDINGS / f"{played['images'][options.image]}.json").read_text()
    document = json.loads(text.replace("@TOKEN@", played["token"]).replace("@ID@", options.image))
    ignored = ignored_today(options.ignorefile)
    for result in document.get("Results", []):
        for scanner, key in _FOUND.items():
            kept = [one for one in result.pop(key, []) if one.get("VulnerabilityID") not in ignored]
            if options.ignore_unfixed and scanner == "vuln":
                kept = [one for one in kept if "FixedVersion" in one]
            if kept and scanner in options.scanners.split(","):
                result[key] = kept
    return document


def ignored_today(file: str | None) -> set[str]:
    """The vulnerabilities of an ignore file that have not expired, as Trivy's pkg/result/ignore.go has it."""
    entries = yaml.safe_load(Path(file).read_text())["vulnerabilities"] if file else []
    return {entry["id"] for entry in entries if entry.get("expired_at", date.max) >= date.today()}  # noqa: DTZ011


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2:])

"""Rules that fire in seconds."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.services.exporter_daemon import REPOSITORY

BUNDLED = REPOSITORY / "alert_rules"


def shortened_rules(directory: Path, source: Path = BUNDLED, for_seconds: int = 1) -> list[Path]:
    """The rules in `source` with such a `for`, in `directory`: a test sees in seconds what takes minutes."""
    files = []
    for file in sorted(source.glob("*.rules.yml")):
        document = yaml.safe_load(file.read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = f"{for_seconds}s"
        files.append(directory / file.name)
        files[-1].write_text(yaml.safe_dump(document))
    return files

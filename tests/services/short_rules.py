"""The bundled rules, so that they fire in seconds."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.services.exporter_daemon import REPOSITORY


def shortened_rules(directory: Path) -> list[Path]:
    """The bundled rules with `for` of one second, so that a test sees in seconds what takes minutes."""
    files = []
    for source in sorted((REPOSITORY / "alert_rules").glob("*.rules.yml")):
        document = yaml.safe_load(source.read_text())
        for rule in (rule for group in document["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = "1s"
        files.append(directory / source.name)
        files[-1].write_text(yaml.safe_dump(document))
    return files

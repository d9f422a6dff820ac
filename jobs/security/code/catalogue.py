"""What is known of each Semgrep rule from its own file: how bad it is, what to say of it, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.clients.errors import ClientError
from jobs.clients.file_search import shown
from jobs.core.model import Severity

BUNDLED = Path(__file__).parent / "rules"
"""The rules that come with the exporter."""

_SEVERITIES = {
    **{"ERROR": Severity.HIGH, "WARNING": Severity.MEDIUM, "INFO": Severity.LOW},
    **{severity.name: severity for severity in Severity if severity is not Severity.INFO},
}
"""Semgrep's severities, old names and new ones (https://semgrep.dev/docs/writing-rules/rule-syntax)."""


@dataclass(frozen=True)
class CodeRule:
    """A rule: its message as it was written, for Semgrep puts pieces of the source into the one that it prints."""

    id: str
    severity: Severity
    message: str
    remedy: str = ""
    cwe: int | None = None

    @property
    def url(self) -> str:
        """Where more is said of this kind of weakness."""
        return f"https://cwe.mitre.org/data/definitions/{self.cwe}.html" if self.cwe is not None else ""


def read_rules(path: Path) -> Mapping[str, CodeRule]:
    """The rules of a file or of a directory by their ids; ClientError where one cannot be understood."""
    import yaml

    rules: dict[str, CodeRule] = {}
    for file in _rule_files(path):
        try:
            document = yaml.safe_load(file.read_bytes())
            rules.update((rule.id, rule) for rule in map(_rule, document["rules"]))
        except OSError as error:
            raise ClientError(f"{shown(file)}: {error.strerror}; set jobs.security_scan.code.rules") from None
        except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise ClientError(f"{shown(file)} is not a file of Semgrep rules") from None
    if not rules:
        raise ClientError(f"{shown(path)} has no Semgrep rules in it; set jobs.security_scan.code.rules")
    return rules


def _rule_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for suffix in ("yaml", "yml") for file in path.rglob(f"*.{suffix}"))


def _rule(raw: Mapping[str, Any]) -> CodeRule:
    metadata = raw.get("metadata") or {}
    cwe = re.match(r"CWE-(\d{1,6})", str(metadata.get("cwe", "")).strip("[]'\" "))
    return CodeRule(
        id=str(raw["id"]),
        severity=_SEVERITIES.get(str(raw["severity"]), Severity.MEDIUM),
        message=" ".join(str(raw["message"]).split()),
        remedy=" ".join(str(metadata.get("remedy", "")).split()),
        cwe=int(cwe[1]) if cwe else None,
    )

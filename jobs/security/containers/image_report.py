"""Trivy's report on an image (its JSON, schema 2), as weaknesses.

The report is hostile input: titles and names come from advisories and from the image. What a secret looks like
(`Match`, `Code`) stands in it, too, and is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.core.answers import items, mapping, number, text
from jobs.core.containers import clean
from jobs.core.model import Severity
from jobs.security.scanner import RANK, Weakness

SCHEMA = 2
MAX_TITLE_CHARACTERS = 160
END_OF_LIFE = "end_of_life_system"
IMAGE_CONFIGURATION = "(configuration: ENV, history)"
_RULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{1,99}")
_URL = re.compile(r"https?://[!#-;=?-\[\]_a-z~]{1,500}")


@dataclass(frozen=True)
class ImageReport:
    """What was found in an image, and how many packages were recognised: of none, no vulnerability can be known."""

    weaknesses: tuple[Weakness, ...]
    packages: int


def parse_report(answer: Mapping[str, Any], image: str) -> ImageReport:
    """Given Trivy's report on `image` (a name), return what it says; ValueError where it is not one."""
    if answer.get("SchemaVersion") != SCHEMA:
        raise ValueError(f"schema {SCHEMA} expected, found {str(answer.get('SchemaVersion'))[:20]!r}")
    results = [mapping(result) for result in items(answer.get("Results") or [])]
    itself = clean(text(answer.get("ArtifactName") or ""))
    found = [*_end_of_life(answer, image), *(one for result in results for one in _weaknesses(result, image, itself))]
    worst: dict[tuple[str, str], Weakness] = {}
    for weakness in found:
        key = weakness.rule, weakness.subject
        if key not in worst or RANK[weakness.severity] > RANK[worst[key].severity]:
            worst[key] = weakness
    return ImageReport(tuple(worst.values()), sum(len(items(result.get("Packages") or [])) for result in results))


def _end_of_life(answer: Mapping[str, Any], image: str) -> Iterator[Weakness]:
    system = mapping(mapping(answer.get("Metadata") or {}).get("OS") or {})
    if system.get("EOSL") is True:
        name = f"{_short(system, 'Family')} {_short(system, 'Name')}"
        yield Weakness(
            END_OF_LIFE, image, Severity.HIGH,
            f"image {image} is built on {name}, which gets no security updates any more",
            "build it on a release that is maintained",
        )  # fmt: skip


def _weaknesses(result: Mapping[str, Any], image: str, itself: str) -> Iterator[Weakness]:
    target = _short(result, "Target")
    # What is found in the image's configuration has the image's id for a file, which changes with every build.
    target = IMAGE_CONFIGURATION if target == itself else target.removeprefix("/")
    for raw in map(mapping, items(result.get("Vulnerabilities") or [])):
        yield _vulnerability(raw, image)
    for raw in map(mapping, items(result.get("Secrets") or [])):
        yield _secret(raw, image, target)
    for raw in map(mapping, items(result.get("Misconfigurations") or [])):
        if raw.get("Status", "FAIL") == "FAIL":
            yield _misconfiguration(raw, image, target)


def _vulnerability(raw: Mapping[str, Any], image: str) -> Weakness:
    package, fixed = _short(raw, "PkgName"), _short(raw, "FixedVersion")
    what = " ".join((package, _short(raw, "InstalledVersion")))
    title, status = _short(raw, "Title") or "a known vulnerability", _short(raw, "Status").replace("_", " ")
    return Weakness(
        rule=_rule(raw, "VulnerabilityID"),
        subject=f"{image}/{package}",
        severity=_severity(raw),
        message=f"{what} in image {image}: {title}{f' ({status})' if status else ''}",
        remedy=f"update {package} to {fixed}" if fixed else f"there is no fixed version yet: go without {package}",
        url=_url(raw),
    )


def _secret(raw: Mapping[str, Any], image: str, target: str) -> Weakness:
    line = "" if target == IMAGE_CONFIGURATION else f" line {number(raw.get('StartLine') or 1)}"
    return Weakness(
        rule=_rule(raw, "RuleID"),
        subject=f"{image}/{target}",
        severity=_severity(raw),
        message=f"image {image} holds a secret in {target}{line}: {_short(raw, 'Title')}",
        remedy="replace it, build the image without it, and hand the new one over when the container starts",
    )


def _misconfiguration(raw: Mapping[str, Any], image: str, target: str) -> Weakness:
    return Weakness(
        rule=_rule(raw, "ID"),
        subject=f"{image}/{target}",
        severity=_severity(raw),
        message=f"{target} in image {image}: {_short(raw, 'Title')}",
        remedy=_short(raw, "Resolution"),
        url=_url(raw),
    )


def _severity(raw: Mapping[str, Any]) -> Severity:
    """Trivy's severity; UNKNOWN is low, as nobody has called it worse."""
    word = _short(raw, "Severity").lower()
    return Severity(word) if word in set(Severity) else Severity.LOW


def _rule(raw: Mapping[str, Any], key: str) -> str:
    rule = text(raw.get(key))
    if not _RULE.fullmatch(rule):
        raise ValueError(f"{key} is no name of a rule")
    return rule


def _url(raw: Mapping[str, Any]) -> str:
    url = text(raw.get("PrimaryURL") or "")
    return url if _URL.fullmatch(url) else ""


def _short(raw: Mapping[str, Any], key: str) -> str:
    return " ".join(clean(text(raw.get(key) or ""), MAX_TITLE_CHARACTERS).split())

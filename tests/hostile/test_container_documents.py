"""Whatever an engine or Trivy says, it is judged or refused with ValueError, and nothing unprintable comes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.security.containers.audit import judged
from jobs.security.containers.container import parse_audited
from jobs.security.containers.flaw import Engine
from jobs.security.containers.image_report import parse_report

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["", "host", "bind", "/etc", "/var/run/docker.sock", "PASSWORD=x", "ALL", "::", "FAIL", "CVE-1"]),
)  # fmt: skip
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), TEXTS)
INSPECTION_KEYS = [
    "Name", "HostConfig", "Config", "Mounts", "NetworkSettings", "Image", "User", "Env", "Cmd", "Healthcheck", "Test",
    "CapAdd", "SecurityOpt", "Devices", "PathOnHost", "DeviceCgroupRules", "Type", "Source", "RW", "PortBindings",
    "Ports", "5432/tcp", "HostIp", "Memory", "PidsLimit", "LogConfig", "NetworkMode", "RestartPolicy", "MaskedPaths",
]  # fmt: skip
REPORT_KEYS = [
    "Results", "Target", "Packages", "Vulnerabilities", "Secrets", "Misconfigurations", "VulnerabilityID", "RuleID",
    "ID", "PkgName", "Title", "Severity", "PrimaryURL", "StartLine", "Status", "Metadata", "OS", "EOSL", "Family",
]  # fmt: skip


def documents(keys: list[str]) -> st.SearchStrategy[Any]:
    def grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(keys), inner, max_size=6))

    # Mostly of the right shape, so that what lies deep inside is reached.
    return st.dictionaries(st.sampled_from(keys), st.recursive(LEAVES, grown, max_leaves=20), max_size=6)


@settings(max_examples=100)
@given(documents(INSPECTION_KEYS), documents(INSPECTION_KEYS), documents(INSPECTION_KEYS))
def test_any_inspection_is_judged_or_refused(whole: Any, host: Any, config: Any) -> None:
    try:
        audited = parse_audited({**whole, "HostConfig": host, "Config": config})
    except ValueError:
        return
    for weakness in judged("x", [audited], Engine()):
        assert (weakness.subject + weakness.message + weakness.remedy).isprintable()


@settings(max_examples=100)
@given(documents(REPORT_KEYS), documents(REPORT_KEYS))
def test_any_report_is_read_or_refused(whole: Any, result: Any) -> None:
    try:
        report = parse_report({"Results": [result], **whole, "SchemaVersion": 2}, "image:1")
    except ValueError:
        return
    for weakness in report.weaknesses:
        assert (weakness.rule + weakness.subject + weakness.message + weakness.remedy + weakness.url).isprintable()

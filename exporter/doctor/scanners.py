"""The tools that the security scan has others do its work with. None of them is ever installed by the exporter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exporter.doctor.diagnosis import Diagnosis, Patient, broken, failed, good, missing, not_configured, unknown
from jobs.clients import firewall, packages
from jobs.clients.errors import Absent, ClientError
from jobs.clients.semgrep import Semgrep
from jobs.clients.trivy import Trivy

_SECONDS_PER_DAY = 86_400
_TRIVY = "install Trivy (https://trivy.dev), or set jobs.security_scan.containers.trivy.program"
_SEMGREP = "pip install semgrep in an environment of its own, and set jobs.security_scan.code.semgrep"


def trivy(patient: Patient) -> Iterator[Diagnosis]:
    """Its version, and whether its database of vulnerabilities is young enough."""
    settings = patient.settings.jobs.security_scan.containers.trivy
    try:
        found = Trivy(settings.program, "unix:///var/run/docker.sock", cache_dir=settings.cache_dir).version()
    except Absent as error:
        yield _absent(patient, str(error), _TRIVY, "jobs.security_scan.containers.trivy")
        return
    except ClientError as error:
        yield broken(str(error), f"{settings.program} version")
        return
    yield good(f"Trivy {found.program}")
    update = f"{settings.program} image --download-db-only"
    if found.database_at is None:
        yield missing("it has no database of vulnerabilities", update, "database")
        return
    days = (patient.clients.clock.now() - found.database_at).total_seconds() / _SECONDS_PER_DAY
    told = f"{max(0.0, days):.1f} days old"
    if days > settings.max_database_age_days:
        yield broken(f"{told}: it cannot know what is new", update, "database")
    else:
        yield good(told, "database")


def semgrep(patient: Patient) -> Iterator[Diagnosis]:
    """Its version."""
    settings = patient.settings.jobs.security_scan.code
    try:
        version = Semgrep(settings.semgrep, settings.rules or Path("/")).version()
    except Absent as error:
        yield _absent(patient, str(error).partition(":")[0], _SEMGREP, "jobs.security_scan.code.semgrep")
    except ClientError as error:
        yield broken(str(error), f"{settings.semgrep} --version")
    else:
        yield good(f"Semgrep {version}")


def _absent(patient: Patient, detail: str, remedy: str, setting: str) -> Diagnosis:
    """A tool that is not there: a fault where somebody has set it, else a part of the scan that is not made."""
    if patient.is_set(setting):
        return missing(detail, remedy)
    return not_configured(f"{detail}: what it would find is unknown", remedy)


def packet_filter(patient: Patient) -> Iterator[Diagnosis]:
    """Its rules can be listed."""
    try:
        found = firewall.read(patient.limit_seconds)
    except ClientError as error:
        yield failed(error, "apt-get install nftables", configured=False)
        return
    if found.nftables is None and not found.ipv4:
        yield unknown(f"its rules cannot be listed: {'; '.join(found.failures)}", "run as root")
    else:
        yield good("its rules can be listed")


def package_manager(patient: Patient) -> Iterator[Diagnosis]:
    """Whether it is known which package a program came with."""
    try:
        packages.Packages(patient.root).owners(["/bin/sh"])
    except ClientError as error:
        yield failed(error, "dpkg --audit", configured=False)
    else:
        yield good("it is known which package a program came with")

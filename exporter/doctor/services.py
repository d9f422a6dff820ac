"""Ollama, HTTP endpoints, agents and certificates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote

from exporter.doctor.diagnosis import Diagnosis, Patient, broken, failed, good, missing, not_configured
from jobs.certificates.inventory import Looker
from jobs.certificates.reading import EndpointReading, FileReading
from jobs.certificates.settings import OWN
from jobs.checks.services import judge_endpoint
from jobs.clients import commands
from jobs.clients.errors import Absent, ClientError
from jobs.clients.http import Ask
from jobs.core.checks import Status

_EXAMPLE_MODEL = "llama3.2:1b"


def ollama(patient: Patient) -> Iterator[Diagnosis]:
    """It lists its models, and the one for the test is among them. Nothing is generated: that would load a model."""
    settings = patient.settings.ollama
    try:
        installed = patient.clients.ollama.installed()
    except ClientError as error:
        remedy = "systemctl start ollama; or correct ollama.url"
        yield failed(error, remedy, configured=settings.url is not None)
        return
    names, wanted = [model.name for model in installed], settings.canary_model or ""
    yield (
        good(f"{len(names)} models: {', '.join(names[:10])}")
        if names
        else missing("it answers and has no model", f"ollama pull {wanted or _EXAMPLE_MODEL}")
    )
    if wanted and not {wanted, f"{wanted}:latest"} & set(names):
        yield missing(f"{wanted} (ollama.canary_model) is not installed", f"ollama pull {wanted}", "canary-model")


def endpoints(patient: Patient) -> Iterator[Diagnosis]:
    """Each answers with the status that it should."""
    wanted = patient.clients.world.endpoints
    if not wanted:
        yield not_configured("none is listed", "set endpoints to what must answer")
    replies = patient.clients.http.fetch_all([Ask(one.url, one.timeout_seconds) for one in wanted])
    for one, reply in zip(wanted, replies, strict=True):
        answer = judge_endpoint(reply, one)
        passed = answer.status is Status.PASS
        yield good(answer.message, one.name) if passed else broken(answer.message, answer.remedy, one.name)


def agents(patient: Patient) -> Iterator[Diagnosis]:
    """Which there are, listed or found by their label, and whether each is well."""
    client = patient.clients.agents
    roll = client.roll()
    if not roll.watched:
        label = "label their containers sutazai.agent=true, or list them in agents.listed"
        yield not_configured("none is listed or found", label)
    for reading in client.read(roll, roll.watched):
        state, name = f"{reading.state}: {reading.detail}", reading.agent.name
        yield (
            good(state, name)
            if reading.healthy
            else broken(state, f"sutazai-exporter run agent-monitor --target {name}; docker logs {name}", name)
        )
    for number, finding in enumerate(roll.findings):
        yield broken(finding.message, finding.remedy, f"label-{number + 1}")
    if roll.engine_error:
        yield broken(f"which there are is not all known: {roll.engine_error}", "see the check docker", "engine")


def certificates(patient: Patient) -> Iterator[Diagnosis]:
    """Each file can be read, with its key; each endpoint serves one; what is run for them is there."""
    settings = patient.settings.jobs.certificate_renewal
    inventory = Looker(settings, patient.clients).look()
    for reading in inventory.files:
        yield _file(reading)
    for endpoint in inventory.endpoints:
        yield _endpoint(endpoint)
    yield from _authority([path for path in (settings.ca_certificate, settings.ca_key) if path], patient.base_dir)
    programs = [one.renewal_command for one in settings.files] + [one.command for one in settings.services]
    for argv in filter(None, programs):
        yield _program(argv[0])


def _file(reading: FileReading) -> Diagnosis:
    if reading.missing and reading.entry.path == OWN:
        return not_configured("none yet", "sutazai-exporter run certificate-renewal", reading.label)
    error = reading.error or reading.key_error or reading.trust_error
    if error:
        kind = missing if isinstance(error, Absent) else broken
        return kind(str(error), f"mend it: ls -lL {quote(str(reading.path))}", reading.label)
    until = f", good until {reading.facts.not_after:%Y-%m-%d}" if reading.facts else ""
    return good(f"readable{' with its key' if reading.key else ''}{until}", reading.label)


def _endpoint(reading: EndpointReading) -> Diagnosis:
    address = reading.endpoint.address
    if reading.served is None:
        return broken(reading.error, "see whether that service runs", address)
    return good(f"serves one that is good until {reading.served.facts.not_after:%Y-%m-%d}", address)


def _authority(paths: Sequence[Path], base_dir: Path) -> Iterator[Diagnosis]:
    for path in paths:
        try:
            with (base_dir / path).open("rb"):
                yield good("readable", str(path))
        except OSError as error:
            yield broken(f"{base_dir / path}: {error.strerror}", f"ls -lL {quote(str(base_dir / path))}", str(path))


def _program(name: str) -> Diagnosis:
    try:
        return good(commands.find(name), name)
    except Absent as error:
        return missing(str(error), f"install {name}, or set its whole path", name)

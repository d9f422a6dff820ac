"""Renewing our own pair: backed up, made, tried, switched by one link, served, or else taken back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.certificates import services
from jobs.certificates.check import check_pair
from jobs.certificates.inventory import Inventory
from jobs.certificates.issue import Authority, Wanted, end_of, issue
from jobs.certificates.metrics import Outcome
from jobs.certificates.notes import Notes, Step
from jobs.certificates.settings import OWN, Settings
from jobs.certificates.state import Issued, State, StateFile, Switch
from jobs.certificates.versions import CERT, KEY, Pair, Versions
from jobs.clients.certificates import CertificateFacts, read_certificate, read_file, read_key
from jobs.clients.errors import Absent, ClientError
from jobs.core.clock_jump import ClockMark
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients

SUBJECT = "certificate/ssl/cert.pem"


@dataclass
class Own:
    """What every step on our own pair needs. `state` is what is remembered so far."""

    clients: Clients
    settings: Settings
    inventory: Inventory
    notes: Notes
    state: State
    began_seconds: float
    began: ClockMark

    def __post_init__(self) -> None:
        self.files = StateFile(self.clients.base_dir)
        self.versions = Versions(self.clients.base_dir)

    def remember(self, **changes: object) -> None:
        """Change what is remembered, on disk first of all."""
        state = self.state.updated(**changes)
        self.files.save(state)
        self.state = state

    def try_to_remember(self, **changes: object) -> None:
        """The same where there is nobody left to stop: what cannot be written is a finding."""
        try:
            self.remember(**changes)
        except OSError as error:
            if all(finding.kind != "state_not_saved" for finding in self.notes.findings):
                message = f"{self.files.path} cannot be written: {error}"
                self.notes.find("state_not_saved", SUBJECT, Severity.HIGH, message)

    def link(self) -> None:
        """Make links of both files. They are already, unless the old pair was none: then the broken one goes last."""
        whole = self.inventory.own.facts is not None
        self.versions.link(*((CERT, KEY) if whole else (KEY, CERT)))


class Renewal:
    """One attempt. `steps` is the plan; `run` carries it out and never raises for what can go wrong with it."""

    def __init__(self, own: Own, wanted: Wanted, authority: Authority | None, reason: str, now: datetime) -> None:
        self._own, self._wanted, self._authority, self._reason, self._now = own, wanted, authority, reason, now
        self._found = content_of(own.versions)
        self._adopts = _is_pair(own.inventory) and not own.versions.linked()
        self._facts: CertificateFacts | None = None
        self._version = ""

    @property
    def new_versions(self) -> int:
        """How many versions there will be more."""
        return 2 if self._adopts else 1

    def steps(self) -> list[Step]:
        """Everything that is done up to the switch, then what makes services take the new pair."""
        names, end = ", ".join(self._wanted.names), end_of(self._wanted, self._authority, self._now)
        signer = f"signed by {self._authority.name}" if self._authority else "self-signed"
        made = f"{self._wanted.key}, {signer}, valid until {end:%Y-%m-%d %H:%M}, for {names}; because {self._reason}"
        steps = [Step("back up", "ssl/cert.pem", "to backups/certificates", self._back_up)] if self._found else []
        steps.append(Step("issue", "ssl/cert.pem", made, self._issue))
        if self._adopts:
            steps.append(
                Step("adopt", "ssl/cert.pem", "keep the pair as a version, and make links of both", self._adopt)
            )
        steps.append(Step("switch", "ssl/current", "to the new version, by one rename", self._switch))
        return [*steps, *Handover(self._own).steps()]

    def run(self) -> None:
        """Carry it out. Whatever fails before the switch leaves the old pair as it was."""
        own, steps = self._own, self.steps()
        try:
            own.notes.carry_out(steps)
        except (ClientError, OSError) as error:
            failed(own, f"ssl/cert.pem was not renewed: {error}", Outcome.FAILED)

    def _back_up(self) -> str:
        facts = self._own.inventory.own.facts
        place = self._own.versions.back_up(self._found, facts.fingerprint if facts else "", self._now)
        return f"to {place.relative_to(self._own.clients.base_dir)}"

    def _issue(self) -> None:
        own = self._own
        own.notes.report.log("info", f"making a key: {self._wanted.key}")
        prepared = own.versions.prepare(issue(self._wanted, self._authority, self._now), self._key_owner())
        try:
            self._facts = check_pair(prepared, self._wanted, self._authority, own.clients.clock.now())
            one = Issued(fingerprint=self._facts.fingerprint, key_digest=self._facts.key_digest, at=self._now)
            # Before anything can use it: what is not in the record would be taken for somebody else's.
            state = own.state.with_issued(one)
            own.remember(issued=state.issued)
            self._version = own.versions.publish(prepared, self._now)
        except BaseException:
            shutil.rmtree(prepared, ignore_errors=True)
            raise

    def _adopt(self) -> None:
        pair = Pair(self._found[CERT], self._found[KEY])
        self._own.versions.adopt(pair, self._now, self._key_owner())

    def _switch(self) -> str:
        own = self._own
        if own.began.jump(own.clients.clock_marks.at(own.clients.clock.now())):
            raise ClientError("the clock was set by more than an hour during the run, so no date is certain")
        own.remember(switching=Switch(version=self._version, previous=own.versions.in_use()))
        own.versions.switch(self._version)
        own.link()
        return f"to versions/{self._version}, by one rename"

    def _key_owner(self) -> tuple[int, int] | None:
        key = self._own.inventory.own.key
        return (key.owner, key.group) if key else None


class Handover:
    """After a switch: services are told, endpoints looked at, and the switch is made final or undone."""

    def __init__(self, own: Own) -> None:
        self._own = own
        self._services = [one for one in own.settings.services if one.certificate == OWN]
        # One that did not answer before says nothing about the new certificate.
        self._endpoints = [one.endpoint for one in own.inventory.endpoints_of(OWN) if one.served]

    def steps(self) -> list[Step]:
        """The plan."""
        own = self._own
        told = services.reload_steps(own.clients, self._services, own.notes)
        seconds = own.settings.reload_timeout_seconds
        addresses = ", ".join(endpoint.address for endpoint in self._endpoints)
        detail = f"{addresses}: it must be served within {seconds:g} s, or the old pair comes back"
        if not self._endpoints:
            detail = "no endpoint is known to serve it, so none is looked at"
        return [*told, Step("check", "ssl/cert.pem", detail, self._conclude)]

    def _conclude(self) -> str:
        own = self._own
        switch = own.state.switching or Switch(version=own.versions.in_use())
        fingerprint = read_certificate(own.versions.directory / switch.version / CERT).fingerprint
        seconds = own.settings.reload_timeout_seconds
        late = services.not_serving(own.clients, self._endpoints, fingerprint, seconds)
        reason = services.told(late)
        if late and usable(own.versions, switch.previous, own.clients.clock.now()):
            return self._roll_back(switch.previous, f"{reason}, {seconds:g} s after the reload")
        if late:
            message = f"the new ssl/cert.pem is not served everywhere: {reason}; there is no usable pair to go back to"
            own.notes.find("not_taken", SUBJECT, Severity.CRITICAL, message, "restart what still serves the old one")
        own.remember(switching=None, previous=switch.previous, last_renewal=own.clients.clock.now())
        own.notes.outcomes.append(Outcome.RENEWED)
        served = f"{', '.join(one.address for one in self._endpoints)} serve it" if self._endpoints else ""
        return reason or served

    def _roll_back(self, previous: str, reason: str) -> str:
        own = self._own
        own.versions.switch(previous)
        own.notes.report.log("error", f"back to versions/{previous}: {reason}")
        for service in self._services:
            services.reload_noted(own.clients, service, own.notes)
        old = read_certificate(own.versions.directory / previous / CERT).fingerprint
        left = services.not_serving(own.clients, self._endpoints, old, own.settings.reload_timeout_seconds)
        message = f"the new ssl/cert.pem was taken back, and the old pair is in service: {reason}"
        if left:
            message += f"; {services.told(left)}, although it is back"
        failed(own, message, Outcome.ROLLED_BACK)
        return f"taken back to versions/{previous}: {reason}"


def failed(own: Own, message: str, outcome: Outcome) -> None:
    """Note an attempt that came to nothing; what can no longer be remembered is a finding more."""
    own.notes.outcomes.append(outcome)
    own.notes.report.log("error", message)
    remedy = "see the run's log; try it with: sutazai-exporter run certificate-renewal --dry-run"
    own.notes.find("renewal_failed", SUBJECT, Severity.CRITICAL, message, remedy)
    unfinished = own.state.switching
    if unfinished and own.versions.in_use() != unfinished.version:
        unfinished = None
    own.try_to_remember(switching=unfinished, last_error=message[:1000])


def usable(versions: Versions, name: str, now: datetime) -> bool:
    """Whether a version is a pair that can be served now."""
    if not name:
        return False
    directory = versions.directory / name
    try:
        facts, key = read_certificate(directory / CERT), read_key(directory / KEY)
    except ClientError:
        return False
    return facts.key_digest == key.key_digest and now < facts.not_after


def content_of(versions: Versions) -> dict[str, bytes]:
    """The files that are there, whatever they hold."""
    found: dict[str, bytes] = {}
    for name, path in ((CERT, versions.cert), (KEY, versions.key)):
        try:
            found[name] = read_file(path)[0]
        except Absent:
            continue
    return found


def _is_pair(inventory: Inventory) -> bool:
    facts, key = inventory.own.facts, inventory.own.key
    return facts is not None and key is not None and facts.key_digest == key.key_digest

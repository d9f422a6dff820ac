"""Certificates that somebody else issues: renewed by the command that the configuration names for each."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from jobs.certificates import services
from jobs.certificates.judging import Judged
from jobs.certificates.metrics import Outcome
from jobs.certificates.notes import Step
from jobs.certificates.reading import FileReading
from jobs.certificates.renewal import Own, content_of
from jobs.certificates.settings import OWN
from jobs.clients import commands
from jobs.clients.errors import ClientError
from jobs.core.model import Severity


class ByCommand:
    """One renewal by command. The files are the command's: they are looked at afterwards, never written here."""

    def __init__(self, own: Own, reading: FileReading, reason: str, look_again: Callable[[], Judged]) -> None:
        self._own, self._reading, self._reason, self._look_again = own, reading, reason, look_again
        self._before = reading.facts.fingerprint if reading.facts else ""
        self._services = [one for one in own.settings.services if one.certificate == reading.entry.path]
        self._endpoints = [one.endpoint for one in own.inventory.endpoints_of(reading.entry.path) if one.served]
        self._fingerprint = ""

    def steps(self) -> list[Step]:
        """The plan."""
        own = self._own
        label, command = self._reading.label, self._reading.entry.renewal_command or ()
        why = f"{shlex.join(command)}; because {self._reason}"
        steps = [Step("run", label, why, self._run)]
        if self._reading.entry.path == OWN:
            steps.insert(0, Step("back up", label, "to backups/certificates", self._back_up))
        told = services.reload_steps(own.clients, self._services, own.notes)
        return [*steps, *told, *([Step("check", label, self._addresses(), self._check)] if self._endpoints else [])]

    def run(self) -> None:
        """Carry it out; never raises for what can go wrong with it."""
        try:
            self._own.notes.carry_out(self.steps())
        except (ClientError, OSError) as error:
            self._failed(f"{self._reading.label} was not renewed: {error}")

    def _addresses(self) -> str:
        return ", ".join(endpoint.address for endpoint in self._endpoints)

    def _back_up(self) -> str:
        files = content_of(self._own.versions)
        place = self._own.versions.back_up(files, self._before, self._own.clients.clock.now())
        return f"to {place.relative_to(self._own.clients.base_dir)}"

    def _run(self) -> str:
        entry = self._reading.entry
        commands.run(entry.renewal_command or (), timeout_seconds=entry.renewal_timeout_seconds)
        judged = self._look_again()
        self._fingerprint = judged.facts.fingerprint if judged.facts else ""
        if judged.valid is not True:
            wrong = "; ".join(trouble.message for trouble in judged.troubles) or "it cannot be read"
            raise ClientError(f"the renewal command ended well, but {wrong}")
        if self._fingerprint == self._before:
            raise ClientError("the renewal command ended well, but the certificate is the one from before")
        self._own.notes.outcomes.append(Outcome.RENEWED)
        self._own.try_to_remember(last_renewal=self._own.clients.clock.now())
        return f"renewed by {(entry.renewal_command or ('',))[0]}; because {self._reason}"

    def _check(self) -> str | None:
        seconds = self._own.settings.reload_timeout_seconds
        late = services.not_serving(self._own.clients, self._endpoints, self._fingerprint, seconds)
        if late:
            message = f"{self._reading.label} is new, and not served everywhere: {services.told(late)}"
            subject = f"certificate/{self._reading.label}"
            self._own.notes.find(
                "not_taken", subject, Severity.CRITICAL, message, "restart what still serves the old one"
            )
            return services.told(late)
        return None

    def _failed(self, message: str) -> None:
        own = self._own
        own.notes.outcomes.append(Outcome.FAILED)
        own.notes.report.log("error", message)
        remedy = f"run it by hand: {shlex.join(self._reading.entry.renewal_command or ())}"
        own.notes.find("renewal_failed", f"certificate/{self._reading.label}", Severity.CRITICAL, message, remedy)
        own.try_to_remember(last_error=message[:1000])

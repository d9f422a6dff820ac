"""A run of certificate renewal: look, change what is due, look again, and say what came of it."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from jobs.certificates.by_command import ByCommand
from jobs.certificates.inventory import Looker
from jobs.certificates.issue import Authority, read_authority, wanted_of
from jobs.certificates.judging import Judged, judge_file
from jobs.certificates.metrics import Outcome
from jobs.certificates.notes import Notes, Step
from jobs.certificates.ownership import Owner, blocked, needs_other, owner_of, reason_to_renew
from jobs.certificates.reading import FileReading, read_listed
from jobs.certificates.renewal import SUBJECT, Handover, Own, Renewal, failed
from jobs.certificates.settings import FORCE, OWN, WATCH, Settings
from jobs.certificates.state import State, StateFile
from jobs.certificates.versions import Versions, remove
from jobs.clients.errors import ClientError
from jobs.core.clock_jump import clock_finding
from jobs.core.model import Severity

if TYPE_CHECKING:
    from jobs.clients import Clients

TASK = "certificate-renewal"


class Run:
    """One run. `carry_out` does everything; what it found and did is then in `inventory`, `notes` and `state`."""

    def __init__(self, settings: Settings, clients: Clients, mode: str, dry_run: bool) -> None:
        self.settings, self.clients, self.mode, self.dry_run = settings, clients, mode, dry_run
        self.now = clients.clock.now()
        self.notes = Notes(clients.report)
        self.state = State()
        self._looker = Looker(settings, clients)
        self._versions = Versions(clients.base_dir)
        self._prunes: list[Step] = []

    def carry_out(self) -> None:
        """Look, and unless the run only watches, change what is due."""
        began_seconds, began = self.clients.clock.monotonic(), self.clients.clock_marks.at(self.now)
        self.state = self._load()
        self.inventory = self._looker.look()
        if self.mode == WATCH:
            return
        own = Own(self.clients, self.settings, self.inventory, self.notes, self.state, began_seconds, began)
        jump = self.clients.clock_marks.jump(TASK, self.now)
        if jump is not None:
            self.notes.findings.append(clock_finding(jump, "nothing is renewed or removed"))
        else:
            self._change(own)
        if not self.dry_run:
            self._remember(own, jump is not None)

    def _remember(self, own: Own, jumped: bool) -> None:
        """Keep how it went: a run in which nothing failed ends what was said of an older failure."""
        changes: dict[str, object] = {} if self._has_failed or jumped else {"last_error": ""}
        own.try_to_remember(last_run=self.clients.clock.now(), **changes)
        self.state = own.state
        self._mark_the_clock()
        if self.notes.actions:
            self.inventory = self._looker.look()

    def _mark_the_clock(self) -> None:
        try:
            self.clients.clock_marks.set(TASK, self.clients.clock.now())
        except OSError as error:
            message = f"that this run was at {self.now:%Y-%m-%d %H:%M} cannot be remembered: {error}"
            self.notes.find("state_not_saved", "host/clock", Severity.HIGH, message)

    @property
    def _has_failed(self) -> bool:
        return bool({Outcome.FAILED, Outcome.ROLLED_BACK} & set(self.notes.outcomes))

    def judge(self, reading: FileReading) -> Judged:
        """A certificate in a file, by the names that it must be for: those that somebody has set."""
        subject, names = self.clients.world.certificate, list(reading.entry.names)
        if reading.entry.path == OWN:
            names += [*([subject.domain] if "domain" in subject.model_fields_set else []), *self.settings.extra_names]
        return judge_file(reading, names, subject.renewal_threshold_days, self.clients.clock.now())

    def owner(self, reading: FileReading) -> Owner:
        """Whose our pair is."""
        adopts = self.settings.adopt_self_signed
        return owner_of(reading, self.state, self.authority[0], adopts=adopts)

    @cached_property
    def authority(self) -> tuple[Authority | None, str]:
        """The private CA, or why it cannot be used; neither where none is configured."""
        settings, base = self.settings, self.clients.base_dir
        if settings.ca_certificate is None or settings.ca_key is None:
            return None, ""
        password = settings.ca_key_password.get_secret_value() if settings.ca_key_password else None
        try:
            return read_authority(base / settings.ca_certificate, base / settings.ca_key, password), ""
        except ClientError as error:
            return None, str(error)

    def _load(self) -> State:
        file = StateFile(self.clients.base_dir)
        try:
            return file.load()
        except ClientError as error:
            message = f"{error}; without it, only the CA's signature tells which certificates are ours"
            self.notes.find("state_unreadable", SUBJECT, Severity.HIGH, message, "bring it back from a backup")
        if self.mode != WATCH and not self.dry_run:
            try:
                file.set_aside(self.now)
            except OSError as error:
                self.notes.find("state_not_saved", SUBJECT, Severity.HIGH, f"{file.path}: {error}")
        return State()

    def _change(self, own: Own) -> None:
        interrupted = own.state.switching
        renewal = None
        if interrupted and own.versions.in_use() == interrupted.version:
            self._finish(own)
        else:
            if interrupted and not self.dry_run:
                own.try_to_remember(switching=None)  # that run was ended before the switch itself
            renewal = self._own_pair(own)
        self._plan_removals(own, renewal.new_versions if renewal else 0)
        if renewal is not None:
            self._do(renewal)
        for reading in self.inventory.files[1:]:
            judged = self.judge(reading)
            if reading.entry.renewal_command and (judged.due or needs_other(judged)):
                self._do_in_time(own, reading, judged)
        if not self._has_failed:  # else nobody knows yet which of the versions is still needed
            self._remove()

    def _do_in_time(self, own: Own, reading: FileReading, judged: Judged) -> None:
        """Run a renewal command, unless this run might be ended in the middle of it."""
        spent = self.clients.clock.monotonic() - own.began_seconds
        if (
            spent + reading.entry.renewal_timeout_seconds + self.settings.reload_timeout_seconds
            > self.settings.max_run_seconds
        ):
            message = f"the renewal of {reading.label} is left to the next run: this one has no time for it"
            self.notes.find("postponed", f"certificate/{reading.label}", Severity.MEDIUM, message)
            return
        self._do(self._by_command(own, reading, judged))

    def _do(self, renewal: Renewal | ByCommand) -> None:
        if self.dry_run:
            self.notes.plan(renewal.steps())
        else:
            renewal.run()

    def _finish(self, own: Own) -> None:
        """A run before this one was ended between the switch and its check: services may not know of it yet."""
        link = Step("link", "ssl/cert.pem", "make links of both files", own.link)
        steps = [*([] if own.versions.linked() else [link]), *Handover(own).steps()]
        if self.dry_run:
            self.notes.plan(steps)
            return
        try:
            self.notes.carry_out(steps)
        except (ClientError, OSError) as error:
            failed(own, f"the switch that was begun could not be finished: {error}", Outcome.FAILED)

    def _own_pair(self, own: Own) -> Renewal | None:
        reading, (authority, problem) = self.inventory.own, self.authority
        judged, owner = self.judge(reading), self.owner(reading)
        if problem:
            self.notes.find("ca_unusable", "certificate/ca", Severity.HIGH, f"the private CA cannot be used: {problem}")
        if owner in (Owner.OTHERS, Owner.UNKNOWN):
            self._others(own, reading, judged, owner)
            return None
        reason = reason_to_renew(reading, judged, authority, self.now, forced=self.mode == FORCE)
        if not reason:
            return None
        try:
            if problem:
                raise ClientError(problem)
            return Renewal(own, wanted_of(self.settings, self.clients.world.certificate), authority, reason, self.now)
        except ClientError as error:
            self._cannot(own, f"ssl/cert.pem was not renewed: {error}")
            return None

    def _cannot(self, own: Own, message: str) -> None:
        if self.dry_run:
            self.notes.find("renewal_failed", SUBJECT, Severity.CRITICAL, message)
        else:
            failed(own, message, Outcome.FAILED)

    def _others(self, own: Own, reading: FileReading, judged: Judged, owner: Owner) -> None:
        if not (judged.due or needs_other(judged) or owner is Owner.UNKNOWN or self.mode == FORCE):
            return
        if reading.entry.renewal_command and owner is Owner.OTHERS:
            self._do(self._by_command(own, reading, judged))
            return
        said = blocked(reading, owner)
        self.notes.find(said.kind, SUBJECT, Severity.HIGH, said.message, said.remedy)

    def _by_command(self, own: Own, reading: FileReading, judged: Judged) -> ByCommand:
        reason = "; ".join(trouble.message for trouble in judged.troubles) or "it is due"
        base = self.clients.base_dir

        def look_again() -> Judged:
            return self.judge(read_listed(reading.entry, base, self._looker.authorities, self.clients.clock.now()))

        return ByCommand(own, reading, reason, look_again)

    def _plan_removals(self, own: Own, coming: int) -> None:
        """Chosen before anything is renewed, so that the plan and its execution cannot differ."""
        settings, switching = self.settings, own.state.switching
        needed = {self._versions.in_use()}
        if not coming:  # else the one in use becomes the previous one
            needed |= {own.state.previous, *((switching.version, switching.previous) if switching else ())}
        try:
            old = self._versions.outdated(
                self.now, settings.keep_versions, settings.version_retention_days, coming, needed
            )
            reasons = [(path, "older, or more, than is kept") for path in old]
            reasons += [(path, "left by a run that was ended") for path in self._versions.leftovers(self.now)]
        except OSError as error:
            self.notes.find("not_removed", "backups/certificates", Severity.MEDIUM, f"old versions stay: {error}")
            return
        base = self.clients.base_dir
        self._prunes = [Step("remove", str(p.relative_to(base)), why, partial(remove, p)) for p, why in reasons]

    def _remove(self) -> None:
        if self.dry_run:
            self.notes.plan(self._prunes)
            return
        try:
            self.notes.carry_out(self._prunes)
        except OSError as error:
            self.notes.find("not_removed", "backups/certificates", Severity.MEDIUM, f"old versions stay: {error}")

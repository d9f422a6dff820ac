"""A run of the verification: every file, then the drills, and what they came to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from jobs.backups.files import BackupFiles
from jobs.core.cadence import Cadence
from jobs.core.checks import sample
from jobs.core.job import JobError
from jobs.core.model import Action, Observation, Request, Result, Sample
from jobs.verification import coverage, families, figures
from jobs.verification.drills import ATTEMPTS, Drills, Evidence, candidates
from jobs.verification.integrity import Checked, Integrity, State
from jobs.verification.items import Item, all_items
from jobs.verification.places import Places, find_pg_restore
from jobs.verification.proofs import Proofs, past_run
from jobs.verification.settings import Settings
from jobs.verification.state import Memory, StateFiles
from jobs.verification.verdicts import WORDS, Round

if TYPE_CHECKING:
    from jobs.clients import Clients

STANDARD, FULL = "standard", "full"
_SLACK_SECONDS = 30.0
"""Kept of the run's time for dropping scratch databases and writing down what was found."""
_FOR_FILES = 0.6
"""Of the time of a full run, what the files may take."""


class Run:
    """One run: `result` does everything. `cadences` tell when the next one is."""

    def __init__(self, settings: Settings, clients: Clients, request: Request, cadences: Sequence[Cadence]) -> None:
        self.settings, self.clients, self.request, self.cadences = settings, clients, request, cadences
        self.now, self.began = clients.clock.now(), clients.clock.monotonic()
        self.files, self.state = BackupFiles(clients.base_dir), StateFiles(clients.base_dir)
        self.proofs = Proofs(self.files, self.state, clients.report, self.now)
        self.actions: list[Action] = []
        self.full = request.mode == FULL

    def result(self) -> Result:
        """Check, drill, remember, and say what was found."""
        items, expected = self._items(), coverage.expected(self.clients)
        settings = self.settings
        with Places(
            self.clients, settings.drill, settings.drill_directory, limit_seconds=settings.max_run_seconds
        ) as places:
            leftovers = self._collect(places)
            if self.request.dry_run:
                return self._planned(items)
            if not items and not expected.wanted and not expected.problems:
                return _not_configured(settings, self.actions)
            checked = self._check(items)
            drills = self._drill(places, checked) if self.full and settings.drill != "off" else []
        return self._result([one for one in checked if one.state is not State.GONE], drills, expected, leftovers)

    def _items(self) -> list[Item]:
        try:
            try:
                found = all_items(self.files, self.now.tzinfo)
            except FileNotFoundError:  # retention took one away while we looked: the next look does not find it
                found = all_items(self.files, self.now.tzinfo)
        except OSError as error:
            raise JobError(f"{error.filename or self.files.directory} cannot be read: {error.strerror}") from None
        # What was proven longest ago comes first: where the time does not suffice, no file is left out for ever.
        return sorted(found, key=_last_proven)

    def _collect(self, places: Places) -> list[str]:
        dry_run = self.request.dry_run
        found, problems = places.collect(dry_run=dry_run)
        for name in found:
            detail = "left by a drill that was killed"
            self.clients.report.log("warning", f"{name} was {detail}")
            self.actions.append(Action(verb="remove", subject=name, detail=detail, done=not dry_run))
        for problem in problems:
            self.clients.report.log("info", f"leftovers of drills could not be looked for: {problem}")
        return found

    def _check(self, items: Sequence[Item]) -> list[Checked]:
        share, checked = _FOR_FILES if self.full else 1.0, list[Checked]()

        def expired() -> bool:
            return self._left(share) <= 0

        integrity = Integrity(expired, cache(partial(find_pg_restore, self.clients)), self.clients.clock.monotonic)
        for done, item in enumerate(items):
            self.clients.report.progress(done, len(items), f"checking {item.name}")
            if expired():
                checked.append(Checked(item, State.UNKNOWN, "the time of the run was over before it was reached"))
            else:
                checked.append(integrity.check(item))
                self.proofs.of_file(checked[-1])
        return checked

    def _drill(self, places: Places, checked: Sequence[Checked]) -> list[Evidence]:
        settings, made, of_item = self.settings, list[Evidence](), {id(one.item): one for one in checked}
        drills = Drills(
            self.clients,
            places,
            self._left,
            limit_seconds=settings.max_verification_seconds,
            jobs=settings.restore_jobs,
            extensions=settings.drill_extensions,
        )
        sources = candidates(one.item for one in checked)
        for done, items in enumerate(sources):
            self.clients.report.progress(done, len(sources), f"restoring {items[0].source}")
            for evidence in drills.of_source([of_item[id(item)] for item in items], verify_all=settings.verify_all):
                self.proofs.of_drill(evidence, settings.evidence_files)
                made.append(evidence)
        return made

    def _left(self, share: float = 1.0) -> float:
        """Seconds until that share of the run's time is over, some kept for cleaning up."""
        slack_seconds = min(_SLACK_SECONDS, self.settings.max_run_seconds / 10)
        end = self.began + (self.settings.max_run_seconds - slack_seconds) * share
        return end - self.clients.clock.monotonic()

    def _planned(self, items: Sequence[Item]) -> Result:
        """What would be done; which dumps are whole is known only once they were read, so the newest are named."""
        plan = [Action(verb="check", subject=item.name, detail=f"{item.bytes} bytes", done=False) for item in items]
        if self.full and self.settings.drill != "off":
            for of_source in candidates(items):
                chosen = of_source if self.settings.verify_all else of_source[:1]
                detail = f"into a scratch database (drill: {self.settings.drill}); if it fails, up to {ATTEMPTS} in all"
                plan += [Action(verb="restore", subject=item.name, detail=detail, done=False) for item in chosen]
        summary = f"{len(items)} backup{'s' if len(items) != 1 else ''} would be checked"
        return Result(status="PLANNED", summary=summary, actions=(*self.actions, *plan))

    def _result(
        self,
        checked: Sequence[Checked],
        drills: Sequence[Evidence],
        expected: coverage.Expected,
        leftovers: Sequence[str],
    ) -> Result:
        settings, items = self.settings, [one.item for one in checked]
        lacking = {w: coverage.newest(w, items) is None for w in expected.wanted}
        missing = [w for w, absent in lacking.items() if absent]
        sources = {item.source for item in items} | {wanted.source for wanted in expected.wanted}
        past = past_run(self.now, checked, drills, missing=len(missing), unasked=len(expected.problems))
        memory = self.proofs.remember(past, drills, sources, settings.history_days)
        old = coverage.too_old(items, self.now, settings.max_backup_age_days)
        whole = Round(
            checked=checked,
            drills=drills,
            last_drills=memory.drills,
            missing=missing,
            old=[(item.source, item.created) for item in old],
            unasked=expected.problems,
            storage=coverage.storage_used_ratio(self.files.directory),
            storage_warn_percent=settings.storage_warn_percent,
            storage_max_percent=settings.storage_max_percent,
            max_age_days=settings.max_backup_age_days,
            other=self.proofs.findings,
        )
        samples = [
            *figures.of_files(checked),
            *figures.of_missing({(w.kind, w.source): absent for w, absent in lacking.items()}),
            *(figures.of_drills(memory) if settings.drill != "off" else ()),
            *figures.of_storage(whole.storage),
            *_limits(settings),
            sample(families.SUCCESS, memory.success_ratio() or 0),
            sample(families.LEFTOVERS, len(leftovers)),
        ]
        return Result(
            status=WORDS[whole.verdict()],
            verdict=whole.verdict(),
            summary=whole.summary(),
            findings=tuple(whole.findings()),
            actions=(*self.actions, *self.proofs.actions),
            samples=tuple(samples),
            observations=(Observation(series="backup_verification/success", value=past.success_ratio()),),
            report=whole.report(self._info(memory)),
        )

    def _info(self, memory: Memory) -> dict[str, object]:
        return {
            "timestamp": self.now.isoformat(timespec="seconds"),
            "verification_type": self.request.mode or STANDARD,
            "verify_all": self.settings.verify_all,
            "max_backup_age_days": self.settings.max_backup_age_days,
            "max_verification_seconds": self.settings.max_verification_seconds,
            "success_ratio": memory.success_ratio(),
            "history_days": self.settings.history_days,
            "next_verification": min(c.next_time(self.now) for c in self.cadences).isoformat(timespec="seconds"),
        }


def _last_proven(item: Item) -> float:
    verified = item.backup.verified if item.backup else None
    return verified.at.timestamp() if verified else 0.0


def _limits(settings: Settings) -> list[Sample]:
    return [
        sample(families.MAX_AGE, settings.max_backup_age_days * 86400),
        sample(families.RESTORE_LIMIT, settings.max_verification_seconds),
        sample(families.STORAGE_LIMIT, settings.storage_warn_percent / 100, level="warning"),
        sample(families.STORAGE_LIMIT, settings.storage_max_percent / 100, level="max"),
    ]


def _not_configured(settings: Settings, actions: Sequence[Action]) -> Result:
    summary = "there is nothing to back up that is known of, and no backup"
    return Result(status="NOT_CONFIGURED", summary=summary, actions=tuple(actions), samples=tuple(_limits(settings)))

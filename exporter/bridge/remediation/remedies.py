"""What an alert may bring about, going by the configuration: nothing here acts, or knows where things are kept.

An alert's texts only ever choose: its name and labels choose a rule, and one label chooses among the agents that are
known. What is run stands in the rule.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exporter.bridge.model import Alert, RemediationMode
from exporter.bridge.remediation.settings import Remediation, RemediationSettings, Step
from exporter.settings import Settings
from jobs.core.model import Request, Trigger
from jobs.core.registry import all_jobs

HOUR_SECONDS = 3600.0


class Refused(Exception):
    """The alert asks for what may not be done; the message says why in one line."""


def rule_for(alert: Alert, rules: Iterable[Remediation]) -> Remediation | None:
    """The first rule that is about this alert."""
    return next(
        (rule for rule in rules if rule.alert == alert.name and rule.labels.items() <= alert.labels.items()), None
    )


def mode_of(rule: Remediation, settings: RemediationSettings) -> RemediationMode:
    """What the rule may bring about: its own mode, else that of all."""
    return rule.mode or settings.mode


def target_of(rule: Remediation, alert: Alert, known: Collection[str]) -> str:
    """The agent that the alert is about, empty where the rule is about a task as a whole; raise Refused."""
    lacking = [name for name in rule.proof.labels if not alert.labels.get(name)]
    if lacking:
        raise Refused(f"the alert has no label {lacking[0]!r}, without which nothing could be proven")
    if rule.target_label is None:
        return ""
    target = alert.labels.get(rule.target_label, "")
    if target not in known:
        raise Refused(f"{target[:128]!r} is no agent that is known here (label {rule.target_label!r})")
    return target


def objection(rule: Remediation | None, task: str, settings: Settings) -> str:
    """Why what was decided before may not be done any more; empty if it may."""
    if rule is None or rule.steps[0].task != task:
        return "its rule is not there any more"
    if mode_of(rule, settings.remediation) in (RemediationMode.OFF, RemediationMode.SHADOW):
        return f"its mode is {mode_of(rule, settings.remediation)} now"
    return disabled(rule, settings)


def disabled(rule: Remediation, settings: Settings) -> str:
    """That one of the rule's tasks is disabled; empty if none is."""
    for run in (*rule.steps, rule.proof):
        key = all_jobs()[run.task].key
        if not getattr(settings.jobs, key).enabled:
            return f"{run.task} is disabled (jobs.{key}.enabled)"
    return ""


def steps_of(rule: Remediation, target: str, reason: str) -> list[Request]:
    """The runs that mend it, in their order."""
    return [_request(step, target, reason) for step in rule.steps]


def look_of(rule: Remediation, target: str, reason: str) -> Request:
    """The run that shows whether they did."""
    return _request(rule.proof, target, reason)


def plan_of(rule: Remediation, target: str) -> str:
    """What would be done, for people."""
    runs = [_request(run, target, "") for run in (*rule.steps, rule.proof)]
    *steps, look = (" ".join(filter(None, (run.task, run.mode, run.target))) for run in runs)
    return f"{', then '.join(steps)}; proven by {look} ({rule.proof.metric})"


def subject_of(task: str, target: str) -> str:
    """What a remediation is about, as problems name it."""
    return f"{task}/{target}" if target else task


def _request(run: Step, target: str, reason: str) -> Request:
    job = all_jobs()[run.task]
    own = target if job.takes_target else ""
    return Request(task=run.task, mode=run.mode or job.modes[0], target=own, trigger=Trigger.ALERT, reason=reason)


@dataclass(frozen=True)
class Past:
    """What was done lately, in Unix time: attempts on this target and on everything, and the target's last end."""

    target: Sequence[float] = ()
    overall: Sequence[float] = ()
    ended: float | None = None


@dataclass(frozen=True)
class Hold:
    """Why an attempt has to wait, and until when."""

    until: datetime
    reason: str


def hold(past: Past, settings: RemediationSettings, now: datetime) -> Hold | None:
    """What an attempt has to wait for: the longest of all that speaks against it now."""
    holds = [
        *_windows(settings, now),
        *_cool_down(past.ended, settings.cool_down_seconds, now),
        *_budget("this target", past.target, settings.max_per_target_per_hour, now),
        *_budget("everything", past.overall, settings.max_per_hour, now),
    ]
    return max(holds, key=lambda found: found.until, default=None)


def _windows(settings: RemediationSettings, now: datetime) -> Iterable[Hold]:
    for window in settings.maintenance_windows:
        until = window.until(now)
        if until:
            yield Hold(until, f"the maintenance window {window}")


def _cool_down(ended: float | None, seconds: float, now: datetime) -> Iterable[Hold]:
    if ended is not None and ended + seconds > now.timestamp():
        yield Hold(datetime.fromtimestamp(ended + seconds, now.tzinfo), f"the cool-down of {seconds:g} s")


def _budget(whose: str, spent: Sequence[float], limit: int, now: datetime) -> Iterable[Hold]:
    """Attempts within the sliding hour; those from the future (the clock was set back) count as well."""
    within = sorted(at for at in spent if at > now.timestamp() - HOUR_SECONDS)
    if len(within) >= limit:
        frees = datetime.fromtimestamp(within[len(within) - limit] + HOUR_SECONDS, now.tzinfo)
        yield Hold(frees, f"the budget of {whose}: {limit} in an hour")


def next_attempt(attempts: int, settings: RemediationSettings, now: datetime) -> datetime:
    """When the attempt after so many may be made: the wait doubles with each."""
    return now + timedelta(seconds=settings.backoff_seconds * 2 ** (attempts - 1))

"""Matters of whoever looks: tasks that do not run, alerts from outside, and the daemon itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from exporter import metrics
from exporter.bridge import families
from exporter.bridge.outgoing.problems import RUN_REMEDY
from exporter.plan import cadences_of
from exporter.runs.under_way import under_way
from exporter.views import commands, repairs
from exporter.views.matters import Matter, number, todo
from exporter.views.moments import read, told
from exporter.views.sources import Sources
from exporter.views.trouble import agent_cause, asked, problem_cause, score_cause, task_cause
from jobs.core.model import Severity
from jobs.core.registry import all_jobs

if TYPE_CHECKING:
    from exporter.views.shapes import AlertEntry, RemediationEntry, TaskEntry

MENDED, STALE, NEVER, UNREAD = "mended", "stale", "never", "unread"
UNKNOWN = frozenset([STALE, NEVER, UNREAD])
"""The groups of what should have been looked at and was not."""
GRACE_SECONDS = 120
"""A slot that nobody has claimed so long after it began is overdue, unless its run waits for another one to end."""
Slot = tuple[datetime, str]
"""When a slot began, and of which task."""
_INSTANT = timedelta(microseconds=1)
_START = "start the daemon, or see why cron does not run it"
_STORE, _RELOAD, _AUDIT, _SCHEDULE = "daemon/store", "daemon/reload", "daemon/audit", "daemon/schedule"
_WEB_CONFIG = "daemon/web-configuration"
_CHANNEL, _PROBLEM = "channel/", "problem/remediation/"
_ALERT_SEVERITIES = {
    "critical": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "error": Severity.HIGH,
    "high": Severity.HIGH,
    "info": Severity.INFO,
    "none": Severity.INFO,
}
"""Words of alerts; any other is a warning."""
_RETOLD = {
    "RemediationWaiting": ("approval/",),
    "RemediationFailed": (_PROBLEM,),
    "ConfigReloadFailed": (_RELOAD,),
    "WebConfigReloadFailed": (_WEB_CONFIG,),
    "StoreDown": (_STORE,),
    "AuditLogBroken": (_AUDIT,),
    "NotificationsDead": (_CHANNEL,),
    "NotificationsFailing": (_CHANNEL,),
    "NotificationsDelayed": (_CHANNEL,),
    **{f"{name.capitalize()}Score{how}": (score_cause(name), f"of/{task}/")
       for name, task in (("health", "health-check"), ("performance", "performance-report"))
       for how in ("Low", "Critical")},
}  # fmt: skip
"""Alerts of our own rules that tell again of what is known here, and what that is called."""


def of_tasks(tasks: Sequence[TaskEntry]) -> Iterator[Matter]:
    """Tasks that do not work, or have not for too long."""
    never = []
    for one in tasks:
        name, last = one["task"], one["last_run"]
        if one["failing"] and last:
            what = f"{name} ({last['mode']}) did not work: {last['error'] or last['outcome']}"
            command = commands.run(name, last["mode"])
            wanted = todo(Severity.HIGH, "task", name, what, RUN_REMEDY, command, last["finished"])
            yield Matter(wanted, "task", f"{name} does not work", frozenset([task_cause(name)]))
        elif one["stale"]:
            said = f"{name} has given no result since {read(one['last_success'])}"
            wanted = todo(
                Severity.MEDIUM, "task", name, said, "run it now, and see why it did not run", commands.run(name),
                one["last_success"],
            )  # fmt: skip
            yield Matter(wanted, STALE, said, frozenset([task_cause(name)]), covered_by=(_SCHEDULE,))
        elif one["cadences"] and one["last_success"] is None:
            never.append(one)
    if never:
        yield _of_never(never)


def _of_never(never: Sequence[TaskEntry]) -> Matter:
    """Tasks that have not run yet: after the installation, most."""
    names = ", ".join(one["task"] for one in never)
    following = read(min(one["next_run"] for one in never if one["next_run"]))
    said, remedy = f"{never[0]['task']} has not run yet", f"wait until it does (at {following}), or run it now"
    if len(never) > 1:
        said = f"{number(len(never))} tasks have not run yet"
        remedy = f"wait until they do (the next at {following}), or run them now"
    command = "; ".join(commands.run(one["task"]) for one in never)
    wanted = todo(Severity.LOW, "task", names, said, remedy, command)
    return Matter(wanted, NEVER, said, frozenset([NEVER]), covered_by=(_SCHEDULE,))


def of_schedule(
    sources: Sources, slots: Sequence[Slot], tasks: Sequence[TaskEntry], *, serving: bool
) -> Iterator[Matter]:
    """That nobody keeps the schedule; `slots` are those that are overdue."""
    if slots:
        began, name = min(slots)
        said = f"nothing keeps the schedule: {name} was due at {read(told(sources, began))} and did not run"
        remedy, command = ("see the daemon's log", "") if serving else (_START, "sutazai-exporter serve")
        wanted = todo(Severity.CRITICAL, "daemon", "schedule", said, remedy, command, told(sources, began))
        yield Matter(wanted, "daemon", said, frozenset([_SCHEDULE]))
    elif not serving and not any(one["last_run"] for one in tasks):
        said = "nothing has run here yet"
        wanted = todo(Severity.LOW, "daemon", "schedule", said, "start the daemon", "sutazai-exporter serve")
        yield Matter(wanted, NEVER, said, frozenset([_SCHEDULE]))


def overdue(sources: Sources) -> list[Slot]:
    """Slots that nobody claimed, the newest of each cadence. Raise StoreError.

    Where none of a cadence ever was claimed, nobody was to keep it so far. A run claims its slot as it begins: while
    one of its task is under way, or so many as may be at once, it has to wait, and nobody is to blame.
    """
    found = _unclaimed(sources)
    if not found:
        return []
    settings = sources.configuration.settings
    busy = [run.request.task for run in under_way(sources.store, settings.base_dir)]
    return [] if len(busy) >= settings.runs.max_parallel else [one for one in found if one[1] not in busy]


def _unclaimed(sources: Sources) -> list[Slot]:
    found, now = [], sources.schedule_now
    for name in all_jobs():
        for cadence in cadences_of(sources.configuration, name):
            slot = cadence.due_slot(now)
            began = cadence.slot_time(slot, now)
            if now.timestamp() - began.timestamp() < GRACE_SECONDS:
                slot = cadence.due_slot(began - _INSTANT)
                began = cadence.slot_time(slot, now)
            newest = sources.store.newest_slot(name, cadence.key)
            if newest is not None and newest < slot:
                found.append((began, name))
    return found


def of_daemon(sources: Sources) -> Iterator[Matter]:
    """What the daemon says of itself on /metrics."""
    get = sources.exposition.get
    for family, cause, said, remedy, command in (
        (metrics.STORE_UP, _STORE, "the store does not work", "see the daemon's log, and its disk", ""),
        (metrics.RELOAD_OK, _RELOAD, "the configuration could not be reloaded", "correct it; the old one is in force",
         "sutazai-exporter check-config"),
        (metrics.WEB_CONFIG_OK, _WEB_CONFIG, "the web configuration could not be read anew",
         "correct it; the old one is in force", "sutazai-exporter check-config"),
        (metrics.PAGE_WRITTEN, "daemon/page", "the file of the status page could not be written",
         "see the daemon's log, and whether dashboard/ of the base directory can be written", ""),
        (families.AUDIT_INTACT, _AUDIT, "the audit log is not whole", "find out who changed it",
         "sutazai-exporter audit verify"),
    ):  # fmt: skip
        if get(family.name) == 0:
            wanted = todo(Severity.HIGH, "daemon", cause.partition("/")[2], said, remedy, command)
            yield Matter(wanted, "daemon", said, frozenset([cause]))
    yield from _of_channels(sources)


def _of_channels(sources: Sources) -> Iterator[Matter]:
    """Channels of messages that do not take them."""
    for labels, count in sources.exposition.series(families.DEAD.name):
        channel = labels["channel"]
        said = f"{int(count)} message{'s' if count > 1 else ''} could not be sent through {channel}"
        remedy = "see why (notify dead), then have them sent again (notify retry) or put them aside (notify discard)"
        wanted = todo(Severity.HIGH, "daemon", channel, said, remedy, "sutazai-exporter notify dead")
        yield Matter(wanted, "channel", said, frozenset([f"{_CHANNEL}{channel}"]))
    for labels, works in sources.exposition.series(families.CHANNEL_UP.name):
        if works == 0:
            channel = labels["channel"]
            said = f"messages do not get through {channel}"
            wanted = todo(
                Severity.MEDIUM, "daemon", channel, said, "see why (notify pending)", "sutazai-exporter notify pending"
            )
            yield Matter(wanted, "channel", said, frozenset([f"{_CHANNEL}{channel}"]))


def of_alerts(
    alerts: Iterable[AlertEntry], remediations: Sequence[RemediationEntry], now: datetime
) -> Iterator[Matter]:
    """Alerts that fire, or that nobody repeated or resolved; with the repairs that they have brought about."""
    for one in alerts:
        severity = _ALERT_SEVERITIES.get(one["severity"].lower(), Severity.MEDIUM)
        if severity is Severity.INFO:
            continue
        what = one["summary"] or one["name"]
        remedy = f"see {one['runbook'] or 'its runbook'}, or silence it in Alertmanager"
        if one["state"] == "stale":
            severity, what = Severity.MEDIUM, f"{what} (nobody has repeated or resolved it for a day)"
            remedy = "see in Alertmanager whether it still fires"
        group, said = "alert", f"the alert {one['name']} fires"
        under_way = repairs.under_way(one, remediations)
        if not under_way and (done := repairs.proved(one, remediations, now)):
            group, said = MENDED, f"the alert {one['name']} still fires after its proven repair"
            severity, remedy = Severity.MEDIUM, repairs.patience(done, remedy)
        wanted = todo(severity, "alert", one["name"], what, remedy, since=one["since"])
        causes, covered = _about(one)
        yield Matter(wanted, group, said, causes, covered_by=covered, repair=under_way)


def _about(one: AlertEntry) -> tuple[frozenset[str], tuple[str, ...]]:
    """What the labels say that an alert is about."""
    labels, covered = one["labels"], [*_RETOLD.get(one["name"], ()), asked(one["name"])]
    causes = {"alert/" + "/".join(f"{name}={value}" for name, value in sorted(labels.items()))}
    if {"task", "kind", "subject"} <= labels.keys():  # a problem that Alertmanager was told of by us
        causes.add(problem_cause(labels["task"], labels["kind"], labels["subject"]))
    elif labels.get("task"):
        causes.add(task_cause(labels["task"]))
    if labels.get("agent"):
        causes.add(agent_cause(labels["agent"]))
    if labels.get("check"):
        covered.append(f"of/health-check/check/{labels['check']}")
    if labels.get("certificate"):
        covered.append(f"of/certificate-renewal/certificate/{labels['certificate']}")
    if labels.get("file"):
        covered.append(f"of/backup-verification/backup/{labels['file']}")
    return frozenset(causes), tuple(covered)

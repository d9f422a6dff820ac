"""The parts of the page, the most urgent first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from exporter.dashboard.markup import element, table, together
from exporter.dashboard.words import NONE, NOT_KNOWN, badge, moment, outcome, percent, seconds, severity

if TYPE_CHECKING:
    from exporter.views.shapes import RunEntry, Score, Status, TaskEntry, ToDo

_MOST_AGENTS = 200
"""So many agents have a row, those that are not well first."""


def all_of(status: Status, links: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[Markup]:
    """Every part."""
    yield _section("To do", _to_do(status))
    yield _section("Scores", element("div", *map(_score, status["scores"]), class_="scores"))
    yield _section("Agents", _agents(status))
    yield _section("Tasks", _tasks(status))
    yield _section("Findings", _findings(status))
    yield _section("Alerts and remediations", _alerts(status), _remediations(status))
    yield _section("Newest reports", _reports(status, links))


def _section(title: str, *content: object) -> Markup:
    name = title.lower().replace(" ", "-")
    return element("section", element("h2", title, id=name), *content, aria_labelledby=name)


def _empty(text: str) -> Markup:
    return element("p", text, class_="empty")


def _to_do(status: Status) -> Markup:
    if not status["to_do"]:
        known = "Nothing." if status["verdict"] == "good" else "Nothing that is known."
        return _empty(known)
    return element("ol", *map(_one, status["to_do"]), class_="todo")


def _one(todo: ToDo) -> Markup:
    since = together([" since ", moment(todo["since"])]) if todo["since"] else ""
    parts = [
        element("p", severity(todo["severity"]), " ", element("strong", todo["subject"]), since, class_="about"),
        element("p", todo["what"]),
    ]
    if todo["remedy"]:
        parts.append(element("p", todo["remedy"], class_="remedy"))
    if todo["command"]:
        parts.append(element("p", element("code", todo["command"]), class_="command"))
    return element("li", *parts)


def _score(score: Score) -> Markup:
    value = NOT_KNOWN if score["value"] is None else f"{score['value']:.0f} of 100"
    taken = [element("li", f"\N{MINUS SIGN}{entry['points']:g} ", entry["reason"]) for entry in score["deductions"]]
    told = (
        element("ul", *taken)
        if taken
        else _empty("Its task has not run, or not lately." if score["value"] is None else "Nothing was taken off.")
    )
    return element("div", element("h3", score["name"].capitalize()), element("p", value, class_="value"), told)


def _agents(status: Status) -> Markup:
    agents = sorted(status["agents"], key=lambda agent: agent["healthy"])
    if not agents:
        return _empty("No agents are known.")
    rows = [
        (
            agent["agent"],
            badge(agent["state"], "good" if agent["healthy"] else "critical"),
            percent(agent["uptime_24h_ratio"]),
            _count(agent["consecutive_failures"]),
            _count(agent["restarts_total"]),
        )
        for agent in agents[:_MOST_AGENTS]
    ]
    left = len(agents) - len(rows)
    more = _empty(f"{left} more agents are left out here: sutazai-exporter agents list") if left else ""
    up = sum(agent["healthy"] for agent in agents)
    caption = f"{up} of {len(agents)} agents are up"
    return together([table(caption, ("agent", "state", "up in 24 h", "failures in a row", "restarts"), rows), more])


def _count(value: int | None) -> object:
    return NOT_KNOWN if value is None else value


def _tasks(status: Status) -> Markup:
    rows = [
        (
            together([task["task"], element("span", task["summary"], class_="note")]),
            _state(task),
            _last(task["last_run"]),
            moment(task["next_run"]),
            ", ".join(task["cadences"]) or "never (disabled)",
        )
        for task in status["tasks"]
    ]
    if not rows:
        return _empty("Not known.")
    return table("What runs, and how it went", ("task", "now", "last run", "next run", "when"), rows)


def _state(task: TaskEntry) -> Markup:
    running = task["running"]
    if running:
        share = f" {running['ratio']:.0%}" if running["ratio"] is not None else ""
        return together([badge(f"running{share}", "plain"), " since ", moment(running["since"])])
    if task["failing"]:
        return badge("failing", "critical")
    if task["stale"]:
        return badge("out of date", "unknown")
    if task["last_run"] is None:
        return badge("has not run yet", "unknown")
    return badge("as it should be", "good") if task["cadences"] else badge("disabled", "plain")


def _last(run: RunEntry | None) -> Markup:
    if run is None:
        return NONE
    said = run["error"] or run["summary"]
    took = f" {run['mode']}, {seconds(run['duration_seconds'])}"
    return together([outcome(run["outcome"]), took, ", ", moment(run["started"]), element("span", said, class_="note")])


def _findings(status: Status) -> Markup:
    counts = ", ".join(f"{count} {name}" for name, count in status["finding_counts"].items() if count)
    if not status["findings"]:
        return _empty("None that is known." if status["verdict"] != "good" else "None.")
    rows = [
        (
            finding["subject"],
            severity(finding["severity"]),
            together([finding["message"], element("span", finding["remedy"], class_="note")]),
            finding["task"],
            moment(finding["at"]),
        )
        for finding in status["findings"]
    ]
    caption = f"The worst {len(rows)} of: {counts}" if len(rows) < sum(status["finding_counts"].values()) else counts
    return table(caption, ("subject", "severity", "what", "task", "seen"), rows)


def _alerts(status: Status) -> Markup:
    if not status["alerts"]:
        return _empty("No alert fires, as far as Alertmanager told.")
    rows = [
        (alert["name"], alert["state"], alert["severity"], alert["summary"], moment(alert["since"]))
        for alert in status["alerts"][:_MOST_AGENTS]
    ]
    return table("Alerts", ("alert", "state", "severity", "what", "since"), rows)


def _remediations(status: Status) -> Markup:
    if not status["remediations"]:
        return _empty("No remediation is open.")
    rows = [
        (one["id"], one["alert"], "waits for you" if one["state"] == "waiting" else one["state"], one["plan"],
         moment(one["created"]))
        for one in status["remediations"]
    ]  # fmt: skip
    return table("Remediations", ("number", "alert", "state", "what is done", "since"), rows)


def _reports(status: Status, links: Mapping[str, Sequence[tuple[str, str]]]) -> Markup:
    if not status["reports"]:
        return _empty("There are none yet.")
    rows = [
        (
            report["task"],
            report["mode"],
            moment(report["at"]),
            element("ul", *(_file(*file) for file in links.get(report["id"], ()))),
        )
        for report in status["reports"]
    ]
    note = "The links work where this page was opened as a file. Over HTTP they do not: the files are where they say."
    return together([table("The newest of each task", ("task", "mode", "of", "files"), rows), _empty(note)])


def _file(path: str, href: str) -> Markup:
    return element("li", element("a", path, href=href))

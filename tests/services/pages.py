"""Example pages: a performance report and a security report as they come from a host that has some trouble."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.pages import moments
from jobs.pages.figures import UNKNOWN
from jobs.pages.page import (
    BarChart,
    Cell,
    Column,
    Fact,
    Facts,
    Line,
    LineChart,
    Notice,
    Notices,
    Page,
    Score,
    Section,
    Table,
    Tone,
)

AT = datetime(2026, 11, 28, 6, 30, tzinfo=ZoneInfo("Europe/Berlin"))
_HOURS = 168
GIB = 1 << 30


def line(name: str, figure: Callable[[int], float | None], hours: int = _HOURS) -> Line:
    """A figure for each of the last hours; the figure of hour 0 is the oldest."""
    start = AT.replace(minute=0) - timedelta(hours=hours - 1)
    return Line(name, tuple((start + timedelta(hours=hour), figure(hour)) for hour in range(hours)))


def moment(at: datetime) -> Cell:
    """A moment in a table."""
    return Cell(moments.text(at), at=at)


def daily(mean: float, swing: float, *, jitter: float = 0.1) -> Callable[[int], float]:
    """Up by day and down by night, with a jitter that is the same in every run."""

    def figure(hour: int) -> float:
        noise = math.sin(hour * 12.9898) * 43758.5453 % 1 - 0.5
        return max(0.0, mean + swing * math.sin((hour - 9) * math.pi / 12) + jitter * mean * noise)

    return figure


def with_gap(figure: Callable[[int], float], first: int, last: int) -> Callable[[int], float | None]:
    """The same with nothing measured from hour `first` to hour `last`."""
    return lambda hour: None if first <= hour <= last else figure(hour)


def performance_page() -> Page:
    """A week of a host with six containers and three agents, one of which has got slower."""
    return Page(
        title="Weekly performance report",
        host="gpu-01.example.net",
        at=AT,
        summary="From 21 Nov to 28 Nov 2026, compared with the week before. Memory is the tightest resource, and "
        "research-agent answers 40 % slower than in the week before.",
        score=Score(
            "Performance score", 72, "fair", Tone.WARNING,
            ((10, "one of 3 agents failed probes: research-agent (2.1 %)"), (5, "memory in use 71 % (over 60 %)"),
             (10, "disk /var/lib/docker 78 % full (over 70 %)"), (3, "unknown: GPU share of llama3.1:8b")),
        ),
        sections=(_recommendations(), _host(), _containers(), _agents(), _models()),
    )  # fmt: skip


def _recommendations() -> Section:
    worse = Table(
        "What changed most, worse first",
        (Column("Figure"), Column("Before", True), Column("Now", True), Column("Change", True)),
        (
            ("Response time p95, research-agent", "1.2 s", "1.7 s", Cell("+0.5 s", Tone.CRITICAL, 0.5)),
            ("Memory in use", "63 %", "71 %", Cell("+8 points", Tone.WARNING, 0.08)),
            ("Reads from the cache, main/sutazai", "98.2 %", "99.4 %", Cell("+1.2 points", Tone.GOOD, 0.012)),
            ("Requests, chat-agent", "14/s", "14/s", "no change"),
        ),
    )
    notices = Notices((
        Notice("research-agent answers slowly", "p95 of the response time was 1.7 s, it was 1.2 s the week before.",
               "Look at its queue and at the database statement below; restart it if it holds more than 4 GiB.",
               Tone.CRITICAL),
        Notice("/var/lib/docker is 78 % full", "It grows by 1.1 % a day and reaches 85 % in about 6 days.",
               "docker image prune --all --filter until=168h", Tone.WARNING),
        Notice("The GPU share of llama3.1:8b is not known", "ollama did not answer within 5 s on 27 Nov.",
               "Check the service: systemctl status ollama", Tone.UNKNOWN),
    ))  # fmt: skip
    return Section("Recommendations", (notices, worse), "What to look at first.")


def _host() -> Section:
    facts = Facts((
        Fact("CPU in use", "38 %", note="was 35 % the week before"),
        Fact("Memory in use", "71 %", Tone.WARNING, "was 63 % the week before"),
        Fact("Load per core", "0.62", Tone.GOOD, "was 0.59 the week before"),
        Fact("Swap in use", UNKNOWN, Tone.UNKNOWN, "could not be read"),
    ))  # fmt: skip
    modes = [("user", 0.22), ("system", 0.07), ("iowait", 0.03), ("steal", 0.0), ("other", 0.01)]
    return Section("Host", (
        facts,
        LineChart("CPU in use", "ratio", (line("all cores", with_gap(daily(0.38, 0.2), 60, 75)),),
                  "Hourly means; the exporter was stopped for 16 hours."),
        LineChart("Memory in use", "ratio", (line("memory", daily(0.66, 0.05)), line("swap", daily(0.04, 0.01)))),
        LineChart("Disk reads and writes", "bytes_per_second", (line("nvme0n1 read", daily(3.5e6, 2e6)),
                                                               line("nvme0n1 written", daily(12e6, 8e6)))),
        BarChart("CPU by mode", "ratio", tuple(modes)),
    ))  # fmt: skip


def _containers() -> Section:
    names = ("chat-agent", "research-agent", "coder-agent", "postgres", "redis", "ollama", "vector-store", "prometheus")
    lines = tuple(line(name, daily((5 - place) * 0.4 + 0.3, 0.2)) for place, name in enumerate(names[:5]))
    rows = tuple(
        (name, f"{(5 - place) * 0.4 + 2.5:.1f} cores", f"{place + 1.5:.1f} GiB", "4 GiB" if place % 2 else "none",
         Cell(str(place // 3), Tone.WARNING if place // 3 > 1 else Tone.PLAIN, place // 3),
         f"{place + 1} MiB/s", f"{place * 2 + 1} MiB/s", moment(AT - timedelta(days=2)))
        for place, name in enumerate(names)
    )  # fmt: skip
    columns = (Column("Container"), *(Column(title, True) for title in ("CPU", "Memory", "Limit", "Restarts", "Reads",
               "Writes")), Column("Started"))  # fmt: skip
    return Section("Containers", (
        LineChart("CPU of the busiest containers", "cores", lines),
        BarChart("Memory", "bytes", (*((name, (8 - place) * 0.7 * GIB) for place, name in enumerate(names)),
                                     ("a-container-with-a-very-long-name-indeed", None))),
        Table("Every container", columns, rows),
    ))  # fmt: skip


def _agents() -> Section:
    return Section("Agents", (
        LineChart("Response time p95", "seconds", (
            line("chat-agent", daily(0.12, 0.04)),
            line("coder-agent", daily(0.4, 0.1)),
            line("research-agent", lambda hour: daily(1.2, 0.2)(hour) + max(0, hour - 100) / 120))),
        LineChart("Failed probes", "ratio", (line("research-agent", lambda hour: hour in (30, 31, 90) and 0.04),)),
        LineChart("Requests by their own figures", "per_second", (line("chat-agent", lambda _: None),)),
    ))  # fmt: skip


def _models() -> Section:
    return Section("Models", (
        Table("Loaded models", (Column("Model"), Column("Memory", True)), (), "No model was loaded."),
        Notices((), "Nothing to say about models."),
    ))  # fmt: skip


def security_page() -> Page:
    """A full scan that one scanner did not finish, with findings that are new, known and accepted."""
    found = (
        ("critical", Tone.CRITICAL, "A default password opens PostgreSQL", "127.0.0.1:5432, user postgres", 0),
        (
            "high",
            Tone.CRITICAL,
            "CVE-2026-1234 in openssl 3.0.11",
            "image registry.example.net/agents/research:2.4",
            25,
        ),
        ("medium", Tone.WARNING, "Readable by everyone", "/opt/sutazaiapp/secrets/api_tokens.env (0644)", 0),
        ("low", Tone.PLAIN, "Plain HTTP", "http://127.0.0.1:8090/", 40),
    )
    findings = Table(
        "Findings",
        (Column("Severity"), Column("Finding"), Column("Where"), Column("State"), Column("Known since")),
        tuple(
            (Cell(word, tone), what, where, "known" if days else "new", moment(AT - timedelta(days=days)))
            for word, tone, what, where, days in found
        ),
    )
    areas = Table(
        "Scanners",
        (Column("Area"), Column("State"), Column("Looked at", True), Column("Findings", True), Column("Took", True)),
        (
            ("Containers", Cell("complete", Tone.GOOD), "14 images", "1", "1 min 12 s"),
            ("File system", Cell("complete", Tone.GOOD), "418,203 files", "1", "9.4 s"),
            ("Network", Cell("complete", Tone.GOOD), "31 sockets", "2", "0.8 s"),
            ("Code", Cell("unknown: semgrep is not installed", Tone.UNKNOWN), UNKNOWN, UNKNOWN, UNKNOWN),
            ("Configuration", Cell("stopped after 60 s", Tone.WARNING), "11 of 12 files", "0", "1 min"),
        ),
    )  # fmt: skip
    return Page(
        "Security scan", "gpu-01.example.net", AT,
        "Risk is CRITICAL: a default password opens PostgreSQL. One area is unknown, so there may be more.",
        (
            Section("Scanners", (areas,), "What was looked at, and what was not."),
            Section("Findings", (BarChart("Findings by severity", "count", (("critical", 1), ("high", 1), ("medium", 1),
                                                                          ("low", 1))), findings)),
            Section("Accepted risks", (Table("Accepted", (Column("Risk"), Column("Reason"), Column("Until")), ()),)),
        ),
        Score("Security score", 36, "critical", Tone.CRITICAL, ((25, "1 critical finding"), (10, "1 high finding"),
              (3, "1 medium finding"), (26, "unknown: code"))),
    )  # fmt: skip

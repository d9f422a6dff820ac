"""The one line that a message says of its problems."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping, Sequence
from functools import cache

from exporter.bridge.model import News, Problem
from exporter.bridge.outgoing.problems import RANK, RUN_FAILED
from jobs.core.checks import listed
from jobs.core.model import Severity

_OF_MANY: Mapping[News, str] = {
    News.OPENED: "{count} new problems",
    News.WORSE: "{count} problems got worse",
    News.REMINDER: "{count} problems still stand",
    News.CLEARED: "{count} problems are over",
}
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def about(news: News, problems: Sequence[Problem]) -> str:
    """What is said of one problem, or of many of one task."""
    lines = [_said_of(problem) for problem in problems]
    if len(lines) > 1:
        return f"{problems[0].task}: {_OF_MANY[news].format(count=len(lines))}: {listed(lines)}"
    if news is not News.CLEARED:
        return lines[0]
    return f"{problems[0].task} works again" if problems[0].kind == RUN_FAILED else f"no longer found: {lines[0]}"


def _said_of(problem: Problem) -> str:
    """What is wrong in one line, with what it is about where the finding's own text does not name that."""
    text = " ".join(problem.message.split())
    name = problem.subject.rpartition("/")[2]
    return text if name.casefold() in text.casefold() else f"{problem.subject}: {text}"


def worst_of(problems: Sequence[Problem]) -> Severity:
    """The greatest severity."""
    return max((problem.severity for problem in problems), key=RANK.__getitem__)


@cache
def host_name() -> str:
    """This machine, as messages name it: what a host name may not have in it is left out."""
    return re.sub(r"[^A-Za-z0-9._-]", "", socket.gethostname())[:253] or "localhost"


def domain_of(host: str) -> str:
    """A host's name as the domain of a mail address; a name without dots is one of this network alone."""
    if not _DOMAIN.fullmatch(host) or ".." in host:
        return "localhost.localdomain"
    return host if "." in host else f"{host}.localdomain"

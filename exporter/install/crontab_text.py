"""Our lines in somebody's crontab: found by their tag, put in, taken out; every other byte stays as it is.

A crontab is bytes, cut at line feeds alone: others may have CRLF, Latin-1 or no line feed at its end.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.failure import EXIT_USAGE, Failure
from exporter.guide_names import SCRIPTS
from exporter.install.invocation import Invocation
from jobs.core.cadence import Cadence

TAG = "# sutazai-automation-"
MAX_LINE_BYTES = 998
"""Debian's cron takes commands of 999 bytes, and drops the whole crontab for a longer one."""
WAIT_SECONDS = 600
"""How long a run of once a day or more seldom waits for the one that another line of its task began at that minute."""
_HEADER = b"# sutazai-automation: lines of sutazai-exporter follow; `sutazai-exporter uninstall --cron` removes them"
_NEWLINE_ADDED = b" (and the line feed before this line)"
_TAGGED = re.compile(rb"\s# sutazai-automation-([a-z0-9-]+)\s*")
_TIMES = re.compile(rb"\s*(?:@\w+|(?:[\w*/,~-]+\s+){4}[\w*/,~-]+)\s")
_OF_OURS = re.compile(r" run [a-z0-9-]+ --scheduled( |$)")
_OF_THE_GUIDE = re.compile(rf"\S*/({'|'.join(SCRIPTS)})\.sh( |$)")
_BY_HAND = re.compile(rb"^[ \t]*[^#\s].*\bsutazai.*", re.MULTILINE)
_TIME_ZONE = re.compile(rb"\s*(CRON_TZ|TZ)\s*=")


def line(task: str, cadence: Cadence, how: Invocation, user: str = "") -> str:
    """The crontab line of one cadence; `user` is whom it runs as, in a file of /etc/cron.d.

    It has no redirections, so that whatever shell the crontab names will do. A `%` is escaped (crontab(5)).
    """
    waits = ("--wait", str(WAIT_SECONDS)) if cadence.minutes is None else ()
    settings = [f"{name}={value}" for name, value in how.environment.items()]
    words = [*(["/usr/bin/env", *settings] if settings else []), *how.argv("run", task, "--scheduled", *waits)]
    command = shlex.join(words).replace("%", r"\%")
    text = " ".join(filter(None, [cadence.crontab(), user, command, f"{TAG}{task}"]))
    if len(text.encode()) > MAX_LINE_BYTES:
        raise Failure(
            f"{task}: its crontab line would have {len(text.encode())} bytes, cron takes {MAX_LINE_BYTES}; "
            "put the settings of the environment into the configuration file",
            EXIT_USAGE,
        )
    return text


@dataclass(frozen=True)
class Reading:
    """What of a crontab is ours, the guide's own, and only looks like it."""

    ours: tuple[str, ...]
    guides: tuple[str, ...]
    left_alone: tuple[str, ...]
    time_zone: bool


def read(text: bytes) -> Reading:
    """Sort the lines of a crontab."""
    lines = text.split(b"\n")
    guides = [one for one in lines if _is_the_guides(one)]
    ours = [one for one in lines if _is_ours(one)]
    rest = [one for one in lines if b"sutazai-automation-" in one and one not in ours and one not in guides]
    return Reading(_shown(ours), _shown(guides), _shown(rest), any(_TIME_ZONE.match(one) for one in lines))


def lines_that_start(text: bytes) -> tuple[str, ...]:
    """The lines by which cron starts something of ours: what we install, and whatever somebody wrote by hand."""
    return _shown(_BY_HAND.findall(text))


def _shown(lines: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(one.decode(errors="replace").strip() for one in lines)


def installed(text: bytes, lines: Sequence[str]) -> bytes:
    """The crontab `text` with exactly these lines of ours, where ours stood, else at its end."""
    rest, place, joins = _without(text)
    if place is None:
        place, joins = len(rest), bool(rest) and not rest.endswith(b"\n")
    header = _HEADER + (_NEWLINE_ADDED if joins else b"")
    block = b"".join(one + b"\n" for one in [header, *(one.encode() for one in lines)])
    return rest[:place] + (b"\n" if joins else b"") + block + rest[place:]


def removed(text: bytes) -> bytes:
    """The crontab without our lines: for what `installed` made of a text without any, that very text."""
    return _without(text)[0]


def _without(text: bytes) -> tuple[bytes, int | None, bool]:
    """What is left without our lines, where in it the first of them stood, and whether we had ended a line there."""
    kept, place, joins = bytearray(), None, False
    for one in _lines(text):
        if not _is_of_the_block(one):
            kept += one
            continue
        if place is None:
            place = len(kept)
            joins = one.rstrip(b"\r\n") == _HEADER + _NEWLINE_ADDED and kept.endswith(b"\n")
    if joins and place is not None:
        if place == len(kept):
            return bytes(kept[:-1]), place - 1, True
        return bytes(kept), place, False  # others have written below: the line feed is theirs now
    return bytes(kept), place, False


def _lines(text: bytes) -> list[bytes]:
    """The lines with their line feeds; bytes.splitlines would also cut at a carriage return."""
    return [one for one in re.split(rb"(?<=\n)", text) if one]


def _is_of_the_block(one: bytes) -> bool:
    bare = one.rstrip(b"\r\n")
    if bare in (_HEADER, _HEADER + _NEWLINE_ADDED):
        return True
    return _is_ours(bare) or _is_the_guides(bare)


def _is_ours(one: bytes) -> bool:
    return bool(_is_a_job_with_the_tag(one) and _OF_OURS.search(_command(one)))


def _is_the_guides(one: bytes) -> bool:
    """Whether it calls one of the scripts that setup-automation-cron.sh has set up."""
    return bool(_is_a_job_with_the_tag(one) and _OF_THE_GUIDE.search(_command(one)))


def _command(one: bytes) -> str:
    """The words of a line before its first comment: what somebody has commented out is not run."""
    try:
        return " ".join(shlex.split(one.decode("latin-1"), comments=True))
    except ValueError:  # a quotation without its end
        return ""


def _is_a_job_with_the_tag(one: bytes) -> bool:
    """Whether a line begins with times, and has the tag at its very end."""
    place = one.rfind(b" # sutazai-automation-")
    return place >= 0 and bool(_TIMES.match(one) and _TAGGED.fullmatch(one, place))

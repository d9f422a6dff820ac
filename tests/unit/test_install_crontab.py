"""Our lines in other people's crontabs: every byte that is not ours stays."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.failure import Failure
from exporter.install.crontab_text import MAX_LINE_BYTES, installed, line, read, removed
from exporter.install.invocation import Invocation
from jobs.core.cadence import Cadence

HOW = Invocation(("/opt/sutazai/bin/sutazai-exporter",), None, {})
LINES = [
    line("health-check", Cadence.parse("every 5 minutes: light"), HOW),
    line("log-rotation", Cadence.parse("daily at 02:00"), HOW),
]
GUIDES = (
    b"0 2 * * * /opt/sutazaiapp/scripts/automation/log-rotation-cleanup.sh > /dev/null 2>&1 "
    b"# sutazai-automation-log-cleanup\n"
)
THEIRS = (
    b"",
    b"# a comment",
    b"MAILTO=me@example.org\n",
    b"*/5 * * * * /usr/bin/true\r\n",
    b"\n",
    b"0 1 * * * echo 50\\% \xe9\xff\n",
    b"# once: 0 6 * * * /x/sutazai-exporter run health-check --scheduled # sutazai-automation-health-check\n",
    b"0 3 * * * /home/me/mine.sh # sutazai-automation-mine\n",
    b"0 3 * * * echo '# sutazai-automation-health-check' run health-check --scheduled | mail me\n",
    b"0 3 * * * /opt/sutazaiapp/scripts/automation/log-rotation-cleanup.sh\n",
    b"# sutazai-automation: see the wiki\n",
)
"""What a person may have, some of it much like ours; some without the end of its line."""
crontabs = st.lists(st.sampled_from(THEIRS) | st.binary(max_size=40), max_size=12).map(b"".join)


@given(crontabs)
@example(b"0 1 * * * true")
@example(b"\r\n\r\n")
@example(THEIRS[7].rstrip(b"\n"))
def test_removing_what_was_installed_leaves_the_very_same_bytes(text: bytes) -> None:
    assert removed(installed(text, LINES)) == text


@given(crontabs)
def test_installing_again_changes_nothing_and_other_lines_replace_ours_where_they_are(text: bytes) -> None:
    once = installed(text, LINES)
    assert installed(once, LINES) == once
    other = installed(once, LINES[:1])
    assert other == installed(text, LINES[:1])
    assert removed(other) == text


@given(crontabs, crontabs)
@example(b"", b"* * * * * " + THEIRS[6])
def test_what_is_written_below_our_lines_stays_below_them(above: bytes, below: bytes) -> None:
    text = installed(above, LINES) + below
    again = installed(text, LINES[1:])
    assert again.endswith(LINES[1].encode() + b"\n" + below)
    assert removed(again).endswith(below)
    assert removed(again).startswith(above)


def test_only_lines_with_our_tag_and_our_command_are_ours() -> None:
    whole = [one if one.endswith(b"\n") else one + b"\n" for one in THEIRS]
    text = b"".join([*whole, LINES[0].encode() + b"\r\n", GUIDES])
    found = read(text)
    assert found.ours == (LINES[0],)
    assert found.guides == (GUIDES.decode().strip(),)
    assert len(found.left_alone) == 3
    assert removed(text) == text[: text.index(LINES[0].encode())]


def test_a_crontab_with_only_our_lines_is_empty_afterwards() -> None:
    """The guide's own set-up emptied it on installing again."""
    once = installed(b"", LINES)
    assert installed(once, LINES) == once
    assert removed(once) == b""


@pytest.mark.parametrize("word", ["plain", "it's", 'a "b"', "50%", "a b", "$HOME", "`id`", "#x", "\\n", "é"])
def test_a_line_gives_a_shell_the_words_that_were_meant(word: str) -> None:
    how = Invocation((f"/opt/{word}/sutazai-exporter",), Path(f"/etc/{word}.yml"), {"SUTAZAI_ADMIN_EMAIL": word})
    text = line("health-check", Cadence.parse("every 60 minutes"), how, "root")
    head, tag = text.rsplit(" # ", 1)
    times, user, command = head[:9], head[10:14], head[15:]
    assert (times, user, tag) == ("0 * * * *", "root", "sutazai-automation-health-check")
    # crontab(5): an unescaped % ends the command; an escaped one is a %.
    assert command.count("%") == command.count(r"\%")
    assert shlex.split(command.replace(r"\%", "%")) == [
        *("/usr/bin/env", f"SUTAZAI_ADMIN_EMAIL={word}"),
        *how.argv("run", "health-check", "--scheduled"),
    ]


def test_a_line_that_cron_would_not_take_is_refused() -> None:
    how = Invocation(("/x",), None, {"SUTAZAI_DOMAIN": "d" * MAX_LINE_BYTES})
    with pytest.raises(Failure, match="put the settings of the environment into the configuration file"):
        line("health-check", Cadence.parse("every 60 minutes"), how)

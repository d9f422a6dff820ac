"""The page: a Status as HTML, complete in itself, that fetches nothing and runs nothing."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from exporter.dashboard import sections
from exporter.dashboard.markup import element, together
from exporter.dashboard.words import TONES, VERDICTS, moment

if TYPE_CHECKING:
    from exporter.views.shapes import Status

Links = Mapping[str, Sequence[tuple[str, str]]]
"""By the id of a report: its files, and where each is from this page (a relative URL)."""

_STYLE_FILE = Path(__file__).with_name("page.css")
_LATE = timedelta(minutes=5)
"""A page that is older than the next run and this is not true any more."""
_PAGE = Markup("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; \
form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>{style}</style>
</head>
<body data-tone="{tone}">
<a class="skip" href="#content">Skip to the content</a>
{header}
<main id="content" tabindex="-1">
{main}
</main>
{footer}
</body>
</html>
""")


def render(status: Status, links: Links) -> str:
    """The whole file. Whatever the texts hold is shown and nothing else."""
    # Ours, from the package: not one character of it comes from elsewhere.
    style = Markup(_STYLE_FILE.read_text("utf-8"))  # noqa: S704
    word = VERDICTS[status["verdict"]]
    return str(
        _PAGE.format(
            hash=b64encode(sha256(style.encode()).digest()).decode(),
            style=style,
            title=f"{word} SutazAI on {status['host']}",
            tone=TONES[status["verdict"]],
            header=_header(status, word),
            main=together(sections.all_of(status, links)),
            footer=_footer(status),
        )
    )


def _header(status: Status, word: str) -> Markup:
    return element(
        "header",
        element("p", f"SutazAI on {status['host']}", class_="product"),
        element("h1", element("span", word, class_="verdict"), " ", status["answer"]),
        _freshness(status),
        # By hand: a page that loads itself anew is taken away from under whoever reads it.
        element("p", element("a", "Load this page anew", href=""), class_="anew"),
        # Seen only after a while: a file cannot know how late it is.
        element("p", "This page has been open for more than ten minutes.", class_="aged"),
    )


def _freshness(status: Status) -> Markup:
    """When it was made, and from when on it cannot be true any more."""
    made = element("strong", "Made ", moment(status["at"]))
    following = min((task["next_run"] for task in status["tasks"] if task["next_run"]), default=None)
    if following is None:
        return element("p", made, ". Nothing is due to run, so that nothing will make it anew.", class_="fresh")
    late = (datetime.fromisoformat(following) + _LATE).isoformat(timespec="seconds")
    keeper = "the daemon runs" if status["serving"] else "cron still starts its runs: no daemon served when it was made"
    return element(
        *("p", made, ". The next run is due ", moment(following), ". If it is past "),
        *(moment(late), " by your clock, this page is out of date and nothing on it can be relied on: "),
        f"see whether {keeper}.",
        class_="fresh",
    )


def _footer(status: Status) -> Markup:
    about = f"SutazAI Exporter {status['version']}, base directory {status['base_dir']}."
    return element("footer", element("p", about, " This file fetches nothing and runs nothing."))

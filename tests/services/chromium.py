"""A headless Chromium that opens files and URLs, and notes whatever a page did beside being shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

WHOLE = ("chromium", "chromium-browser", "google-chrome")
"""What people have."""
SHELL = ("chromium-headless-shell", *WHOLE)
"""Without the windows, menus and extensions that it has when it is headless, too: a page costs it a third."""
# Run in the page before anything of its own: what its policy has refused is told to scripts alone.
_NOTE_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", event => window.violations.push(event.violatedDirective));
"""


@dataclass
class Opened:
    """A page in the browser. `events` are messages, errors, dialogs, and requests other than for the file itself, or,
    where the page is served, other than to its server."""

    page: Page
    events: list[str] = field(default_factory=list)

    def text(self, selector: str = "body") -> str:
        """The whole text of an element, shown or not."""
        return str(self.page.text_content(selector))

    def ask(self, script: str) -> Any:
        """What a script in the page says; the page's policy does not bind it."""
        return self.page.evaluate(script)

    def grave_violations(self) -> list[str]:
        """What axe holds for serious or critical, with the first element of each."""
        return [
            f"{found['id']}: {found['nodes'][0]['html'][:200]}"
            for found in Axe().run(self.page).response["violations"]
            if found["impact"] in ("serious", "critical")
        ]


class Chromium:
    """One browser for many pages: the first that there is of `programs`. `arguments` are of its command line."""

    def __init__(self, *arguments: str, programs: Sequence[str] = SHELL) -> None:
        program = next(filter(None, map(shutil.which, programs)), None)
        assert program, f"none of {', '.join(programs)} is installed: tests/services/install test"
        self._playwright = sync_playwright().start()
        # As root it has no sandbox; what it opens is ours.
        args = [*arguments, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        self._browser: Browser = self._playwright.chromium.launch(executable_path=program, args=args)

    def close(self) -> None:
        """End the browser."""
        self._browser.close()
        self._playwright.stop()

    @contextmanager
    def opened(self, what: Path | str, *, width: int = 1280, **context: Any) -> Iterator[Opened]:
        """A file, opened from the disk, or a URL, in a window of that width (CSS pixels)."""
        url = what if isinstance(what, str) else what.as_uri()
        with self._browser.new_context(viewport={"width": width, "height": 900}, **context) as visit:
            visit.add_init_script(_NOTE_VIOLATIONS)
            opened = Opened(visit.new_page())
            opened.page.on("console", lambda message: opened.events.append(f"message: {message.text}"))
            opened.page.on("pageerror", lambda error: opened.events.append(f"error: {error}"))
            opened.page.on(
                "dialog", lambda dialog: (opened.events.append(f"dialog: {dialog.message}"), dialog.dismiss())
            )
            opened.page.on("request", lambda request: _note_request(opened, url, request.url))
            opened.page.goto(url)
            yield opened


def _note_request(opened: Opened, home: str, url: str) -> None:
    allowed = url == home if home.startswith("file:") else url.startswith((home, "blob:" + home))
    if not allowed:
        opened.events.append(f"request: {url}")

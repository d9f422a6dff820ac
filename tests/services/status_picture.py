"""Makes the picture of the status page: `python -m tests.services.status_picture` writes docs/images/status-page.png."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from tests.services.chromium import Chromium
from tests.services.status_documents import ill
from tests.services.status_server import StatusServer

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "status-page.png"


def main() -> None:
    """Write the picture of a host that has some trouble."""
    browser = Chromium()
    try:
        with (
            StatusServer(ill(datetime.now().astimezone())) as server,
            browser.opened(server.url, color_scheme="light") as opened,
        ):
            opened.page.set_viewport_size({"width": 1280, "height": 1900})
            opened.page.wait_for_selector("#link .age:not(:empty)")
            PICTURE.parent.mkdir(exist_ok=True)
            opened.page.screenshot(path=PICTURE)
    finally:
        browser.close()


if __name__ == "__main__":
    main()

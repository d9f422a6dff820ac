"""Makes docs/images/status-page.png, the picture of the status page: `python -m tests.services.status_picture`."""

from __future__ import annotations

import base64
import struct
import zlib
from collections import Counter
from datetime import datetime
from pathlib import Path

from tests.services.chromium import Chromium, Opened
from tests.services.status_documents import ill
from tests.services.status_server import StatusServer

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "status-page.png"
WIDTH, HEIGHT = 1120, 1760
_COLOURS = 256
_PIXELS = """async png => {
    const image = await createImageBitmap(await (await fetch("data:image/png;base64," + png)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const data = canvas.getImageData(0, 0, image.width, image.height).data;
    const blob = new Blob([data.filter((_, index) => index % 4 < 3)]);
    return await new Promise(resolve => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);
    });
}"""


def main() -> None:
    """Write the picture of a host that has some trouble."""
    browser = Chromium()
    try:
        with StatusServer(ill(datetime.now().astimezone())) as server, browser.opened(server.url) as opened:
            opened.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            opened.page.wait_for_selector("#link .age:not(:empty)")
            shot = opened.page.screenshot()
            opened.page.goto("about:blank")  # where no policy is in the way
            PICTURE.parent.mkdir(exist_ok=True)
            PICTURE.write_bytes(_with_few_colours(_pixels(opened, shot)))
    finally:
        browser.close()


def _pixels(opened: Opened, png: bytes) -> list[bytes]:
    values = base64.b64decode(opened.page.evaluate(_PIXELS, base64.b64encode(png).decode()))
    return [values[index : index + 3] for index in range(0, len(values), 3)]


def _with_few_colours(pixels: list[bytes]) -> bytes:
    """A PNG with a palette: a third of the size, as a page has few colours beside the edges of its letters."""
    counts = Counter(pixels)
    palette = [colour for colour, _ in counts.most_common(_COLOURS)]
    nearest = {colour: min(range(len(palette)), key=lambda i: _distance(palette[i], colour)) for colour in counts}
    rows = (pixels[start : start + WIDTH] for start in range(0, len(pixels), WIDTH))
    content = b"".join(b"\0" + bytes(nearest[pixel] for pixel in row) for row in rows)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 3, 0, 0, 0)
    chunks = {b"IHDR": header, b"PLTE": b"".join(palette), b"IDAT": zlib.compress(content, 9), b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks.items())


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main()

"""The pictures of the playground's page: `python docs/tools/playground_pictures.py` makes them again.

It needs the extras `app` and `digits`, Playwright, and a Chromium on the path, which the build of the pages does not.
"""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import Any

from inputopt.app.playground import launch
from PIL import Image
from playwright.sync_api import expect, sync_playwright

DOCS = Path(__file__).parents[1]
VIEW = {"width": 1120, "height": 860}
DIGIT = ((0.3, 0.2), (0.7, 0.2), (0.45, 0.85))
"""The strokes of a 7, in shares of the canvas."""


def learn(page: Any) -> None:
    """Train the first network."""
    page.click("#learn-run")
    expect(page.locator("#learn-status")).to_contain_text("After 1,000 updates")


def fool(page: Any) -> None:
    """Draw a digit and fool the network with it."""
    page.get_by_role("tab", name="Fool").click()
    box = page.locator("#fool-pad canvas").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in DIGIT]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    expect(page.locator("#fool-status")).to_contain_text("your drawing")
    page.click("#fool-start")
    expect(page.locator("#fool-status")).to_contain_text(re.compile("still fools"))


def save(page: Any, name: str) -> None:
    """Save what the page shows, in 256 colours."""
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(500)  # transitions of the buttons
    with Image.open(io.BytesIO(page.screenshot())) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(DOCS / name, optimize=True)


def main() -> None:
    """Use the playground, and save a picture of each of two tabs."""
    served = launch(0)
    expect.set_options(timeout=60_000)  # milliseconds
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport=VIEW)
            page.goto(served.address)
            page.wait_for_selector("#learn-network svg")
            for use in (learn, fool):
                use(page)
                save(page, f"playground-{use.__name__}.png")
            browser.close()
    finally:
        served.close()


if __name__ == "__main__":
    main()

"""Ten screenshots of an explorer's page in use, as one picture for the README.

    python docs/explorer_film.py explorer.html docs/pictures/explorer.webp [--chromium /usr/bin/chromium]

The page should have a mixture, an autoregressive model, a VAE and a GAN. Needs playwright, Pillow and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

SCREEN = {"width": 390, "height": 640}
SHOWN, GAP, COLUMNS = (260, 427), 10, 5
# a two, in shares of the board
STROKE = [(0.3, 0.33), (0.36, 0.22), (0.5, 0.17), (0.63, 0.23), (0.67, 0.36), (0.58, 0.52), (0.44, 0.66), (0.3, 0.8)]
STROKE += [(0.5, 0.78), (0.72, 0.79)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    chosen = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chosen.chromium)
        page = browser.new_page(viewport=SCREEN, reduced_motion="reduce")
        page.goto(chosen.page.resolve().as_uri())
        page.wait_for_selector("html[data-selftest=ok]", state="attached")
        frames = list(film(page))
        browser.close()
    together(frames).save(chosen.out, quality=72, method=6)
    print(f"{chosen.out}: {len(frames)} screenshots, {chosen.out.stat().st_size / 1000:.0f} kB")


def film(page: Any) -> Iterator[bytes]:
    """Drawing, scores, completion, samples, walks, and the inside of models."""

    def shown(tab: str, card: str | None = None, wait: int = 1500) -> bytes:
        if page.locator(f"#tab-{tab}").get_attribute("aria-selected") != "true":
            page.click(f"#tab-{tab}")
        page.evaluate("scrollTo(0, 0)")
        if card:
            below = page.locator(".side").bounding_box()["height"] + 8 if page.locator(".side").is_visible() else 8
            top = page.locator("article.card", has_text=card).first.bounding_box()["y"]
            page.evaluate("(y) => scrollTo(0, y)", top - below)
        page.wait_for_timeout(wait)
        return page.screenshot()

    page.get_by_role("button", name="Clear").click()
    draw(page, STROKE[:5])
    yield shown("draw")
    draw(page, STROKE[4:])
    yield shown("draw")
    yield shown("draw", "MADE")
    yield shown("draw", "GAN")
    yield shown("complete", "PixelCNN", 4000)
    yield shown("complete", "VAE", 4000)
    yield shown("sample", "MADE", 3000)
    yield shown("walk", wait=4000)
    yield shown("latents")
    yield shown("inside", wait=2500)


def draw(page: Any, points: list[tuple[float, float]]) -> None:
    box = page.locator("canvas.board").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()


def together(frames: list[bytes]) -> Image.Image:
    rows = -(-len(frames) // COLUMNS)
    width, height = (side + GAP for side in SHOWN)
    whole = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), "#d0d7de")
    for k, frame in enumerate(frames):
        picture = Image.open(io.BytesIO(frame)).convert("RGB").resize(SHOWN, Image.Resampling.LANCZOS)
        whole.paste(picture, (GAP + k % COLUMNS * width, GAP + k // COLUMNS * height))
    return whole


if __name__ == "__main__":
    main()

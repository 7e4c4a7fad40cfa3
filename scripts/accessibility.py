"""Check pages for readers who see little or use no mouse: python scripts/accessibility.py FOLDER_OR_PAGE...

Axe examines each page in Chromium: all its rules in light mode at the width of a phone, with folded blocks open, then
the contrast of colours in dark mode. Findings that axe calls serious or critical are printed, and the exit code is 1.
Without Chromium, playwright or axe-playwright-python nothing is checked, which is said, and the exit code is 0.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SEVERE = ("serious", "critical")
PHONE, SCREEN = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
VIOLATIONS = {"resultTypes": ["violations"]}  # no selectors of nodes that pass, which take most of the time
CONTRAST = VIOLATIONS | {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
OPEN = "document.querySelectorAll('details').forEach(block => { block.open = true })"


def missing() -> str:
    """What is needed and not there, or nothing."""
    lacking = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
    if lacking:
        return f"the package {lacking[0].replace('_', '-')}"
    return "" if browser() else "Chromium"


def browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def findings(pages: Sequence[Path]) -> Iterator[tuple[Path, str, list[str]]]:
    """(page, mode, what is wrong) of each page in each mode."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    axe = Axe()
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=browser(), args=["--no-sandbox"])
        tab = chromium.new_page()
        for page in pages:
            for mode, size, options in (("light", PHONE, VIOLATIONS), ("dark", SCREEN, CONTRAST)):
                tab.set_viewport_size(size)
                tab.emulate_media(color_scheme=mode)
                tab.goto(page.resolve().as_uri())
                tab.evaluate(OPEN)
                tab.wait_for_timeout(50)  # blocks that scroll are found once they are laid out
                found = axe.run(tab, options=options).response["violations"]
                yield page, mode, [line(one) for one in found if one["impact"] in SEVERE]
        chromium.close()


def line(finding: dict[str, Any]) -> str:
    """A rule that is broken, how often, and where first."""
    nodes = finding["nodes"]
    return f"{finding['id']} ({finding['impact']}), {len(nodes)} times, first at {nodes[0]['target'][0]}"


def main(places: Sequence[str]) -> int:
    if lacking := missing():
        print(f"accessibility: not checked, since {lacking} is not installed")
        return 0
    pages = [
        page for place in map(Path, places) for page in ([place] if place.is_file() else sorted(place.rglob("*.html")))
    ]
    bad = 0
    for page, mode, wrong in findings(pages):
        bad += len(wrong)
        for one in wrong:
            print(f"{page}, {mode}: {one}")
    print(f"accessibility: {len(pages)} pages, {bad} serious findings")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

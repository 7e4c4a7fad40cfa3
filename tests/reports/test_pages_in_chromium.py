"""Pages in a real browser: readable for all (axe), no wider than a phone, silent, and dark without a changed image.

Needs Chromium and playwright with axe-core (the extra `pages`); without them the tests are skipped.
"""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from small_runs import SmallRuns

from ancestral.figures.curves import learning_curves
from ancestral.figures.grids import image_grid
from ancestral.figures.series import Curve
from ancestral.figures.style import save_figure
from ancestral.reports.html import Figure, Notice, Report, Section, Table, write_report
from ancestral.reports.run_page import write_run_page
from ancestral.runs.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed: pip install '.[pages]'")
WORST = ("serious", "critical")
PHONE, DESK = 390, 1280


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with one of everything, as a study has it."""
    folder = tmp_path_factory.mktemp("study")
    save_figure(image_grid(_greys(), columns=4, title="samples", captions=["a"] * 8), folder / "sheet.png")
    save_figure(learning_curves([Curve("train", [1, 2, 3], [3.0, 2.0, 1.5])], title="loss"), folder / "curves.png")
    write_report(_everything(folder), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def run_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a small run, with all its pictures."""
    runs = SmallRuns(tmp_path_factory.mktemp("trained")).copied(["vae"], tmp_path_factory.mktemp("runs"))
    return write_run_page(Run(runs / "vae"))


def _greys() -> np.ndarray:
    return np.arange(8 * 64).reshape(8, 1, 8, 8) % 251 / 250


def _everything(folder: Path) -> Report:
    wide = Table([f"column {i}" for i in range(14)], [["a name", *["0.1234"] * 13]] * 3, "Wide.", set(range(1, 14)))
    linked = Table(["number", "ours"], [["test ELBO", "-93.2"]], "Numbers.", {1}, row_links={0: 2})
    figures = [Figure(folder / "sheet.png", "Samples."), Figure(folder / "curves.png", "Loss of `vae`, x_1.")]
    return Report(
        "A study of everything",
        "subtitle",
        "What was found.",
        [("test", "-93.2 nats")],
        [
            Section("Numbers", tables=[linked]),
            Section(
                "Pictures", "Text.", [wide], figures, asked="Show samples.", notice=Notice("Not a result.", "warning")
            ),
            Section("Health", notice=Notice("Healthy. 5 checks found no problem.", "good"), tables=[wide]),
            Section("Failed", notice=Notice("1 problem found.", "failure")),
            Section("How to repeat it", commands=["ancestral study everything --out " + "a/long/folder" * 8]),
        ],
        "Made by `ancestral study everything`.",
        guide=True,
        notice=Notice("The quick version.", "warning"),
    )


def opened(browser: Browser, path: Path, width: int, scheme: Any) -> tuple[Page, list[str]]:
    """A page, and what it said on the console or asked for besides itself."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page, noises = context.new_page(), []
    page.on("console", lambda message: noises.append(message.text))
    page.on("pageerror", lambda error: noises.append(str(error)))
    page.on("request", lambda request: noises.append(request.url) if request.url.startswith("http") else None)
    page.goto(path.absolute().as_uri())
    return page, noises


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", ["study", pytest.param("run_page", marks=pytest.mark.slow)])
def test_axe_finds_nothing_serious(
    browser: Browser, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    page, noises = opened(browser, request.getfixturevalue(name), width, scheme)
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    assert found["passes"], "axe looked at nothing"
    bad = [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found["violations"]]
    assert not [one for one, raw in zip(bad, found["violations"], strict=True) if raw["impact"] in WORST]
    assert noises == []
    assert page.evaluate("document.documentElement.scrollWidth") == width, "the page scrolls sideways"
    page.context.close()


def test_a_table_that_scrolls_can_be_reached_by_keyboard_and_shows_it(browser: Browser, study: Path) -> None:
    page, _ = opened(browser, study, 800, "light")
    scrolls = "[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > one.clientWidth)"
    assert page.evaluate(f"{scrolls}.length") > 0
    assert page.evaluate(f"{scrolls}.every(one => one.tabIndex === 0)")
    page.keyboard.press("Tab")
    box = page.locator(".scroll").nth(1)
    box.scroll_into_view_if_needed()
    edge = np.asarray(Image.open(BytesIO(box.screenshot())).convert("L"))[5:-5, -4:].mean()
    box.evaluate("one => one.scrollLeft = one.scrollWidth")
    page.wait_for_timeout(100)
    assert edge < np.asarray(Image.open(BytesIO(box.screenshot())).convert("L"))[5:-5, -4:].mean() - 5
    page.context.close()


def test_wide_tables_are_cards_on_a_phone_with_the_names_of_their_columns(browser: Browser, study: Path) -> None:
    page, _ = opened(browser, study, PHONE, "light")
    cell = page.locator(".cards td").first
    assert cell.evaluate("one => getComputedStyle(one, '::before').content") == '"column 1"'
    assert page.evaluate("[...document.querySelectorAll('.cards')].every(one => one.scrollWidth <= 390)")
    page.context.close()


def test_dark_mode_changes_the_paper_and_no_pixel_of_an_image(browser: Browser, study: Path) -> None:
    shots = {}
    for scheme in ("light", "dark"):
        page, _ = opened(browser, study, DESK, scheme)
        shot = page.locator("#figure-1 .picture").screenshot()
        shots[scheme] = np.asarray(Image.open(BytesIO(shot)).convert("RGB")).astype(int)
        page.context.close()
    light, dark = shots["light"], shots["dark"]
    height, width, _ = light.shape
    assert light[3, width // 2].min() > 240 and dark[3, width // 2].max() < 40, "the paper"
    middle = slice(int(0.3 * height), int(0.4 * height)), slice(int(0.1 * width), int(0.2 * width))
    assert light[middle].min() > 0 and light[middle].max() < 100, "here is an image"
    assert np.abs(light[middle] - dark[middle]).max() == 0


def test_tables_and_pictures_are_downloaded_from_the_page_alone(browser: Browser, study: Path, tmp_path: Path) -> None:
    moved = shutil.copy(study, tmp_path / "mailed.html")
    page, _ = opened(browser, Path(moved), DESK, "light")
    for link, start in (
        ("Download table 1 as CSV", b"number,ours\r\ntest ELBO,-93.2"),
        ("Download figure 1 as PNG", b"\x89PNG"),
    ):
        with page.expect_download() as download:
            page.get_by_label(link, exact=True).click()
        assert Path(download.value.path()).read_bytes().startswith(start)
    page.context.close()


def test_every_link_of_the_list_leads_somewhere(browser: Browser, study: Path) -> None:
    page, _ = opened(browser, study, DESK, "light")
    links = page.evaluate("[...document.querySelectorAll('a[href^=\"#\"]')].map(one => one.getAttribute('href'))")
    assert {"#table-1", "#table-1-row-1", "#figure-1", "#figure-2", "#section-2"} <= set(links)
    assert page.evaluate("links => links.every(one => document.querySelector(one))", links)
    page.context.close()

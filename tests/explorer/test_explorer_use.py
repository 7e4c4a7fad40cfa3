"""The page used as a person uses it: what each tab shows after a click, a stroke, or a choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Opened
from small_runs import SmallRuns

from ancestral.explorer.make import explore
from ancestral.runs.run import Run

Open = Callable[[Path], Opened]
USED = ["mixture", "made", "vae", "flow", "gan", "classes"]


@pytest.fixture(scope="module")
def page_of_runs(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("used")
    small_runs.copied(USED, folder)
    (folder / "gan" / "checkpoint" / "state.safetensors").unlink()
    runs = [Run(folder / name) for name in USED]
    return explore(runs, folder / "page.html", reference=20).path


def card(page: Any, name: str) -> Any:
    return page.locator("article.card").filter(has_text=f"\u201c{name}\u201d")


def test_a_critic_scores_the_drawing_or_the_page_says_why_not(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs)
    assert found.outcome == "ok" and found.problems == []
    scored, without = card(found.page, "classes"), card(found.page, "gan")
    scored.locator(".nats").wait_for()
    before = scored.locator(".nats").inner_text()
    assert "critic" in scored.inner_text() and before.endswith("%") and "highest of 10" in scored.inner_text()
    assert "No critic in this page" in without.inner_text() and "checkpoint" in without.inner_text()
    found.page.get_by_role("button", name="Clear").click()
    scored.locator(".nats", has_not_text=before).wait_for()


def test_a_class_of_a_conditional_gan_is_chosen(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs)
    found.page.click("#tab-sample")
    one = card(found.page, "classes")
    one.locator("select").select_option(label="7")
    found.page.wait_for_timeout(500)
    pixels = (
        "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 8, 8).data).filter((_, i) => i % 4 === 0)"
    )
    shown = one.locator("canvas").first.evaluate(pixels)
    drawn = found.page.evaluate(
        "() => explorer.threads[5].ask('sample', ['random', 1, 7], 16 * explorer.app.seed)"
        ".then(({ x }) => Array.from(x))"
    )
    assert shown == pytest.approx([255 * value for value in drawn], abs=1)


def test_a_completion_has_log_p_or_the_reason_why_not(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs)
    found.page.click("#tab-complete")
    for name, words in {
        "mixture": "nats, exact",
        "vae": "an integral over the latents",
        "flow": "needs gradients",
        "gan": "no likelihood",
    }.items():
        card(found.page, name).get_by_text(words).wait_for()
    assert "sampling" not in card(found.page, "mixture").inner_text() and found.problems == []


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}


def drag(page: Any, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A stroke between two places, in shares of an element."""
    box = page.locator(selector).bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=4)
    page.mouse.up()


def board(page: Any, part: str) -> list[float]:
    return page.evaluate(f"Array.from(explorer.app.board.{part})")


@pytest.mark.parametrize("options", [{}, PHONE], ids=["wide", "phone"])
def test_a_stroke_changes_the_drawing_and_its_score(page_of_runs: Path, opened: Open, options: dict[str, Any]) -> None:
    found = opened(page_of_runs, **options)
    found.page.get_by_role("button", name="Clear").click()
    score = card(found.page, "made").locator(".nats")
    score.wait_for()
    before = score.inner_text()
    drag(found.page, "canvas.board", (0.25, 0.5), (0.75, 0.5))
    drawn = board(found.page, "x")
    assert max(drawn[:8] + drawn[56:]) == 0 and max(drawn[24:40]) > 0.5
    card(found.page, "made").locator(".nats", has_not_text=before).wait_for()
    found.page.get_by_role("button", name="Undo").click()
    assert max(board(found.page, "x")) == 0
    wide = found.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0 and found.problems == []


def test_a_stroke_over_the_board_hides_pixels_and_completions_keep_the_others(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs, **PHONE)
    found.page.click("#tab-complete")
    found.page.get_by_role("button", name="Show all").click()
    assert min(board(found.page, "known")) == 1
    drag(found.page, "canvas.board", (0.1, 0.9), (0.9, 0.9))
    known, x = board(found.page, "known"), board(found.page, "x")
    assert min(known[:40]) == 1 and sum(known[56:]) <= 2
    card(found.page, "mixture").get_by_text("exact samples").wait_for()
    pixels = "(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, 8, 8).data)"
    shown = card(found.page, "mixture").locator("canvas").first.evaluate(pixels)[::4]
    assert shown[:40] == [255 if value > 0.5 else 0 for value in x[:40]]
    found.page.click("#tab-draw")
    assert not found.page.get_by_role("button", name="Hide", exact=True).is_visible()
    assert found.page.evaluate("explorer.app.board.tool") == "pen"


def test_dragging_in_the_plane_and_a_latent_changes_the_image(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs, **PHONE)
    image = "(canvas) => canvas.toDataURL()"
    for tab, act in {
        "walk": lambda: drag(found.page, "canvas.plane", (0.5, 0.5), (0.1, 0.2)),
        "latents": lambda: found.page.locator(".latent input").first.fill("3"),
    }.items():
        found.page.click(f"#tab-{tab}")
        canvas = found.page.locator("canvas.large")
        found.page.wait_for_timeout(400)
        before = canvas.evaluate(image)
        act()
        found.page.wait_for_timeout(400)
        assert canvas.evaluate(image) != before, tab
    assert found.problems == []


def test_the_same_seed_gives_the_same_samples(page_of_runs: Path, opened: Open) -> None:
    found = opened(page_of_runs)
    found.page.click("#tab-sample")
    shown = []
    for seed in (5, 6, 5):
        found.page.evaluate("(seed) => { explorer.app.seed = seed; explorer.app.changed(); }", seed)
        found.page.wait_for_timeout(500)
        shown.append(card(found.page, "made").locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()"))
    assert shown[0] == shown[2] != shown[1]

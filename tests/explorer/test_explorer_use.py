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

"""The page used as a person uses it: what each tab shows after a click, a stroke, or a choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import Opened
from small_runs import SmallRuns
from tiny_pages import described, write_page

from ancestral.explorer.make import explore
from ancestral.runs.run import Run

Open = Callable[[Path], Opened]
WORST = ("serious", "critical")
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


def axe_clean(page: Any) -> None:
    """No serious barrier for people who use a keyboard or a screen reader."""
    axe = pytest.importorskip("axe_playwright_python", reason="axe is not installed: pip install '.[pages]'")
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run()")
    assert found["passes"], "axe looked at nothing"
    bad = [(one["id"], one["nodes"][0]["html"][:200]) for one in found["violations"]]
    assert [one for one, raw in zip(bad, found["violations"], strict=True) if raw["impact"] in WORST] == []


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


GREY = """(canvas) => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)
  .filter((_, i) => i % 4 === 0)"""
ASKED = "([name, ...args]) => explorer.threads.find((t) => t.description.name === name).ask(...args)"


def with_class_bar(found: Opened, name: str) -> Any:
    """The card of a model, once it shows the probability of each class."""
    one = card(found.page, name)
    one.locator(".class-bar .share", has_text="%").nth(1).wait_for()
    return one


def test_a_class_of_a_conditional_pixelcnn_is_drawn_completed_and_scored(opened: Open, tmp_path: Path) -> None:
    name = "pixelcnn, conditional"
    found = opened(write_page(tmp_path / "page.html", [described("pixelcnn", name)]))
    one = with_class_bar(found, name)
    assert "p(class | drawing), exact" in one.inner_text()
    found.page.click("#tab-sample")
    for label in (2, 1):
        one.locator("select").select_option(label=str(label))
        one.get_by_text(f"samples of class {label}, seed 1").wait_for()
        found.page.wait_for_timeout(300)
        drawn = found.page.evaluate(ASKED, [name, "sample", ["random", 1, label], 16])
        shown = one.locator("canvas").first.evaluate(GREY)
        assert shown == [255 * value for value in drawn["x"]]
    found.page.click("#tab-complete")
    one.locator("select").select_option(label="1")
    one.get_by_text("the rest, class 1) =").wait_for()


@pytest.mark.slow
def test_a_class_of_a_conditional_vae_is_decoded_in_latents_and_walk(opened: Open, tmp_path: Path) -> None:
    name = "vae, conditional"
    found = opened(write_page(tmp_path / "page.html", [described("vae", name)]))
    one = with_class_bar(found, name)
    assert "approximate: from one latent of each class" in one.inner_text()
    for tab in ("latents", "walk"):
        found.page.click(f"#tab-{tab}")
        found.page.wait_for_timeout(400)
        for label in (1, 0):
            found.page.locator(".panel label", has_text="Class").locator("select").select_option(label=str(label))
            found.page.wait_for_timeout(300)
            z = found.page.evaluate(
                "(tab) => Array.from(tab === 'walk' ? explorer.app.tabs.walk.at([0, 0]) : explorer.app.tabs.latents.z)",
                tab,
            )
            assert z[2:] == [1 - label, label]
            mean = found.page.evaluate(ASKED, [name, "decode", [z]])
            shown = found.page.locator("canvas.large").evaluate(GREY)
            assert shown == pytest.approx([255 * value for value in mean], abs=1)


@pytest.mark.slow
def test_a_class_of_a_conditional_flow_of_points_has_its_density_and_its_samples(opened: Open, tmp_path: Path) -> None:
    name = "flow, autoregressive, conditional"
    found = opened(write_page(tmp_path / "page.html", [described("flow", name)]))
    one, picture = card(found.page, name), "(canvas) => canvas.toDataURL()"
    one.get_by_text("a colour for each class").wait_for()
    found.page.wait_for_timeout(500)
    before = [canvas.evaluate(picture) for canvas in one.locator("canvas").all()]
    one.locator("select").select_option(label="1")
    found.page.wait_for_timeout(500)
    after = [canvas.evaluate(picture) for canvas in one.locator("canvas").all()]
    assert all(old != new for old, new in zip(before, after, strict=True))
    one.locator("canvas").first.hover()
    one.get_by_text("| class 1) =").wait_for()
    labels = found.page.evaluate("Array.from(new Set(explorer.app.cards[0].labels))")
    assert labels == [1] and found.problems == []


@pytest.fixture(scope="module")
def page_with_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A circuit and a mixture with classes."""
    models = [described("circuit", "circuit by class"), described("mixture", "mixture, conditional")]
    return write_page(tmp_path_factory.mktemp("masks") / "page.html", models)


def test_a_conditional_circuit_has_bars_of_its_classes_and_completes_each(
    page_with_classes: Path, opened: Open
) -> None:
    found = opened(page_with_classes)
    one = card(found.page, "circuit by class")
    one.locator(".class-bar .share", has_text="%").first.wait_for()
    shares = [float(text.removesuffix(" %")) for text in one.locator(".class-bar .share").all_inner_texts()]
    assert len(shares) == 2 and sum(shares) == pytest.approx(100, abs=0.11)
    axe_clean(found.page)
    found.page.click("#tab-complete")
    one = card(found.page, "circuit by class")
    one.get_by_text("nats, exact").wait_for()
    assert one.get_by_text("mean of each hidden pixel").count() == 1
    one.locator("select").select_option(label="1")
    one.get_by_text("the rest, class 1) =").wait_for()
    axe_clean(found.page)
    found.page.click("#tab-inside")
    card(found.page, "circuit by class").locator(".component").nth(3).wait_for()
    assert found.problems == []


def test_an_any_order_model_completes_in_a_chosen_number_of_steps(opened: Open, tmp_path: Path) -> None:
    found = opened(write_page(tmp_path / "page.html", [described("any-order", "any-order, unet")]))
    one = card(found.page, "any-order, unet")
    one.get_by_text("ELBO, lower bound").wait_for()
    found.page.click("#tab-complete")
    one = card(found.page, "any-order, unet")
    one.get_by_text("exact in one random order").wait_for()
    one.locator("select").first.select_option(label="1")
    one.get_by_text("exact for 1 parallel step in one random order").wait_for()
    one.locator("select").nth(1).select_option(label="confidence order")
    one.get_by_text("1 parallel step in the confidence order").wait_for()
    one.get_by_text("approximate: the pixels of one step are independent").wait_for()
    axe_clean(found.page)
    found.page.click("#tab-sample")
    one = card(found.page, "any-order, unet")
    assert "approximate" not in one.inner_text()
    one.locator("select").first.select_option(label="2")
    one.get_by_text("approximate: the pixels of one step").wait_for()
    assert found.problems == []


def test_an_any_order_model_with_classes_has_a_choice_of_class_and_classes_of_the_seen_pixels(
    opened: Open, tmp_path: Path
) -> None:
    name = "any-order, conditional"
    found = opened(write_page(tmp_path / "page.html", [described("any-order", name)]))
    one = card(found.page, name)
    one.get_by_text("ELBO, lower bound").wait_for()
    found.page.click("#tab-complete")
    one = card(found.page, name)
    one.get_by_text("p(class | seen): ").wait_for()
    before = one.get_by_text("exact in one random order").inner_text()
    one.locator("select").first.select_option(label="1")
    found.page.wait_for_function("(said) => !document.body.innerText.includes(said)", arg=before)
    axe_clean(found.page)
    found.page.click("#tab-sample")
    card(found.page, name).locator("select").first.select_option(label="0")
    card(found.page, name).get_by_text("samples of class 0").wait_for()
    assert found.problems == []


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

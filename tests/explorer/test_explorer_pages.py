"""Pages in a real browser: every family computes what PyTorch computes, nothing is loaded, damage is reported."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from browsing import READY_MS, Engine, Opened
from small_runs import SmallRuns
from tiny_pages import NOT_SHOWN, by_shape, described, write_page
from zoo import VECTORS

import ancestral
from ancestral.explorer.packing import Packing
from ancestral.explorer.vectors import CALLS
from ancestral.families.catalogue import find

Open = Callable[[Path], Opened]
GROUPS = by_shape()


@pytest.mark.parametrize("shape", [shape for shape in GROUPS if shape != "3"])
def test_the_tiny_models_of_all_families_compute_what_pytorch_computes(
    shape: str, opened: Open, tmp_path: Path
) -> None:
    models = [described(family, name) for family, name in GROUPS[shape]]
    assert [model for model in models if "reason" in model] == []
    found = opened(write_page(tmp_path / "page.html", models))
    assert found.outcome == "ok" and found.problems == []
    assert [url for url in found.requests if not url.startswith("blob:")] == []
    results = found.page.evaluate("window.explorer.selfTest()")
    assert len(results) == len(models)
    for model, tests in zip(models, results, strict=True):
        assert {test["call"] for test in tests} == {test["call"] for test in model["vectors"]}
        assert all(test["difference"] <= test["limit"] and test["passed"] for test in tests)


def test_a_variant_without_a_form_in_the_browser_has_a_reason() -> None:
    pixelcnn, circuit = NOT_SHOWN
    assert "--positions cannot be shown in the browser" in described("pixelcnn", pixelcnn)["reason"]
    assert "the page has circuits of images only" in described("circuit", circuit)["reason"]


@pytest.mark.parametrize("family", ["vae", "made", "pixelcnn", "flow"])
def test_a_model_given_a_vector_has_a_reason(family: str) -> None:
    (name, *_) = [name for name in VECTORS if name in find(family).code("tiny")]
    assert "it is p(x | c) for a vector c" in described(family, name)["reason"]


def test_points_with_three_coordinates_have_a_reason() -> None:
    reasons = {described(*one).get("reason") for one in GROUPS["3"]}
    assert reasons == {"the page shows points of the plane, and these have 3 coordinates"}


def test_a_test_vector_of_every_call_of_every_kind_is_in_these_pages() -> None:
    shown: dict[str, set[str]] = {}
    for model in (described(*one) for group in GROUPS.values() for one in group):
        if "spec" in model:
            shown.setdefault(model["spec"]["kind"], set()).update(test["call"] for test in model["vectors"])
    assert shown == {kind: set(calls) for kind, calls in CALLS.items()}


def _two_models() -> list[dict[str, Any]]:
    return [described("mixture", "mixture"), described("vae", "vae")]


def _with_weights(model: dict[str, Any], change: Callable[[bytearray], None]) -> dict[str, Any]:
    """The description with other bytes as its weights."""
    content = bytearray(gzip.decompress(base64.b64decode(model["weights"])))
    change(content)
    return {**model, "weights": base64.b64encode(gzip.compress(bytes(content))).decode()}


def test_a_changed_weight_fails_the_self_test_and_the_page_says_so(opened: Open, tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        content[-3] ^= 0x10  # an exponent bit: the last float16 but one, a logit, becomes 16 times as large or small

    mixture, vae = _two_models()
    found = opened(write_page(tmp_path / "page.html", [_with_weights(mixture, change), vae]))
    assert found.outcome == "failed"
    assert "self-test FAILED" in found.page.inner_text("body")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_page_that_was_cut_off_says_so(share: float, opened: Open, tmp_path: Path) -> None:
    whole = write_page(tmp_path / "page.html", _two_models()).read_text()
    start = whole.index('id="content"')
    cut = whole[: start + int(share * (whole.index("</script>", start) - start))]
    script = whole[whole.rindex("<script>") :]
    (tmp_path / "cut.html").write_text(f"{cut}</script>{script}")
    found = opened(tmp_path / "cut.html")
    assert found.outcome == "failed" and "This page is damaged" in found.page.inner_text("body")


def test_bytes_of_the_weights_that_are_lost_are_reported(opened: Open, tmp_path: Path) -> None:
    mixture, vae = _two_models()
    damaged = {**mixture, "weights": mixture["weights"][:40] + "AAAA" + mixture["weights"][44:]}
    found = opened(write_page(tmp_path / "page.html", [damaged, vae]))
    assert found.outcome == "failed" and "damaged" in found.page.inner_text("body")


def test_names_and_titles_are_text_whatever_they_hold(opened: Open, tmp_path: Path) -> None:
    evil = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
    mixture = {**described("mixture", "mixture"), "name": evil, "classes": [evil]}
    refused = {**described("vae", "vae"), "name": "other", "reason": evil}
    for part in ("spec", "weights", "vectors"):
        del refused[part]
    found = opened(write_page(tmp_path / "page.html", [mixture, refused], title=evil))
    assert found.outcome == "ok" and found.problems == []
    assert found.page.title() == evil
    assert found.page.locator("h1").inner_text() == evil
    assert found.page.locator("img").count() == 0
    assert evil in found.page.locator("main").inner_text()


def test_the_policy_stops_what_the_page_does_not_hold(opened: Open, tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.html", [described("mixture", "mixture")])
    foreign = "<script>document.title = 'taken'</script><img src='https://example.org/a.png'></body>"
    path.write_text(path.read_text().replace("</body>", foreign))
    found = opened(path)
    assert found.outcome == "ok" and found.page.title() == "Tiny models"
    assert len([line for line in found.problems if "Content Security Policy" in line]) == 2


def test_stored_numbers_are_read_as_they_were_written(engine: Engine) -> None:
    """All finite numbers of half precision, numbers of single precision, and whole numbers."""
    halves = torch.arange(65536).to(torch.uint16).view(torch.float16).float()
    tensors = [halves[halves.isfinite()], torch.tensor([0.1, -3e38, 1e-40]), torch.tensor([-7, 2**31 - 1])]
    packing = Packing()
    places = packing.replace(tensors)
    assert [place["type"] for place in places] == ["float16", "float32", "int32"]
    script = (
        """return modules.$store.openStore(args[1]).then((read) => args[0].map((one) => Array.from(read(one).data)));"""
    )
    for read, tensor in zip(engine.run(script, places, packing.text()), tensors, strict=True):
        assert (torch.tensor(read, dtype=tensor.dtype) == tensor).all()


def test_a_notebook_shows_the_page_in_a_frame(browser: Any, small_runs: SmallRuns, tmp_path: Path) -> None:
    shown = ancestral.Run(small_runs.copied(["mixture"], tmp_path) / "mixture").explore()._repr_html_()
    (tmp_path / "notebook.html").write_text(f"<!doctype html><title>Notebook</title><p>Before</p>{shown}")
    page = browser.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((tmp_path / "notebook.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("html[data-selftest=ok]").wait_for(state="attached", timeout=READY_MS)
    frame.locator("#tab-sample").click()
    page.wait_for_timeout(700)  # until the state of the page is stored
    assert problems == []
    page.close()

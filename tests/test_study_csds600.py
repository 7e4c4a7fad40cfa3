"""`csds600` from end to end, quickly: every deliverable on one page, every number held against its reference."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.models.build import build_model
from ancestral.run import Run
from ancestral.studies.csds600.recipe import STUDY, plan
from ancestral.studies.csds600.vae import ASKED_LAYERS, described
from ancestral.studies.recipe import Options


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("csds600", tmp_path_factory)


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return (study / "report.html").read_text()


def test_the_plan_is_the_courseworks() -> None:
    vae = {one.name: one for one in plan(Options())}["vae"]
    default, full = (vae.settings_under(budget, STUDY.quick) for budget in ("default", "full"))
    assert (default.training.epochs, full.training.epochs) == (3, 10)
    assert (default.training.batch_size, default.training.rate, default.training.optimizer) == (128, 1e-3, "adam")
    assert (default.data.pixels, default.data.pad_to, default.data.split) == ("unit", 32, "csds600")
    assert (default.training.log_every, default.training.watch) == (1, ("test",))


def test_the_layers_are_those_of_the_coursework() -> None:
    settings = {one.name: one for one in plan(Options())}["vae"].settings_under("default", STUDY.quick)
    model = build_model(settings.model, (1, 32, 32), 256, "unit")
    ours = [*described("encoder", model.encoder), *described("decoder", model.likelihood)]  # type: ignore[arg-type]
    assert tuple(layer[:3] for layer in ours) == ASKED_LAYERS


@needs_mnist
def test_every_deliverable_has_its_chapter(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.asked[:60] in html.unescape(page) and chapter.title in page
    assert page.count("<b>Asked.</b>") == len(STUDY.chapters) == 9


@needs_mnist
def test_the_page_shows_its_pictures_and_needs_no_network(study: Path, page: str) -> None:
    assert page.count("data:image/png;base64,") == 10
    for name in ("made-masks", "divergence", "pushforward", "vae-samples", "vae-reconstructions", "vae-interpolations"):
        assert (study / "figures" / f"{name}.png").exists()
    assert "http://" not in page and "https://" not in page
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page), re.IGNORECASE)


@needs_mnist
def test_references_are_listed_but_not_judged(page: str) -> None:
    assert page.count("not judged") == 6
    assert "10 as listed" in page and "10 equal" in page
    assert "Trained too briefly to be judged." in page and "are met" not in page


@needs_mnist
def test_the_final_losses_add_up_and_their_constant_is_named(study: Path, page: str) -> None:
    score = next(one for one in Run(study / "runs" / "vae").scores() if one.method == "ELBO")
    assert f"{-score.nats:.2f} nats = " in page
    assert "940.99 nats of the reconstruction are the constant" in page  # 512 log 2 pi


@needs_mnist
def test_losses_are_recorded_for_each_minibatch_and_the_whole_test_set(study: Path) -> None:
    run = Run(study / "runs" / "vae")
    for name in ("negative_elbo", "reconstruction", "kl"):
        read = [line.step for line in run.log() if (line.split, line.name) == ("train", name)]
        assert read == list(range(1, run.outcome["steps"] + 1))
        assert any((line.split, line.name) == ("test", name) for line in run.log())

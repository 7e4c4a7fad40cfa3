"""The study `uva2020` from end to end, quickly: every deliverable of the coursework stands on its page."""

from __future__ import annotations

import html
import math
import re
from pathlib import Path

import pytest
import torch
from quick_studies import carried_out, needs_mnist

from ancestral.drawings import percentile_grid
from ancestral.evaluation.health import Examination, Verdict
from ancestral.run import Run
from ancestral.studies.uva2020.game import _in_the_run
from ancestral.studies.uva2020.gan import _finding
from ancestral.studies.uva2020.recipe import PLAN, STUDY

DELIVERABLES = (
    "falls below|never falls below",  # training loss against 0.16
    "IWAE_100",
    "recognised with confidence",  # the manifold, cell by cell
    "VAE, CNN",
    "no generative model",
    "class KL",
    "rate too large|too large a rate",
    "vanishing generator gradient",
    "saturating",
    "-2 log 2",
    "0.8101",  # the entropy of the target
    "variational dequantisation",
    "By quadrature it is 1.000000",
    "from image to z",
    "--tensorboard",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carried_out("uva2020", tmp_path_factory)


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return html.unescape((out / "report.html").read_text())


@needs_mnist
def test_every_deliverable_is_on_the_page(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.title in page and chapter.asked in page
    missing = [words for words in DELIVERABLES if not re.search(words, page)]
    assert not missing
    assert page.count("data:image/png;base64,") == 31


@needs_mnist
def test_the_quick_page_judges_nothing_and_says_so(page: str) -> None:
    assert "too briefly" in page and page.count("not judged") >= 20
    assert ">met<" not in page and ">missed<" not in page


@needs_mnist
def test_the_page_is_whole(page: str) -> None:
    assert "http://" not in page and "https://" not in page
    words = re.sub(r"base64,[^\"]*", "", page).split("</style>")[1]
    assert not re.search(r"\b(nan|inf|None)\b(?! is picked)", words)


@needs_mnist
def test_runs_have_scores_of_their_kind_and_are_reused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for planned in PLAN:
        methods = {score.method for score in Run(out / "runs" / planned.name).scores()}
        assert bool(methods) == planned.scored
        assert (f"IWAE_{min(planned.importance_samples, 100)}" in methods) == bool(planned.importance_samples)


def test_the_plan_is_the_coursework_s() -> None:
    plan = {one.name: one.settings_under("full", STUDY.quick) for one in PLAN}
    vae, gan, flow = plan["vae"], plan["gan"], plan["flow-points"]
    assert (vae.training.epochs, vae.training.batch_size, vae.training.rate, vae.data.split) == (
        80,
        128,
        1e-3,
        "uva2020",
    )
    assert (vae.model.latents, vae.model.hidden, plan["vae-cnn"].training.epochs) == (20, (512,), 80)
    assert (gan.training.epochs, gan.training.rate, gan.training.beta1, gan.training.batch_size) == (
        250,
        2e-4,
        0.5,
        128,
    )
    assert (flow.training.epochs, flow.training.batch_size, flow.model.depth, flow.model.hidden) == (
        40,
        256,
        6,
        (64, 64),
    )
    assert (flow.model.base_scale, flow.model.activation, flow.data.data) == (0.3, "gelu", "two-gaussians")


def test_the_grid_is_at_the_percentiles_first_coordinate_along_the_rows() -> None:
    axis, z = percentile_grid(20)
    shares = torch.special.ndtr(axis.double())
    torch.testing.assert_close(shares, (torch.arange(20) + 0.5).double() / 21, rtol=0, atol=1e-6)
    assert torch.equal(z[:20, 0], axis) and torch.equal(z[::20, 1], axis) and (z[:20, 1] == axis[0]).all()


@pytest.mark.parametrize(
    ("value", "words"), [(-1.0, "not over"), (-2 * math.log(2), "near the equilibrium"), (-2.0, "worse than")]
)
def test_the_end_of_the_game_is_told_as_it_is(value: float, words: str) -> None:
    assert words in _in_the_run(value, 0.6, 0.4)


def test_a_finding_is_told_as_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert _finding(run, "GAN collapse") == "not examined"
    verdict = Verdict("GAN collapse", "failure", "diversity 0", "Lower the rate", 3)
    run.keep_health(Examination((verdict,), ("oscillation",), ("divergence",)))
    told = [_finding(run, name) for name in ("GAN collapse", "oscillation", "divergence")]
    assert told == ["failure: diversity 0", "no sign", "too short a log to judge"]

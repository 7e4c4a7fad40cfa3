"""`csds600` from end to end under `--quick`: deliverables, figures and references on its page."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from quick_studies import carried_out, needs_mnist

from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.runs.run import Run
from ancestral.studies.csds600.layers import ASKED_LAYERS, ASKED_SETTINGS, described, settings_of
from ancestral.studies.csds600.made import within_of_one
from ancestral.studies.csds600.recipe import STUDY, plan
from ancestral.studies.csds600.vae import gain_in_words, price_in_words
from ancestral.studies.demonstrations.tighter_bound import Tightening
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
    assert (default.data.pixels, default.data.pad_to, default.data.protocol) == ("unit", 32, "csds600")
    assert (default.training.log_every, default.training.watch) == (1, ("test",))


def test_the_layers_are_those_of_the_coursework() -> None:
    settings = {one.name: one for one in plan(Options())}["vae"].settings_under("default", STUDY.quick)
    model = build_model(settings.family, settings.model, DataSpec((1, 32, 32), 256, "unit"))
    ours = [*described("encoder", model.encoder), *described("decoder", model.likelihood)]  # type: ignore[arg-type]
    assert tuple(layer[:3] for layer in ours) == ASKED_LAYERS


@pytest.mark.parametrize(
    ("squares", "said"),
    [
        (12.0, "the latents cost 5.00 nats of KL and lower the reconstruction by 8.00."),
        (17.0, "the latents cost 5.00 nats of KL but lower the reconstruction by only 3.00 so far."),
        (30.0, "the latents cost 5.00 nats of KL and do not lower the reconstruction so far."),
    ],
)
def test_the_sentence_on_the_cost_of_the_latents_follows_the_numbers(squares: float, said: str) -> None:
    final = {"reconstruction": (100 + squares, 0.1), "kl": (5.0, 0.1), "mean_image": (20.0, 0.1)}
    told = price_in_words(final, constant=100.0)
    assert told.endswith(said)
    assert f"the other {squares:.2f} are half the squared error" in told and "second term would be 20.00 " in told


@pytest.mark.parametrize(("gain", "said"), [(1.0, "at least that large"), (0.05, "not clearly above zero")])
def test_a_gain_of_the_tighter_bound_is_claimed_only_if_it_is_clear(gain: float, said: str) -> None:
    found = Tightening((-960.0, 0.2), (gain - 960, 0.2), (gain, 0.02), 500, 100)
    assert said in gain_in_words(found) and f"{gain:.2f} ± 0.02 nats" in gain_in_words(found)


@pytest.mark.parametrize(
    ("gap", "said"), [(0.0, "to the last digit"), (-1e-16, "to the last digit"), (-3e-14, "within 3.0 × 10⁻¹⁴")]
)
def test_the_text_for_a_sum_near_one_states_its_precision(gap: float, said: str) -> None:
    assert said in within_of_one(gap)


@needs_mnist
def test_every_deliverable_has_a_chapter(page: str) -> None:
    for chapter in STUDY.chapters:
        assert chapter.asked[:60] in html.unescape(page) and chapter.title in page
    assert page.count("<b>Asked.</b>") == len(STUDY.chapters) == 9


@needs_mnist
def test_the_page_contains_all_figures_and_needs_no_network(study: Path, page: str) -> None:
    assert page.count("<img ") == 10
    for name in ("made-masks", "divergence", "pushforward", "vae-samples", "vae-reconstructions", "vae-interpolations"):
        assert (study / "figures" / f"{name}.png").exists()
    assert "http://" not in page and "https://" not in page
    assert not re.search(r"\bnan\b", re.sub(r"base64,[^\"]*", "", page), re.IGNORECASE)


@needs_mnist
def test_references_are_listed_but_not_judged(page: str) -> None:
    assert page.count("not judged") == 8
    assert "10 as listed" in page and "10 equal, 10 in all" in page
    assert page.count("(an identity)<") == 5 and page.count("(pytorch-made, after Germain et al., 2015)<") == 1
    assert "Not judged: the runs were trained too briefly." in page and "Met: " not in page


@needs_mnist
def test_the_final_losses_add_up_and_their_constant_is_stated(study: Path, page: str) -> None:
    score = next(one for one in Run(study / "runs" / "vae").scores() if one.method == "ELBO")
    assert f"{-score.nats:.2f} ± {score.stderr:.2f} nats = " in page
    assert f"negative ELBO of {-score.nats:.2f} ± {score.stderr:.2f} nats. This is a bound on a density" in page
    assert "940.99 nats are the constant" in page  # 512 log 2 pi


@needs_mnist
def test_losses_are_logged_for_each_minibatch_and_the_whole_test_set(study: Path) -> None:
    run = Run(study / "runs" / "vae")
    for name in ("negative_elbo", "reconstruction", "kl"):
        read = [line.step for line in run.log() if (line.split, line.name) == ("train", name)]
        assert read == list(range(1, run.outcome["steps"] + 1))
        assert any((line.split, line.name) == ("test", name) for line in run.log())


@needs_mnist
def test_layers_and_settings_equal_those_asked_for(study: Path, page: str) -> None:
    assert settings_of(Run(study / "runs" / "vae")) == ASKED_SETTINGS
    assert page.count("ConvTranspose2d 128, 128, 4, 2, 1</span></td>") == 2  # asked, and trained
    assert "are padded with 2 black pixels on each side" in page


@needs_mnist
def test_the_page_contains_the_derivations(page: str) -> None:
    text = re.sub(r"</?su[bp]>", "", page)
    assert "So Eq[log q(z) − log p(z)] = −1/2 − log s + (m2 + s2) / 2" in text
    assert "The rest is induction" in text and "the Jacobian of the inverse is the inverse of the Jacobian" in text


@needs_mnist
def test_bounds_are_compared_on_the_same_images(page: str) -> None:
    assert "for the first 20 test images (larger is better): the ELBO is" in page
    assert page.count("test, 20 images") == 2


@needs_mnist
def test_the_captions_describe_the_figures(page: str) -> None:
    assert "row i goes from test image 2i − 1 to test image 2i, including both ends" in page
    assert "of 200 test images, and for" in page
    assert "with direct connections from every pixel to the outputs of all later ones" in page
    assert "1,399,940 parameters" in page

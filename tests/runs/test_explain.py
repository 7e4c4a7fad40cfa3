"""Explanations: parts add up to the score image by image, each is what it is called; pixels by the chain rule."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo
from helpers import Captured, printed, refused, run
from small_runs import SmallRuns
from torch import Tensor
from torch.distributions import kl_divergence

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.evaluation.enumeration import all_images, log_probs_of_all
from ancestral.evaluation.likelihood import elbo
from ancestral.families.autoregressive.made import MADE
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.score_parts import score_parts, surprise_maps
from ancestral.families.vae.vae import VAE
from ancestral.figures.heat import HeatTable, heat_grid, heat_tables
from ancestral.figures.parts import parts_figure
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.reports.pictures.catalogue import DRAWINGS
from ancestral.reports.pictures.explanation import surprise
from ancestral.runs.evaluate import score_run
from ancestral.runs.explain import ACTIVE_VARIANCE, Explanation, explain_run
from ancestral.runs.run import Run

AUTOREGRESSIVE = [name for name in zoo.ZOO if name.startswith(("made", "pixelcnn", "fully"))]
WITHOUT_TERMS = [name for name in zoo.ZOO if name.startswith("any-order")]  # the score is a mean over orders
SILENT = [name for name in zoo.ZOO if name.startswith(("gan", "autoencoder"))]


@cache
def model_of(name: str) -> Model:
    return zoo.seeded(zoo.ZOO[name])


def drawn(model: Model, count: int = 6) -> Tensor:
    with seeded_noise(5):
        return model.sample(count)


# ---- parts of a score


@pytest.mark.parametrize("name", [name for name in zoo.ZOO if name not in SILENT + WITHOUT_TERMS])
@torch.no_grad()
def test_terms_add_up_to_the_score_of_every_image(name: str) -> None:
    model = model_of(name)
    x = drawn(model)
    with seeded_noise(3):
        parts = score_parts(model, x)
    with seeded_noise(3):
        if isinstance(model, LatentModel):
            whole = model.elbo(x)
        elif isinstance(model, MADE):  # of one ordering or more
            whole = model.log_prob_under(x, torch.zeros(1, dtype=torch.long))
        else:
            assert isinstance(model, ExactModel)
            whole = model.log_prob(x)
    assert parts.values.shape == (len(x), len(parts.names))
    assert torch.allclose(parts.values.sum(1), whole, atol=1e-9)


@pytest.mark.parametrize("name", SILENT)
def test_a_model_without_likelihood_has_no_terms(name: str) -> None:
    refused(lambda: score_parts(model_of(name), drawn(model_of(name))), "no likelihood", kind=NotComputable)


@pytest.mark.parametrize("name", WITHOUT_TERMS)
def test_a_family_without_a_definition_of_terms_says_so(name: str) -> None:
    refused(lambda: score_parts(model_of(name), drawn(model_of(name))), "no score_parts", kind=NotComputable)


@torch.no_grad()
def test_the_terms_of_a_mixture_match_its_definition() -> None:
    model = model_of("mixture")
    assert isinstance(model, MixtureOfBernoullis)
    x = drawn(model)
    posterior, prior = model.posterior(x), torch.distributions.Categorical(model.component_probs)
    pixels = torch.distributions.Bernoulli(model.component_images)
    log_p_given_k = pixels.log_prob(x[:, None]).flatten(2).sum(2)
    parts = score_parts(model, x)
    assert torch.allclose(parts.values[:, 0], (posterior.probs * log_p_given_k).sum(1), atol=1e-10)
    assert torch.allclose(parts.values[:, 1], -kl_divergence(posterior, prior), atol=1e-10)


@torch.no_grad()
def test_the_terms_of_a_belief_net_match_enumeration() -> None:
    model = model_of("belief net")
    assert isinstance(model, SigmoidBeliefNet)
    x, states = drawn(model), model.states
    posterior = model.posterior(x).probs
    log_p_given_z = torch.distributions.Bernoulli(model.decode(states)).log_prob(x[:, None]).flatten(2).sum(2)
    parts = score_parts(model, x)
    assert torch.allclose(parts.values[:, 0], (posterior * log_p_given_z).sum(1), atol=1e-10)
    marginals, prior = (
        torch.distributions.Bernoulli(p) for p in (posterior @ states, model.b.sigmoid().expand(len(x), -1))
    )
    assert torch.allclose(parts.divergences, kl_divergence(marginals, prior), atol=1e-10)
    assert torch.allclose(parts.values[:, 1], -parts.divergences.sum(1))
    # total correlation: KL of the posterior from the product of its marginals
    product = marginals.log_prob(states[:, None]).sum(2).T
    shared = (posterior * (posterior.clamp_min(1e-300).log() - product)).sum(1)
    assert torch.allclose(parts.values[:, 2], -shared, atol=1e-9) and (shared > 0).all()


@torch.no_grad()
def test_a_vae_has_a_divergence_for_each_latent() -> None:
    model = model_of("vae")
    assert isinstance(model, VAE)
    x = drawn(model)
    q = model.posterior(x)
    by_hand = -0.5 * (1 + q.variance.log() - q.mean**2 - q.variance)
    parts = score_parts(model, x)
    assert torch.allclose(parts.divergences, by_hand, atol=1e-10)
    assert torch.allclose(parts.values[:, 1], -by_hand.sum(1), atol=1e-10)
    assert score_parts(model_of("vae, mixture prior"), x).divergences.shape == (len(x), 0), "no parts by latent there"


@pytest.mark.parametrize("name", ["flow, affine", "flow, spline", "flow, autoregressive"])
def test_the_terms_of_a_flow_are_base_density_and_log_determinant(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, NormalizingFlow)
    x = drawn(model, 3)
    parts = score_parts(model, x)
    for i in range(len(x)):
        jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x[None])[0], x[i])
        assert parts.values[i, 1].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-8)


@torch.no_grad()
def test_the_terms_of_an_image_flow_include_cell_volume_and_noise() -> None:
    for name, uniform in (("flow of images", True), ("flow of images, variational", False)):
        model = model_of(name)
        parts = score_parts(model, drawn(model))
        assert len(parts.names) == 4
        assert torch.allclose(parts.values[:, 2], torch.tensor(-4 * math.log(model.levels)).double())  # type: ignore[arg-type]
        assert bool((parts.values[:, 3] == 0).all()) == uniform


# ---- pixel by pixel


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@torch.no_grad()
def test_the_surprise_of_all_pixels_sums_to_that_of_the_image(name: str) -> None:
    model = model_of(name)
    x = drawn(model)
    maps = surprise_maps(model, x)
    assert maps.shape == x.shape and (maps >= -1e-12).all()
    total = -model.log_prob(x)  # type: ignore[operator]
    count = len(model.orders)  # type: ignore[arg-type]
    if count == 1:
        assert torch.allclose(maps.flatten(1).sum(1), total, atol=1e-10)
    else:
        assert not torch.allclose(maps.flatten(1).sum(1), total, atol=1e-3)
        assert (maps.flatten(1).sum(1) > total - math.log(count) - 1e-9).all(), "one of some orderings, equally likely"


@pytest.mark.parametrize("name", ["made", "made, categorical", "pixelcnn"])
@torch.no_grad()
def test_the_surprise_of_a_pixel_is_that_of_the_joint_distribution(name: str) -> None:
    """-log p(x_<=d) / p(x_<d) by sums over all images; for several orderings in the first."""
    model = model_of(name)
    images = all_images(model)
    if name == "made, categorical":
        log_p = model.log_prob_under(images, torch.zeros(1, dtype=torch.long))  # type: ignore[operator]
    else:
        log_p = log_probs_of_all(model)[0]
    flat, p, order = images.flatten(1), log_p.exp(), model.order.tolist()  # type: ignore[union-attr, operator]
    x = drawn(model, 2)
    maps = surprise_maps(model, x).flatten(1)
    for row, surprises in zip(x.flatten(1), maps, strict=True):
        agree = torch.ones(len(flat), dtype=torch.bool)
        before = torch.ones(()).double()
        for d in order:
            agree &= flat[:, d] == row[d]
            now = p[agree].sum()
            assert surprises[d].item() == pytest.approx(-(now / before).log().item(), abs=1e-8)
            before = now


@pytest.mark.parametrize("name", ["vae", "mixture", "flow of images", "gan", "autoencoder"])
def test_models_of_whole_images_have_no_surprise_by_pixel(name: str) -> None:
    model = model_of(name)
    refused(lambda: surprise_maps(model, drawn(model)), "no conditional distribution", kind=NotComputable)


# ---- runs


@pytest.fixture(scope="module")
def trained(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch, some of them scored; no test changes them."""
    names = ["vae", "mixture", "orderings", "moons", "gan"]
    folder = small_runs.copied(names, tmp_path_factory.mktemp("runs"))
    for name in ("vae", "mixture", "moons"):
        score_run(Run(folder / name))
    return folder


@pytest.mark.parametrize("name", ["vae", "mixture", "moons"])
def test_the_terms_of_a_run_add_up_to_its_stored_score(trained: Path, name: str) -> None:
    opened = Run(trained / name)
    found = explain_run(opened)
    (stored,) = (score for score in opened.scores() if score.split == "test")
    assert found.total.nats == pytest.approx(stored.nats, abs=1e-4)
    assert (found.total.kind, found.total.method) == (stored.kind, stored.method)
    assert sum(part.nats for part in found.parts) == pytest.approx(found.total.nats, abs=1e-6)
    assert (found.anomalous is None) == (name == "moons")


def test_active_units_are_those_whose_mean_varies(trained: Path) -> None:
    opened = Run(trained / "vae")
    found = explain_run(opened)
    model, test = opened.load(), opened.data.held("test")
    assert isinstance(model, VAE) and found.active is not None
    with torch.no_grad():
        variance = model.encode(test.first(len(test))).var(0)
    assert found.active.tolist() == (variance > ACTIVE_VARIANCE).tolist()
    same = elbo(model, test)
    assert torch.allclose(found.natural.sum(1), same, atol=1e-4)


def test_the_command_prints_terms_and_draws_the_fitting_figure(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    words = {"vae": "KL", "mixture": "E log p(x | k)", "orderings": "first ordering", "moons": "determinant"}
    for name, word in words.items():
        out, err = printed(capsys, "explain", trained / name, "--count", 50, "--out", tmp_path / f"{name}.png")
        assert word in out + err and ("exact" in out or "lower bound" in out)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    out, _ = printed(capsys, "explain", trained / "vae", "--count", 50, "--json")
    records = json.loads(out)
    parts = {r["part"]: r["nats"] for r in records if r.get("images") == "test"}
    assert sum(nats for part, nats in parts.items() if part != "ELBO") == pytest.approx(parts["ELBO"], abs=1e-4)
    divergences = [r["kl"] for r in records if "latent" in r]
    assert len(divergences) == 3 and divergences == sorted(divergences, reverse=True)


def test_what_cannot_be_explained_is_refused_in_one_line(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    bad = [
        ["explain", trained / "gan"],
        ["explain", trained / "vae", "--count", 0],
        ["explain", trained / "vae", "--out", tmp_path / "x.bmp"],
        ["explain", tmp_path],
        ["draw", "surprise", trained / "mixture", "--out", tmp_path / "x.png"],
        ["draw", "split", trained / "gan", "--out", tmp_path / "x.png"],
        ["draw", "split", trained / "orderings", "--out", tmp_path / "x.png"],
    ]
    for words in bad:
        capsys.readouterr()
        assert run(*words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_each_surprise_map_has_its_total_as_caption(trained: Path) -> None:
    figure = surprise(Run(trained / "orderings"), count=3)
    opened = Run(trained / "orderings")
    model, x = opened.load(), opened.data.held("test").first(3)
    with torch.no_grad():
        totals = surprise_maps(model, x).flatten(1).sum(1)
    texts = {text.get_text() for text in figure.texts}
    assert {f"{total:.1f}" for total in totals.tolist()} <= texts
    assert any("ordering" in text for text in texts)


def test_the_page_shows_the_drawings() -> None:
    assert {"surprise", "split"} <= {drawing.name for drawing in DRAWINGS}


# ---- pictures


def test_invalid_values_for_a_picture_are_refused() -> None:
    images, maps = torch.zeros(2, 1, 3, 3), torch.zeros(2, 3, 3)
    texts = {"quantity": "nats", "columns": 2, "captions": ["", ""], "row_titles": [""]}
    heat_grid(images, maps, top=1.0, **texts)
    for bad in (maps - 1, maps + math.nan, maps[:, :2]):
        with pytest.raises(InputError):
            heat_grid(images, bad, top=1.0, **texts)
    for values in (np.full((2, 2), 1.5), np.full((2, 2), np.nan), np.zeros(3)):
        with pytest.raises(InputError):
            heat_tables([HeatTable("", values, ["a", "b"])], quantity="", xlabel="")
    with pytest.raises(InputError):
        parts_figure({})
    with pytest.raises(InputError):
        parts_figure({"a": [("b", np.array([math.inf]))]})


def test_exact_zeros_are_marked_if_requested() -> None:
    values = np.array([[0.0, 1e-9, 1.0]])
    for said, apart in (("", False), ("Grey: exactly 0.", True)):
        figure = heat_tables([HeatTable("", values, ["row"])], quantity="", xlabel="", zeros=said)
        zero, small, one = np.asarray(figure.axes[0].images[0].get_array())[0]
        assert (len(set(zero)) == 1 and zero[0] > 0.5) == apart  # grey, and light
        assert (zero != small).any() == apart and (small != one).any()
        assert any(said in text.get_text() for text in figure.texts)


def test_the_display_of_an_explanation_names_its_score(trained: Path) -> None:
    found = explain_run(Run(trained / "vae"), count=30)
    assert isinstance(found, Explanation)
    assert found.total.kind_in_words == "lower bound" and found.total.count == 30

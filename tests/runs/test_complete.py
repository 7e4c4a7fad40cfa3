"""Completions: drawn as the joint distribution says, by enumeration; observed pixels stay; bad masks are refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from helpers import Captured, printed, run
from scipy import stats
from small_runs import SmallRuns
from torch import Tensor

import ancestral
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.masks import HIDDEN, seen_pixels
from ancestral.evaluation.enumeration import all_images, log_probs_of_all
from ancestral.families.abilities import classes
from ancestral.families.autoregressive.made import MADE
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.gan.model import GAN
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.vae.vae import VAE
from ancestral.models import completion, particles
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import Completes, Model, ScoresMissing
from ancestral.models.hamiltonian import hamiltonian_chains
from ancestral.models.particles import Particles
from ancestral.reports.pictures import completion as pictures
from ancestral.reports.pictures.catalogue import DRAWINGS
from ancestral.reports.pictures.completion import completions_of
from ancestral.reports.run_page import write_run_page
from ancestral.runs.complete import complete_run
from ancestral.runs.run import Run

# Every chi-square below has its seed fixed and rejects a right answer less than once in 10,000.
FALSE_ALARM = 1e-4
DRAWS = 1200
EXACT = ["mixture", "mixture of one", "belief net", "circuit", "circuit, Chow-Liu tree", "circuit, categorical"]
IN_ORDER = [
    "made",
    "made, deep",
    "made, categorical",
    "made, logistic",
    "made, three orderings",
    "fully visible belief net",
    "pixelcnn",
    "pixelcnn, categorical",
    "pixelcnn, logistic, colour",
]
CHAINS = [
    "Helmholtz machine",
    "Helmholtz machine, two layers",
    "vae",
    "vae, mixture prior",
    "vae, categorical",
    "vae, flow prior",
]
FLOWS = ["flow of images", "flow of images, variational", "flow of images, binary, affine"]
# enough for these tiny models; more than the defaults would only cost time here
OPTIONS: dict[str, int] = {
    **dict.fromkeys(EXACT, 0),
    **dict.fromkeys(IN_ORDER, 40),
    **dict.fromkeys(CHAINS, 25),
    **dict.fromkeys(FLOWS, 12),
}


@cache
def model_of(name: str) -> Model:
    return zoo.seeded(zoo.ZOO[name])


@cache
def log_joint_of_all(name: str) -> tuple[Tensor, Tensor, Tensor]:
    model = model_of(name)
    with seeded_noise(0):
        return (all_images(model), *log_probs_of_all(model))


def completed(model: Model, x: Tensor, observed: Tensor, name: str) -> Tensor:
    assert isinstance(model, Completes)
    if name in FLOWS:
        return model.complete(x, observed, warming=8, sweeps=OPTIONS[name], steps=3)  # type: ignore[call-arg]
    if name in CHAINS:
        return model.complete(x, observed, warming=5, sweeps=OPTIONS[name])  # type: ignore[call-arg]
    if name in IN_ORDER:
        return model.complete(x, observed, particles=OPTIONS[name])  # type: ignore[call-arg]
    return model.complete(x, observed)


def masks_of(model: Model) -> dict[str, Tensor]:
    """Masks over one image, shape (D,): by position, the first half, the last half, a few scattered, none."""
    pixels = math.prod(model.event_shape)
    first = torch.arange(pixels) < pixels // 2
    order = getattr(model, "order", torch.arange(pixels))
    first = torch.zeros(pixels, dtype=torch.bool).index_fill_(0, order[: pixels // 2], True)
    scattered = torch.arange(pixels) % 3 == 1
    return {"first": first, "last": ~first, "scattered": scattered, "none": torch.zeros(pixels, dtype=torch.bool)}


def codes(x: Tensor, levels: int) -> Tensor:
    """A whole number for each image, shape (B,)."""
    rows = x.flatten(1).round().long()
    return (rows * levels ** torch.arange(rows.shape[1])).sum(1)


def fit(name: str, mask: Tensor, draws: int = DRAWS, complete: Callable[..., Tensor] = completed) -> float:
    """p-value of completions of one image under p(missing | observed) by enumeration."""
    model = model_of(name)
    assert model.levels is not None
    images, log_p, relative = log_joint_of_all(name)
    with seeded_noise(11):
        x = model.sample(1)
        observed = mask.view(1, *model.event_shape).expand(draws, *model.event_shape)
        hidden = torch.where(observed, x.expand(draws, *model.event_shape), torch.nan)  # nobody may look there
        drawn = complete(model, hidden, observed, name)
    agrees = (images.flatten(1)[:, mask] == x.flatten(1)[:, mask]).all(1)
    p = torch.where(agrees, log_p.double(), -math.inf).softmax(0)
    index = torch.argsort(codes(images, model.levels))[codes(drawn, model.levels)]
    return chi_square(torch.bincount(index, minlength=len(p)).double(), draws * p, relative)


def chi_square(counts: Tensor, expected: Tensor, relative: Tensor) -> float:
    """p-value; rare cells together; `relative` is the standard error of each expectation, which adds variance."""
    assert (counts[expected == 0] == 0).all()
    variance = expected + (expected * relative).square()
    order = expected.argsort(descending=True)
    common = max(1, int((expected >= 5).sum()) - 1)
    cells = [torch.cat([v[order][:common], v[order][common:].sum()[None]]) for v in (expected, variance, counts)]
    used = cells[0] > 0
    statistic = ((cells[2] - cells[0]).square()[used] / cells[1][used]).sum().item()
    return float(stats.chi2.sf(statistic, common))


SLOW = {"vae, flow prior", "Helmholtz machine, two layers", "pixelcnn, logistic, colour", "made, logistic", *FLOWS[:2]}
FITTED: list[Any] = [
    pytest.param(name, None, marks=pytest.mark.slow if name in SLOW or name in FLOWS else (), id=name)
    for name in (*EXACT, *IN_ORDER, *CHAINS, *FLOWS)
]
FITTED += [pytest.param(name, "scattered", id=f"{name}, one mask") for name in FLOWS if name not in SLOW]


@pytest.mark.parametrize(("name", "only"), FITTED)
def test_completions_fit_the_exact_conditional(name: str, only: str | None) -> None:
    """Whatever is observed (or under one mask): chi-square over all values of the missing pixels."""
    masks = masks_of(model_of(name))
    p_values = {where: fit(name, mask) for where, mask in masks.items() if only in (None, where)}
    assert all(p > FALSE_ALARM for p in p_values.values()), p_values


SLOW_FLOWS = {"flow, spline, conditional", "flow, autoregressive, conditional"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW_FLOWS else ()) for name in zoo.ZOO],
)
def test_observed_pixels_never_change_and_all_observed_is_the_identity(name: str) -> None:
    model = model_of(name)
    if not isinstance(model, Completes):
        assert not hasattr(model, "completion")
        pytest.skip("this family does not complete yet")
    with seeded_noise(1):
        x = model.sample(6).float()
        if name == "flow of images, conditional":
            with pytest.raises(NotComputable, match="--label"):
                model.complete(x, x > 0)
            model = model.given(1)  # type: ignore[attr-defined]
        x = x.round() if model.levels else x  # the autoencoder draws means
        observed = torch.rand(x.shape) < 0.5
        observed[0] = True
        before = x.clone()
        few = {"warming": 2, "sweeps": 3, "steps": 3, "particles": 10}  # for any number of them, exactly
        complete = partial(model.complete, **{k: few[k] for k in few.keys() & signature(model.complete).parameters})
        drawn = complete(x, observed)
        assert drawn.dtype == x.dtype and drawn.shape == x.shape
        assert torch.equal(drawn[observed], x[observed]) and torch.equal(x, before)
        assert bool(drawn.isfinite().all())
        assert not torch.equal(drawn, x)
        assert torch.equal(complete(x, torch.ones_like(observed)), x)
        poisoned = torch.where(observed, x, torch.nan)
    with seeded_noise(5):
        expected = complete(x, observed)
    with seeded_noise(5):
        assert torch.equal(complete(poisoned, observed), expected)


@pytest.mark.parametrize("name", [*EXACT, *IN_ORDER])
@torch.no_grad()
def test_probability_of_the_missing_pixels_sums_to_one_and_is_a_ratio(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, ScoresMissing) and model.levels is not None
    orders = model.orders if isinstance(model, MADE) else torch.arange(1)
    masks = [mask for where, mask in masks_of(model).items() if name in EXACT or where in ("first", "none")]
    if len(orders) > 1:  # no half comes first in several orderings: nothing, and all but the pixel that each draws last
        masks = masks[-1:]
    x = model.sample(1)
    for mask in masks:
        free = int((~mask).sum())
        values = torch.tensor(list(itertools.product(range(model.levels), repeat=free)), dtype=x.dtype)
        whole = x.flatten(1).repeat(len(values), 1)
        whole[:, ~mask] = values
        observed = mask.expand(len(values), -1).unflatten(1, model.event_shape)
        whole = whole.unflatten(1, model.event_shape)
        log_p = model.log_prob_missing(whole, observed)
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-10)
        joint = model.log_prob(whole)  # type: ignore[operator]
        assert torch.allclose(log_p, joint - joint.logsumexp(0), atol=1e-10)


def test_probabilities_of_missing_pixels_keep_the_order_of_the_images() -> None:
    """Masks that differ within a batch, images not sorted by them."""
    for name in EXACT:
        model = model_of(name)
        assert isinstance(model, ScoresMissing)
        with seeded_noise(2), torch.no_grad():
            x = model.sample(9)
            observed = torch.rand(9, *model.event_shape) < 0.5
            together = model.log_prob_missing(x, observed)
            apart = torch.cat([model.log_prob_missing(x[i : i + 1], observed[i : i + 1]) for i in range(9)])
        assert torch.allclose(together, apart, atol=1e-12)


def particles_by_full_passes(model: AutoregressiveModel, noise: Tensor, tried: Particles) -> Tensor:
    """One full pass of the network for every pixel, nothing kept from one to the next."""
    prepared, x = model.output.noise(noise).flatten(1), torch.zeros_like(noise)
    for d in model.order.tolist():
        parameters = model.predict(x).flatten(1, -2)[:, d]
        x.flatten(1)[:, d] = tried.clamp(d, model.output, parameters, model.output.draw(parameters, prepared[:, d]))
        if (ancestors := tried.ancestors()) is not None:
            x = x[ancestors]
    return x


@pytest.mark.parametrize("name", ["made, deep", "made, categorical", "pixelcnn", "pixelcnn, categorical"])
@torch.no_grad()
def test_resampled_particles_keep_the_cache_of_their_ancestors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(particles, "FEWEST", 0.999)  # draw anew almost every time
    model = model_of(name)
    assert isinstance(model, AutoregressiveModel)
    with seeded_noise(8):
        given = model.sample(30).flatten(1)
        noise, observed = torch.rand(600, *model.event_shape, dtype=model.dtype), torch.rand(given.shape) < 0.6
        given = torch.where(observed, given, 0)
    drawn: list[Tensor] = []
    for draw in (model.draw, partial(particles_by_full_passes, model)):
        tried = Particles(given, observed, 20)
        with seeded_noise(9):
            drawn += [draw(noise, tried), tried.final_weights()]
    assert torch.equal(drawn[0], drawn[2])
    assert torch.allclose(drawn[1], drawn[3], atol=1e-9)
    assert tried.log_evidence.count_nonzero() > 5  # of 30 images: ancestors were drawn


def test_log_p_of_hidden_pixels_is_refused_out_of_order() -> None:
    for name in ("made", "pixelcnn"):
        model = model_of(name)
        assert isinstance(model, ScoresMissing)
        with pytest.raises(NotComputable, match="before"):
            model.log_prob_missing(model.sample(2), masks_of(model)["last"].expand(2, -1).view(2, *model.event_shape))


@pytest.mark.parametrize("name", ["mixture", "belief net", "made", "pixelcnn", "vae"])
def test_each_image_of_a_batch_is_completed_under_its_own_mask(name: str) -> None:
    """Two images with two masks, drawn alternately in one batch: each fits its own conditional."""
    masks = list(masks_of(model_of(name)).values())[1:3]

    for turn in (0, 1):
        other = masks[1 - turn]

        def interleaved(model: Model, x: Tensor, observed: Tensor, name: str, other: Tensor = other) -> Tensor:
            second = other.view(1, *model.event_shape).expand_as(observed)
            both = torch.stack([x.nan_to_num(1), model.sample(len(x))], 1).flatten(0, 1)
            drawn = completed(model, both, torch.stack([observed, second], 1).flatten(0, 1), name)
            assert torch.equal(drawn[1::2][second], both[1::2][second])
            return drawn[::2]

        assert fit(name, masks[turn], complete=interleaved) > FALSE_ALARM


def test_a_gaussian_vae_fits_its_conditional_mean_by_importance_sampling() -> None:
    """Real pixels cannot be counted: the mean of each missing one against E[x_d | observed], five standard errors."""
    model = model_of("vae, Gaussian")
    assert isinstance(model, VAE)
    with seeded_noise(3), torch.no_grad():
        x = model.sample(1)
        observed = masks_of(model)["first"].view(1, *model.event_shape)
        z = model.prior().sample(torch.Size((200_000,)))
        p = model.likelihood(z).base_dist  # type: ignore[attr-defined]
        weights = torch.where(observed, p.log_prob(x), 0).flatten(1).sum(1).softmax(0)
        mean = (weights[:, None] * p.mean.flatten(1)).sum(0)
        drawn = model.complete(x.expand(4000, -1, -1, -1), observed.expand(4000, -1, -1, -1), warming=5, sweeps=25)
    error = drawn.std(0).flatten() / math.sqrt(4000) + 0.002
    hidden = ~observed.flatten()
    assert ((drawn.mean(0).flatten() - mean).abs() <= 5 * error)[hidden].all()
    assert (mean - p.mean.mean(0).flatten()).abs()[hidden].max() > 0.05  # the observed pixels matter


def test_a_flow_of_points_fits_its_conditional_density() -> None:
    """The missing coordinate of points against the density on a line, by chi-square over 30 cells."""
    model = model_of("flow, affine")
    assert isinstance(model, NormalizingFlow)
    with seeded_noise(4), torch.no_grad():
        x = model.sample(1)
        for missing in (0, 1):
            observed = torch.ones(1, 2, dtype=torch.bool).index_fill_(1, torch.tensor([missing]), False)
            axis = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
            line = x.expand(len(axis), 2).clone()
            line[:, missing] = axis
            cumulated = model.log_prob(line).softmax(0).cumsum(0)
            edges = axis[torch.searchsorted(cumulated, torch.arange(1, 30) / 30)]
            drawn = model.complete(x.expand(3000, 2), observed.expand(3000, 2), sweeps=150)[:, missing].contiguous()
            counts = torch.bincount(torch.bucketize(drawn, edges), minlength=30).double()
            expected = torch.full((30,), 100.0, dtype=torch.float64)
            assert chi_square(counts, expected, torch.zeros(30)) > FALSE_ALARM


@pytest.mark.parametrize("name", ["gan", "gan, conditional", "gan of points"])
def test_a_gan_finds_latents_whose_image_agrees_with_the_observed_pixels(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, GAN)
    with seeded_noise(6):
        x = model.sample(40)
        observed = masks_of(model)["first"].view(1, *model.event_shape).expand_as(x)
        found = model.complete(x, observed)
        random = torch.where(observed, x, model.sample(40))
    miss = [(y - x)[~observed].square().mean().item() for y in (found, random)]
    assert miss[0] < 0.5 * miss[1]  # the observed half says much of the other, as both come from two latents


def test_the_search_finds_the_latents_of_lowest_energy() -> None:
    z = completion.fit_latents(lambda z: (z - 3).square().sum(-1), torch.zeros(5, 2), steps=200, rate=0.1)
    assert (z - 3).abs().max() < 0.05 and not z.requires_grad


def test_a_hamiltonian_chain_samples_its_density() -> None:
    """Two correlated normal variables, from a start far away: mean, spread and correlation, five standard errors."""
    precision = torch.tensor([[2.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
    with seeded_noise(7):
        start = torch.full((4000, 2), 3.0, dtype=torch.float64)
        v = hamiltonian_chains(lambda v: -((v @ precision) * v).sum(1) / 2, start, warming=30, sweeps=30)
    expected, error = precision.inverse(), 5 / math.sqrt(4000)
    spread = expected.diag().sqrt()
    assert (v.mean(0).abs() < error * spread).all()
    assert (((v.T @ v) / 4000 - expected).abs() < error * math.sqrt(2) * spread[:, None] * spread).all()


def test_bad_masks_are_refused_in_one_line() -> None:
    for name in (
        "mixture",
        "belief net",
        "Helmholtz machine",
        "made",
        "pixelcnn",
        "vae",
        "autoencoder",
        "gan",
        FLOWS[0],
    ):
        model = model_of(name)
        assert isinstance(model, Completes)
        x = model.sample(3)
        whole = torch.ones_like(x, dtype=torch.bool)
        bad: list[tuple[Tensor, Tensor, str]] = [
            (x, whole.float(), "boolean"),
            (x, whole[:2], "same shape"),
            (x, whole.flatten(1), "same shape"),
            (x[:, :, :1], whole[:, :, :1], "same shape"),
            (x.flatten(1), whole.flatten(1), "same shape"),
            (torch.full_like(x, torch.nan), whole, "finite"),
        ]
        if model.levels is not None:
            bad.append((torch.full_like(x, 0.5), whole, "whole levels"))
        for pixels, observed, words in bad:
            with pytest.raises(InputError, match=words) as raised:
                model.complete(pixels, observed)
            assert "\n" not in str(raised.value)
    made = model_of("made")
    assert isinstance(made, MADE)
    with pytest.raises(InputError, match="particle"):
        made.complete(made.sample(2), torch.ones(2, 1, 3, 3, dtype=torch.bool), particles=0)


def test_every_family_that_completes_states_its_method() -> None:
    for family in classes():
        if hasattr(family, "complete"):
            assert family.completion.split(":")[0] in (  # type: ignore[attr-defined]
                "exact",
                "approximate",
                "exact in its order, else approximate",
                "exact in the raster order of the hidden pixels",
            )


# ---- runs


@pytest.fixture(scope="module")
def trained(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch, two of them with a page; no test changes them."""
    folder = small_runs.copied(["mixture", "made", "grey", "moons"], tmp_path_factory.mktemp("runs"))
    for name in ("mixture", "moons"):
        write_run_page(Run(folder / name))
    return folder


def test_the_command_prints_method_and_log_p_of_the_hidden_pixels(
    trained: Path, tmp_path: Path, capsys: Captured
) -> None:
    picture = tmp_path / "right.png"
    words = ["complete", trained / "mixture", "--hide", "right", "--count", 3, "--draws", 2]
    out, err = printed(capsys, *words, "--out", picture)
    assert "log p(right" in out
    assert "Sampling: exact" in err
    first = picture.read_bytes()
    printed(capsys, *words, "--out", picture)
    assert picture.read_bytes() == first
    printed(capsys, *words, "--seed", 1, "--out", picture)
    assert picture.read_bytes() != first


def test_several_runs_are_completed_in_one_picture(
    trained: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[Tensor, dict[str, Any]]] = []
    grid = pictures.image_grid
    monkeypatch.setattr(pictures, "image_grid", lambda x, **kw: drawn.append((x, kw)) or grid(x, **kw))
    runs = [trained / name for name in ("mixture", "grey", "made")]  # pixels of two kinds
    out, err = printed(capsys, "complete", *runs, "--count", 6, "--out", tmp_path / "all.png")
    (images, texts), *_ = drawn
    names, beside = zip(*(title.partition("\n")[::2] for title in texts["row_titles"]), strict=True)
    assert names == ("true", "given", "mixture", "grey", "made")
    score = complete_run(Run(trained / "mixture"), "halves", scored=100).score
    assert score is not None and beside[:2] == ("", "")
    assert beside[2] == f"\N{MINUS SIGN}{-score.nats:.2f} \u00b1 {score.stderr:.2f} nats, exact"
    assert beside[3].endswith("nats, estimate") and beside[4].endswith("nats, upper bound")
    assert "grey: estimate from 500 samples" in texts["note"] and "made: upper bound from 50 samples" in texts["note"]
    assert f"true hidden pixels of the first {score.count} test images" in texts["note"]
    true, given, *rows = images.unflatten(0, (5, 6))
    mixture = Run(trained / "mixture").data.held("test").first(6)
    seen = seen_pixels("halves", 6, (1, 8, 8)).expand(6, 3, 8, 8)
    assert torch.equal(true, mixture.expand(6, 3, 8, 8)) and torch.equal(given[seen], true[seen])
    grey = Run(trained / "grey").data.held("test").first(6) / 16
    assert torch.equal(rows[0][seen], true[seen])
    assert torch.equal(rows[1][seen], grey.expand(6, 3, 8, 8)[seen])  # each in its own pixels
    assert "mixture" in out and "grey" in out and "mixture: exact" in err
    picture = completions_of([("one", Run(runs[0])), ("two", Run(runs[0]))], count=4, draws=2)
    assert drawn[-1][1]["row_titles"] == ["true", "given", "one", "one", "two", "two"]
    assert any("one, two: exact" in text.get_text() for text in picture.texts)


def test_runs_of_different_images_are_refused(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    out = ["--out", tmp_path / "x.png"]
    assert run("complete", trained / "mixture", trained / "moons", *out) == 2
    assert "1x8x8" in capsys.readouterr().err
    assert (
        run("complete", trained / "mixture", trained / "grey", "--split", "train", *out) == 2
    )  # other training images
    assert "train images" in capsys.readouterr().err


def test_an_autoregressive_run_is_exact_for_the_bottom_only(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    for hide, how in {"bottom": "exact", "left": "approximate: particles", "random": "approximate"}.items():
        out, err = printed(capsys, "complete", trained / "made", "--hide", hide, "--out", tmp_path / "x.png")
        assert f"Sampling: {how}" in err
        assert ("exact" in out) == (hide == "bottom") == ("upper bound" not in out)


def test_the_score_of_hidden_pixels_is_the_mean_over_images_of_the_ratio(trained: Path) -> None:
    opened = Run(trained / "mixture")
    found = complete_run(opened, "halves", count=5, draws=3, scored=41)
    assert found.drawn.shape == (3, 5, 1, 8, 8) and found.score is not None
    assert (found.drawn == found.x)[found.seen.expand_as(found.drawn)].all()
    x = opened.data.held("test").first(41)
    model = opened.load()
    assert isinstance(model, MixtureOfBernoullis)
    log_p = model.log_prob_missing(x, seen_pixels("halves", 41, (1, 8, 8))).double()
    assert found.score.nats == pytest.approx(log_p.mean().item(), abs=1e-5)
    assert found.score.stderr == pytest.approx(log_p.std().item() / math.sqrt(41), abs=1e-5)
    assert (found.score.kind, found.score.count, found.score.dimensions) == ("exact", 41, 32)


def test_parts_that_hide_nothing_are_refused_and_unequal_parts_count_their_mean(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("dots", (40, 1, 1, 1)), ("lines", (40, 1, 1, 5))):
        np.savez(tmp_path / f"{name}.npz", images=(rng.random(shape) < 0.5).astype(np.uint8))
        ancestral.fit("mixture", tmp_path / name, data=tmp_path / f"{name}.npz", components=2, epochs=1)
    for hide in ("left", "halves", "random"):
        with pytest.raises(NotComputable, match=f"--hide {hide}: no pixel of images of 1x1"):
            complete_run(Run(tmp_path / "dots"), hide)
    found = complete_run(Run(tmp_path / "lines"), "halves", count=4, scored=4).score
    assert found is not None and found.dimensions == 1.0  # two columns left and right, no row above and below
    three = complete_run(Run(tmp_path / "lines"), "halves", count=3, scored=3).score
    assert three is not None and three.dimensions == pytest.approx(4 / 3)
    assert three.bits_per_dim == pytest.approx(-three.nats * 3 / 4 / math.log(2))


def test_the_page_of_a_run_shows_completions(trained: Path) -> None:
    assert (trained / "mixture" / "figures" / "completions.png").exists()
    assert not (trained / "moons" / "figures" / "completions.png").exists()
    assert "completions" in {drawing.name for drawing in DRAWINGS}


def test_what_cannot_be_completed_is_refused_in_one_line(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    bad = [
        [trained / "moons", "--out", tmp_path / "x.png"],
        [trained / "mixture", "--out", tmp_path / "x.npy"],
        [trained / "mixture", "--draws", 0, "--out", tmp_path / "x.png"],
        [trained / "mixture", "--count", 0, "--out", tmp_path / "x.png"],
    ]
    for words in bad:
        capsys.readouterr()
        assert run("complete", *words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


# ---- masks by name


def test_masks_hide_the_half_they_name() -> None:
    row = torch.arange(5)[:, None].expand(5, 4)
    column = torch.arange(4).expand(5, 4)
    wanted = {"left": column >= 2, "right": column < 2, "top": row >= 2, "bottom": row < 3}
    for hide, seen in wanted.items():
        masks = seen_pixels(hide, 3, (2, 5, 4))
        assert masks.shape == (3, 2, 5, 4) and masks.dtype == torch.bool
        assert (masks == seen).all()
    turns = seen_pixels("halves", 6, (1, 5, 4))
    for i, hide in enumerate(["left", "right", "top", "bottom", "left", "right"]):
        assert torch.equal(turns[i, 0], wanted[hide])


def test_random_masks_hide_their_share_and_differ() -> None:
    seen = seen_pixels("random", 20, (3, 6, 5), 0.3, torch.Generator().manual_seed(0))
    assert ((~seen).sum((2, 3)) == 9).all()
    assert (seen == seen[:, :1]).all()  # channels of a pixel go together
    assert len(seen[:, 0].flatten(1).unique(dim=0)) == 20
    assert torch.equal(seen, seen_pixels("random", 20, (3, 6, 5), 0.3, torch.Generator().manual_seed(0)))


def test_invalid_masks_are_refused() -> None:
    with pytest.raises(InputError, match="unknown part"):
        seen_pixels("middle", 1, (1, 4, 4))
    with pytest.raises(InputError, match="share"):
        seen_pixels("random", 1, (1, 4, 4), 1.5)
    with pytest.raises(InputError, match="images"):
        seen_pixels("left", 1, (2,))
    assert set(HIDDEN) == {"left", "right", "top", "bottom", "random", "halves", "drawn"}

"""Annealed importance sampling: the bounds are valid and converge; the weights are unbiased for any step sizes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import zoo
from helpers import refused, train_without_page
from scipy import stats
from torch import Tensor

import ancestral.evaluation.annealing as annealing
from ancestral.commands.main import main
from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.annealing import Annealer, Annealing, ais
from ancestral.evaluation.enumeration import all_images
from ancestral.evaluation.likelihood import importance_weighted
from ancestral.models.base import LatentModel, SamplesJointly
from ancestral.runs.records import BRACKET
from ancestral.runs.run import Run

STARTS = ("encoder", "prior")


def vae(name: str = "vae") -> zoo.VAE:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, zoo.VAE)
    return model


def narrow_vae(latents: int = 2) -> zoo.VAE:
    """A VAE whose encoder is badly off: too narrow, and beside the posterior."""

    def make() -> zoo.VAE:
        model = zoo.tiny_vae(latents=latents)
        with torch.no_grad():
            bias = list(model.encoder.parameters())[-1]
            bias[:latents] += 0.5
            bias[latents:] -= 1.5
            for parameter in model.likelihood.parameters():
                parameter.mul_(1.5)
        return model

    model = zoo.seeded(make)
    assert isinstance(model, zoo.VAE)
    return model


def batches(x: Tensor) -> PixelBatches:
    """Images as they are."""
    return PixelBatches(x, PixelSpace("points", 0))


def dreamt(model: zoo.VAE, n: int, seed: int = 5) -> tuple[Tensor, Tensor]:
    with seeded_noise(seed):
        return model.sample_joint(n)


def by_quadrature(model: LatentModel, x: Tensor, latents: int) -> Tensor:
    """log p(x) as a sum over a fine grid of one or two latents, shape (B,)."""
    x, places = x.unique(dim=0, return_inverse=True)  # thousands of samples are often a few hundred images
    axis = torch.linspace(-9, 9, 91, dtype=torch.float64)
    z = torch.cartesian_prod(*[axis] * latents).reshape(-1, latents)
    parts = z[:, None].expand(-1, len(x), -1).split(max(1, 100_000 // len(x)))
    with torch.no_grad():
        totals = [model.log_joint(x, part).logsumexp(0) for part in parts]
    return (torch.stack(totals).logsumexp(0) + latents * math.log((axis[1] - axis[0]).item()))[places]


# ---- the bracket


@pytest.mark.parametrize("latents", [1, 2])
@pytest.mark.parametrize("start", STARTS)
def test_both_bounds_converge_to_the_true_log_probability(latents: int, start: str) -> None:
    model = narrow_vae(latents)
    x, z = dreamt(model, 40)
    truth = by_quadrature(model, x, latents)
    found = ais(model, batches(x), Annealing(60, 20, 3, start), z)  # type: ignore[arg-type]
    assert found.upper is not None
    for side in (found.lower, found.upper):
        assert (side - truth).abs().max() < 1
        assert (side - truth).mean().abs() < 0.06


@pytest.mark.parametrize("start", STARTS)
def test_bounds_are_valid_with_few_temperatures_and_converge_with_many(start: str) -> None:
    """E[lower] <= log p(x) <= E[upper], over many draws of (z*, x); each side nearer with more temperatures."""
    model = narrow_vae()
    x, z = dreamt(model, 400)
    truth = by_quadrature(model, x, 2)
    below, above = [], []
    for temperatures in (1, 4, 16):
        found = ais(model, batches(x), Annealing(temperatures, 2, 2, start), z)  # type: ignore[arg-type]
        assert found.upper is not None
        for side, misses in ((below, truth - found.lower), (above, found.upper - truth)):
            assert misses.mean() > -4 * misses.std() / math.sqrt(len(x))
            side.append(misses.mean().item())
    for side in (below, above):
        assert side[0] > 1.3 * side[1] > 1.3 * 1.3 * side[2]
        assert side[0] > 0.25, "loose at first, so that the order was really tested"


def test_backward_weights_are_unbiased_for_the_reciprocal() -> None:
    """E[1 / w*] = 1 / p(x): at a bad step size too, and with chains that share their z*."""
    model = vae()
    x, z = dreamt(model, 500)
    annealer = Annealer(model, x, Annealing(4, 1, 2))
    with torch.no_grad(), seeded_noise(2):
        log_w, _ = annealer.backward(z.expand(3, -1, -1), [torch.full((len(x),), 0.9, dtype=torch.float64)] * 3)
    ratio = (by_quadrature(model, x, 2) - log_w).exp().mean(0)
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / math.sqrt(len(x))
    assert ratio.std() > 0.05


def test_a_backward_chain_with_forward_chains_is_unbiased_for_the_reciprocal() -> None:
    """E[p(x) / mean(w*, w_1)] = 1, which needs the backward chain to be the forward one reversed, its steps too."""
    model = narrow_vae()
    x, z = dreamt(model, 8000)
    annealer = Annealer(model, x, Annealing(3, 1, 3, "prior"))
    sizes = [torch.full((len(x),), size, dtype=torch.float64) for size in (0.02, 0.9)]
    with torch.no_grad(), seeded_noise(6):
        log_w = torch.cat([annealer.forward(sizes)[0], annealer.backward(z[None], sizes)[0]])
    ratio = (by_quadrature(model, x, 2) - log_w.logsumexp(0) + math.log(2)).exp()
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / math.sqrt(len(x))


@pytest.mark.parametrize("size", [0.3, 0.9, 2.5])
@pytest.mark.parametrize("start", STARTS)
def test_probabilities_of_all_images_sum_to_one_whatever_the_steps(start: str, size: float) -> None:
    """sum_x E[w(x)] = 1 with three temperatures and any step: unbiased, and not only consistent."""
    model = vae()
    x = all_images(model)
    annealer = Annealer(model, x, Annealing(3, 150, 2, start))  # type: ignore[arg-type]
    with torch.no_grad(), seeded_noise(3):
        log_w, acceptance = annealer.forward([torch.full((len(x),), size, dtype=torch.float64)] * 2)
    weights = log_w.exp()
    error = (weights.var(0) / len(weights)).sum().sqrt()
    assert (weights.mean(0).sum() - 1).abs() < 4 * error
    assert error < 0.02
    assert acceptance.mean() < 0.9 or size < 1


def test_tuned_steps_leave_the_estimate_unbiased() -> None:
    model = vae()
    x = all_images(model)
    with torch.no_grad(), seeded_noise(4):
        annealer = Annealer(model, x, Annealing(4, 150, 2))
        log_w, _ = annealer.forward(annealer.tuned())
    weights = log_w.exp()
    assert (weights.mean(0).sum() - 1).abs() < 4 * (weights.var(0) / len(weights)).sum().sqrt()


def test_one_temperature_is_importance_sampling_exactly() -> None:
    model = vae()
    images = batches(all_images(model)[:120])
    plan = Annealing(temperatures=1, chains=20)
    assert annealing.block_of(plan) == 50
    short = batches(all_images(model)[:50])
    assert torch.equal(ais(model, short, plan, seed=3).lower, importance_weighted(model, short, 20, seed=3))
    gaps = ais(model, images, plan).lower - importance_weighted(model, images, 20)
    assert gaps.abs().mean() < 0.5


# ---- the transitions


class Banana(zoo.VAE):
    """A stub for a model whose joint density is curved, and wider than its q."""

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        bent = z[..., 1] - 0.5 * z[..., 0].square() + 0.5
        return -0.5 * (z[..., 0].square() + bent.square() / 0.25) + 0 * x.flatten(1).sum(-1)


def banana() -> Banana:
    model = vae()
    return Banana(model.encoder, model.likelihood, model.latent_prior)


def test_leapfrog_is_reversible() -> None:
    annealer = Annealer(banana(), torch.zeros(3, 1, 3, 3, dtype=torch.float64), Annealing(leapfrogs=7))
    with seeded_noise(0):
        z, momentum = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    stride = torch.full((3, 2), 0.1, dtype=torch.float64)
    there, after = annealer.leapfrog(annealer.at(z), momentum, 0.7, stride)
    assert (there.z - z).abs().max() > 0.1
    back, before = annealer.leapfrog(there, -after, 0.7, stride)
    assert (back.z - z).abs().max() < 1e-12
    assert (before + momentum).abs().max() < 1e-12


def test_leapfrog_keeps_the_energy_to_second_order() -> None:
    with seeded_noise(0):
        z, momentum = torch.randn(2, 500, 3, 2, dtype=torch.float64)
    errors = []
    for steps in (8, 16):
        annealer = Annealer(banana(), torch.zeros(3, 1, 3, 3, dtype=torch.float64), Annealing(leapfrogs=steps))
        state = annealer.at(z)
        there, after = annealer.leapfrog(state, momentum, 0.7, torch.full((3, 2), 0.8 / steps, dtype=torch.float64))
        change = there.log_density(0.7) - state.log_density(0.7) + 0.5 * (momentum**2 - after**2).sum(-1)
        errors.append(change.abs().median().item())
    assert errors[0] > 3 * errors[1] > 0


@pytest.mark.parametrize("size", [0.2, 0.5])
def test_a_transition_leaves_its_target_invariant(size: float) -> None:
    """Exact draws of the curved density, moved five times, are still draws of it: by chi-square on sixths."""
    n = 20_000
    with seeded_noise(1), torch.no_grad():
        u = torch.randn(n, 1, 2, dtype=torch.float64)
        z = torch.stack([u[..., 0], 0.5 * u[..., 1] + 0.5 * u[..., 0].square() - 0.5], -1)
        annealer = Annealer(banana(), torch.zeros(1, 1, 3, 3, dtype=torch.float64), Annealing(leapfrogs=3))
        state = annealer.at(z)
        rates = []
        for _ in range(5):
            state, rate = annealer.move(state, 1.0, torch.full((1,), size, dtype=torch.float64))
            rates.append(rate.mean().item())
    assert 0.05 < sum(rates) / 5 < 0.999, "some are rejected"
    assert (state.z != z).any(-1).double().mean() > 0.2
    first, second = state.z[:, 0].unbind(-1)
    for uniform in (stats.norm.cdf(first), stats.norm.cdf((second - 0.5 * first.square() + 0.5) / 0.5)):
        counts = torch.histc(torch.as_tensor(uniform), bins=24, min=0, max=1)
        assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_a_state_carries_the_true_slopes() -> None:
    model = vae("vae, mixture prior")
    x, z = dreamt(model, 3)
    for start in STARTS:
        annealer = Annealer(model, x, Annealing(start=start))  # type: ignore[arg-type]
        state, step = annealer.at(z[None]), 1e-6
        for b in (0.0, 0.3, 1.0):
            for m in range(2):
                shift = torch.zeros(2, dtype=torch.float64)
                shift[m] = step
                numeric = annealer.at(z[None] + shift).log_density(b) - annealer.at(z[None] - shift).log_density(b)
                assert torch.allclose(numeric / (2 * step), state.slope(b)[..., m], atol=1e-6)


def test_a_runaway_trajectory_is_rejected() -> None:
    model = vae()
    x = all_images(model)[:4]
    with torch.no_grad(), seeded_noise(0):
        annealer = Annealer(model, x, Annealing(leapfrogs=20))
        state = annealer.at(annealer.draw(3))
        kept, acceptance = annealer.move(state, 0.5, torch.full((4,), 1e200, dtype=torch.float64))
    assert torch.equal(kept.z, state.z) and torch.equal(kept.joint_slope, state.joint_slope)
    assert torch.equal(acceptance, torch.zeros(3, 4, dtype=torch.float64))


# ---- as a function


VAES = [name for name in zoo.ZOO if name.startswith("vae")]
SLOW = {name for name in VAES if "convolutional" in name}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in VAES])
@pytest.mark.parametrize("start", STARTS)
def test_every_prior_and_every_likelihood(name: str, start: str) -> None:
    """For a model with classes, of p(x | y) of one class."""
    model = vae(name)
    if model.classes:
        model = model.given(1)
    assert isinstance(model, SamplesJointly)
    x, z = dreamt(model, 20)
    found = ais(model, batches(x), Annealing(25, 20, 2, start), z)  # type: ignore[arg-type]
    truth = by_quadrature(model, x, 2)
    assert found.upper is not None
    for misses in (truth - found.lower, found.upper - truth):
        assert misses.mean() > -4 * misses.std() / math.sqrt(len(x))
        assert misses.mean() < 0.25, "25 temperatures bring each bound near"
    assert 0.4 < found.acceptance.mean() < 0.95


def test_equal_seeds_give_equal_values_without_side_effects() -> None:
    model = vae()
    model.train()
    x, z = dreamt(model, 130)
    plan = Annealing(5, 10, 2)
    state = torch.get_rng_state()
    first, second, other = (ais(model, batches(x), plan, z, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    for one, same, else_ in zip(first, second, other, strict=True):
        assert one is not None and same is not None and else_ is not None
        assert torch.equal(one, same) and not torch.equal(one, else_)


def test_an_image_may_be_in_any_block() -> None:
    """A complete first block is bit-identical; in other blocks, other random numbers give bounds of the same value."""
    model = vae()
    x, z = dreamt(model, 70)
    plan = Annealing(30, 20, 2)
    block = annealing.block_of(plan)
    whole, part = ais(model, batches(x), plan, z), ais(model, batches(x[:block]), plan, z[:block])
    assert torch.equal(whole.lower[:block], part.lower)
    turned = ais(model, batches(x.flip(0)), plan, z.flip(0))
    assert whole.upper is not None and turned.upper is not None
    assert (whole.lower - turned.lower).mean().abs() < 0.06
    assert (whole.upper - turned.upper).mean().abs() < 0.06


def test_progress_counts_every_transition() -> None:
    model, told = vae(), []
    x, z = dreamt(model, 30)
    plan = Annealing(6, 50, 1)
    ais(model, batches(x), plan, z, progress=told.append)
    assert sum(told) == 30 * plan.moves(backward=True)
    told.clear()
    ais(model, batches(x), plan, progress=told.append)
    assert sum(told) == 30 * plan.moves()


# ---- what is refused


def test_models_that_cannot_be_annealed_raise() -> None:
    for name, words in {
        "mixture": "is exact",
        "made": "is exact",
        "belief net": "is exact",
        "Helmholtz machine": "discrete",
        "vae, conditional": "the class is discrete",
        "flow of images": "dequantisation",
        "flow of images, variational": "dequantisation",
        "gan": "no likelihood",
        "autoencoder": "no likelihood",
    }.items():
        model = zoo.seeded(zoo.ZOO[name])
        x = torch.zeros(2, *model.event_shape, dtype=torch.float64)
        refused(lambda model=model, x=x: ais(model, batches(x)), words, kind=NotComputable)


@pytest.mark.parametrize("name", ["temperatures", "chains", "leapfrogs"])
def test_a_plan_with_numbers_below_one_raises(name: str) -> None:
    refused(lambda: replace(Annealing(), **{name: 0}), f"--{name} 0", kind=InputError)


# ---- the command


FAST = ("--epochs", "1", "--train-size", "200", "--valid-size", "50", "--batch-size", "50")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny VAE and a tiny mixture."""
    folder = tmp_path_factory.mktemp("runs")
    train_without_page("vae", *FAST, "--latents", 2, "--hidden", 8, "--out", folder / "vae")
    train_without_page("mixture", *FAST, "--components", 2, "--out", folder / "mixture")
    return folder


def test_the_command_brackets_a_run_and_its_page_shows_it(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bracket", str(trained / "vae"), "--images", "30", "--temperatures", "30", "--samples", "200"]
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    out, err = capsys.readouterr()
    bounds = json.loads(out)
    assert [(bound["split"], bound["side"], bound["method"]) for bound in bounds] == [
        ("simulated", "upper", "AIS_30, bidirectional"),
        ("simulated", "lower", "AIS_30"),
        ("simulated", "lower", "IWAE_200"),
        ("simulated", "lower", "ELBO"),
        ("test", "lower", "AIS_30"),
        ("test", "lower", "IWAE_200"),
        ("test", "lower", "ELBO"),
    ]
    assert all(bound["kind"] == "bound" and bound["count"] == 30 for bound in bounds)
    assert all(("simulated by the model" in bound["space"]) == (bound["split"] == "simulated") for bound in bounds)
    upper, lower, *_ = (bound["nats"] for bound in bounds)
    assert upper - lower == pytest.approx(-bounds[0]["gap"]) and abs(upper - lower) < 0.2
    assert bounds[3]["gap"] > bounds[2]["gap"] > -0.1
    assert "accepted" in err and "no upper bound" in err
    assert len(BRACKET.of(Run(trained / "vae"))) == 1
    first = (trained / "vae" / "bracket.json").read_bytes()
    page = (trained / "vae" / "report.html").read_text()
    assert "simulated by the model" not in page and "30 simulated images" in page and "AIS<sub>30</sub>" in page
    assert main(words) == 0
    assert "IWAE_200" in capsys.readouterr().out
    assert (trained / "vae" / "bracket.json").read_bytes() == first


@pytest.mark.parametrize(
    ("words", "holds"),
    [
        (["{}/mixture"], "is exact"),
        (["{}/vae", "--images", "0"], "--images 0"),
        (["{}/vae", "--images", "1000000"], "--images 1000000"),
        (["{}/vae", "--chains", "0"], "--chains 0"),
        (["{}/vae", "--temperatures", "-1"], "--temperatures -1"),
        (["{}/vae", "--samples", "0"], "--samples 0"),
        (["{}/vae", "--start", "middle"], "--start"),
        (["nowhere"], "nowhere"),
    ],
)
def test_a_wrong_bracket_is_refused(
    trained: Path, capsys: pytest.CaptureFixture[str], words: list[str], holds: str
) -> None:
    capsys.readouterr()
    assert main(["bracket", *(word.format(trained) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and holds in err


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    for content in ("[]", "{}", '{"bounds": [{}], "plan": {}, "acceptance": [1, 1], "seed": 0}', "nonsense"):
        (tmp_path / "bracket.json").write_text(content)
        refused(lambda: BRACKET.of(Run(tmp_path)))

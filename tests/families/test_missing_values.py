"""Missing pixels and weights of images in training: marginals by enumeration, EM, gradients, and the limits."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo
from helpers import refused
from torch import Tensor

from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.evaluation import likelihood, scoring
from ancestral.evaluation.enumeration import all_images
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.circuit.em_step import EMStep as CircuitStep
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.mixture.em_step import EMStep as MixtureStep
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.models.base import Model
from ancestral.models.seen import can_train_on_missing, on_seen
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import build_engine
from ancestral.training.objectives import dreg, elbo, iwae, nll
from ancestral.training.steps import GradientStep

EXACT = ["mixture", "belief net", "circuit", "circuit of one tree", "circuit, Chow-Liu tree", "circuit by class"]
VAES = ["vae", "vae, mixture prior", "vae, categorical", "vae, discretised logistic", "vae, Gaussian"]
A = 0.3


def model_of(name: str) -> Any:
    return zoo.seeded(zoo.ZOO[name])


def data_of(model: Model, count: int = 40, share: float = 0.3) -> tuple[Tensor, Tensor]:
    """Images with dependent pixels, and masks that miss a share of them."""
    with seeded_noise(4):
        levels = model.levels or 2
        base = torch.randint(levels, (count, 1, 1, 1)).expand(count, *model.event_shape)
        x = torch.where(torch.rand(base.shape) < 0.5, base, torch.randint(levels, base.shape)).to(model.dtype)
        return x, torch.rand(x.shape) >= share


def hide(x: Tensor, seen: Tensor) -> Tensor:
    """Images whose hidden values would be noticed in any result."""
    return x.where(seen, torch.nan)


@pytest.mark.parametrize("name", EXACT)
def test_the_log_probability_of_the_seen_pixels_is_a_sum_over_the_others(name: str) -> None:
    """All 512 masks of 3x3 pixels and all values of the seen ones, to 1e-10; no seen pixel has log-probability 0."""
    model = model_of(name).requires_grad_(False)
    x = all_images(model)
    p = model.log_prob(x).exp().view([2] * 9)
    images, masks, wanted = [], [], []
    for number in range(512):
        mask = torch.tensor([bool(number >> d & 1) for d in range(9)])
        hidden = [d for d in range(9) if not mask[d]]
        one_each = (x.flatten(1)[:, ~mask] == 0).all(1)  # the others differ in hidden pixels only
        wanted.append((p.sum(hidden, keepdim=True) if hidden else p).expand([2] * 9).reshape(-1).log()[one_each])
        images.append(x[one_each])
        masks.append(mask.view(1, 1, 3, 3).expand_as(images[-1]))
    assert sum(map(len, images)) == 3**9
    # masks are mixed within a batch
    order = torch.randperm(3**9, generator=torch.Generator().manual_seed(0))
    for rows in order.split(4096):
        seen = torch.cat(masks)[rows]
        found = model.log_prob_seen(hide(torch.cat(images)[rows], seen), seen)
        assert torch.allclose(found, torch.cat(wanted)[rows], atol=1e-10)
    assert model.log_prob_seen(x[:2], torch.zeros_like(x[:2], dtype=torch.bool)).abs().max() < 1e-12


@pytest.mark.parametrize("name", [*EXACT, "circuit, categorical", "circuit, logistic"])
def test_the_gradient_of_the_seen_pixels_is_the_expectation_over_the_others(name: str) -> None:
    """grad log p(seen) = E[grad log p(x) | seen], over all completions of one image."""
    model = model_of(name)
    x, seen = data_of(model, 1, share=0.5)
    every = all_images(model)
    agree = every[((every == x) | ~seen).flatten(1).all(1)]
    log_p = model.log_prob(agree)
    wanted = torch.autograd.grad((log_p.detach().softmax(0) * log_p).sum(), list(model.parameters()))
    found = torch.autograd.grad(nll(model, Batch(hide(x, seen), seen=seen))["loss"].sum(), list(model.parameters()))
    assert all(torch.allclose(one, -other, atol=1e-9) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", VAES)
def test_the_evidence_of_a_vae_needs_no_hidden_pixel(name: str) -> None:
    """log p(seen | z) sums over the seen pixels; with all of them seen, the bound is that without a mask."""
    model = model_of(name)
    x, seen = data_of(model, 6)
    z = model.prior().sample((3, 6))
    found = model.log_likelihood_seen(hide(x, seen), seen, z)
    one = torch.zeros_like(seen)
    by_pixel = torch.zeros_like(found)
    for d in range(x[0].numel()):
        one.zero_().flatten(1)[:, d] = True
        by_pixel += model.log_likelihood_seen(x, one & seen, z) * seen.flatten(1)[:, d]
    assert torch.allclose(found, by_pixel, atol=1e-10)
    whole = torch.ones_like(seen)
    assert torch.allclose(model.log_likelihood_seen(x, whole, z), model.likelihood(z).log_prob(x), atol=1e-10)
    for objective in (elbo, iwae, dreg):
        with seeded_noise(1):
            masked = objective(model, Batch(x, seen=whole))["loss"]
        with seeded_noise(1):
            assert torch.allclose(masked, objective(model, Batch(x))["loss"], atol=1e-10)
        with seeded_noise(1):
            hidden = objective(model, Batch(hide(x, seen), seen=seen))["loss"]
        with seeded_noise(1):
            other = objective(model, Batch(x.where(seen, 1 - x.clamp_max(1)), seen=seen))["loss"]
        assert torch.equal(hidden, other) and hidden.isfinite().all()


@pytest.mark.parametrize("name", VAES)
def test_the_encoder_gets_means_in_place_of_missing_pixels(name: str) -> None:
    """In training, the seen pixels keep the sum of the image on average; in use, the input is that of a whole image."""
    model = model_of(name)
    x, seen = data_of(model, 5, share=0.5)
    seen[0] = False
    given = []
    hook = model.encoder.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0].detach()))
    unit, pixels = model.likelihood.to_unit(x), x[0].numel()
    count = seen.flatten(1).sum(1).clamp(min=1).view(-1, 1, 1, 1)
    model.train().posterior_seen(hide(x, seen), seen)
    assert len(given) == 1 and torch.allclose(given[0], unit.where(seen, 0) * (pixels / count))
    q = model.eval().posterior_seen(hide(x, seen), seen)
    hook.remove()
    assert torch.equal(given[1], given[0]) and len(given) == 4
    means = model.likelihood.to_unit(model.pixels(model.encoder(given[2]).mean).mean)
    assert torch.allclose(given[3], unit.where(seen, means)) and torch.equal(q.mean, model.encoder(given[3]).mean)


def test_the_bound_of_the_seen_pixels_is_below_their_probability() -> None:
    """IWAE_2000 of the seen pixels against a sum over a grid of the latents, for one mask of each image."""
    model = model_of("vae").requires_grad_(False)
    x, seen = data_of(model, 8)
    axis = torch.linspace(-8, 8, 121, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)[:, None].expand(-1, 8, -1)
    area = 2 * math.log((axis[1] - axis[0]).item())
    truth = (model.log_likelihood_seen(x, seen, z) + model.prior().log_prob(z)).logsumexp(0) + area
    with seeded_noise(0):
        log_w = on_seen(model, seen).log_weights(hide(x, seen), 4000)
    bound = log_w.logsumexp(1) - math.log(4000)
    assert (log_w.mean(1) < truth).all() and (bound - truth).abs().max() < 0.1


Make = Callable[[Any], Any]
STEPS: dict[str, Make] = {
    "mixture": lambda model: MixtureStep(model, A),
    **dict.fromkeys(
        ["circuit", "circuit of one tree", "circuit, Chow-Liu tree", "circuit, categorical", "circuit of points"],
        lambda model: CircuitStep(
            model,
            CircuitSettings(method="em", components=model.components, assignment="posterior", smoothing=A),
            10,
            40,
        ),
    ),
}


def points() -> tuple[Tensor, Tensor]:
    with seeded_noise(3):
        x = torch.randn(40, 2, dtype=torch.float64)
        x[:, 1] += 2 * x[:, 0].sign()
        return x, torch.rand(x.shape) >= 0.3


def prior_of(model: Any) -> float:
    """The log-density of the prior of the pseudo-counts, up to a constant."""
    if isinstance(model, MixtureOfBernoullis):
        return A * (model.logits - 2 * torch.nn.functional.softplus(model.logits)).sum().item() + A * (
            model.log_prior().sum().item()
        )
    value = A / model.components * model.log_component_probs.sum()
    for c in range(model.components):
        root, transitions, leaves = model.log_probabilities(c)
        value = value + A / model.states * (root.sum() + transitions.sum())
        if model.levels is None:  # the expected log-density of a standard normal pseudo-observation
            mean, log_scale = model.leaves.means[c], model.leaves.log_scales[c]
            value = value - A * (log_scale + 0.5 * (1 + mean.square()) * (-2 * log_scale).exp()).sum()
        elif leaves.isfinite().all():
            value = value + A / model.levels * leaves.sum()
    return value.item()


@pytest.mark.parametrize("name", list(STEPS))
def test_em_with_missing_values_and_weights_never_decreases_its_objective(name: str) -> None:
    model, before = model_of(name), -math.inf
    x, seen = points() if name == "circuit of points" else data_of(model)
    with seeded_noise(5):
        weights = torch.rand(len(x), dtype=x.dtype) * 3
    step = STEPS[name](model)
    first = None
    for _ in range(12):
        with torch.no_grad():
            now = (weights * model.log_prob_seen(x, seen)).sum().item() + prior_of(model)
        first = now if first is None else first
        assert now >= before - 1e-8
        before = now
        for rows in torch.arange(len(x)).split(15):
            step(Batch(hide(x[rows], seen[rows]), seen=seen[rows], weights=weights[rows]), 0)
        step.end_epoch()
    assert first is not None and before > first + 1


@pytest.mark.parametrize("name", list(STEPS))
def test_a_mask_without_missing_values_changes_nothing_in_em(name: str) -> None:
    """Equal to 1e-12 in double precision; the counts of the mixture are summed in another order."""
    plain, masked = model_of(name), model_of(name)
    x = points()[0] if name == "circuit of points" else data_of(plain)[0]
    for model, seen in ((plain, None), (masked, torch.ones_like(x, dtype=torch.bool))):
        step = STEPS[name](model)
        for _ in range(3):
            step(Batch(x, seen=seen), 0)
            step.end_epoch()
    for one, other in zip(plain.state_dict().values(), masked.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("name", list(STEPS))
def test_weights_of_em_are_repetitions(name: str) -> None:
    """Whole weights equal repeated images, and weight 0 equals leaving the image out, in one batch or several."""
    weighted, repeated = model_of(name), model_of(name)
    x, seen = points() if name == "circuit of points" else data_of(weighted)
    times = torch.arange(len(x)) % 4
    step = STEPS[name](weighted)
    for rows in torch.arange(len(x)).split(15):
        step(Batch(x[rows], seen=seen[rows], weights=times[rows].float()), 0)
    step.end_epoch()
    step = STEPS[name](repeated)
    step(Batch(x.repeat_interleave(times, 0), seen=seen.repeat_interleave(times, 0)), 0)
    step.end_epoch()
    for one, other in zip(weighted.state_dict().values(), repeated.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_running_em_divides_by_the_mean_weight() -> None:
    """All weights 7 give the same update as no weights, if the mean weight is 7."""
    plain, scaled = model_of("circuit"), model_of("circuit")
    x, seen = data_of(plain)
    settings = CircuitSettings(components=plain.components, assignment="posterior", smoothing=A)
    CircuitStep(plain, settings, 10, 40)(Batch(x, seen=seen), 0)
    step = CircuitStep(scaled, settings, 10, 40, mean_weight=7.0)
    loss = step(Batch(x, seen=seen, weights=torch.full((40,), 7.0)), 0)["loss"]
    for one, other in zip(plain.state_dict().values(), scaled.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-10)
    assert torch.allclose(loss, -model_of("circuit").log_prob_seen(x, seen))


def gradient_of(model: Model, batch: Batch, objective: Any, mean_weight: float) -> list[Tensor]:
    """The change of the weights by one step of plain gradient descent."""
    before = [parameter.detach().clone() for parameter in model.parameters()]
    settings = TrainingSettings(optimizer="sgd", learning_rate=1.0, epochs=1)
    step = GradientStep(build_engine("cpu", "32-true"), model, objective, settings, 1, mean_weight)
    with seeded_noise(1):
        step(batch, 0)
    return [old - new.detach() for old, new in zip(before, model.parameters(), strict=True)]


@pytest.mark.parametrize("name", ["mixture", "belief net", "circuit", "made"])
def test_weights_of_gradients_are_repetitions(name: str) -> None:
    model = model_of(name)
    x, _ = data_of(model)
    times = torch.arange(len(x)) % 4
    mean = times.double().mean().item()
    found = gradient_of(copy.deepcopy(model), Batch(x, weights=times.float()), nll, mean)
    wanted = gradient_of(copy.deepcopy(model), Batch(x.repeat_interleave(times, 0)), nll, 1.0)
    assert all(torch.allclose(one, other, atol=1e-9) for one, other in zip(found, wanted, strict=True))


def test_batches_carry_masks_and_weights_of_their_images() -> None:
    images = torch.arange(20, dtype=torch.uint8).view(10, 1, 1, 2)
    seen = torch.arange(20).view(10, 1, 1, 2) % 3 != 0
    split = Split(images, None, seen=seen, weights=torch.arange(10.0).double())
    batches = PixelBatches(split, PixelSpace("levels", 20), seed=1)
    found = list(batches.shuffled(0, 4))
    rows = torch.cat([batch.weights for batch in found if batch.weights is not None]).long()
    assert sorted(rows.tolist()) == list(range(10))
    masks, x = torch.cat([batch.seen for batch in found if batch.seen is not None]), torch.cat([b.x for b in found])
    assert torch.equal(masks, seen[rows]) and torch.equal(x, images[rows].float() * seen[rows])
    assert batches.total_weight == 45 and batches.mean_weight == 4.5
    assert batches.mean(torch.arange(10.0)) == pytest.approx(285 / 45)
    refused(lambda: batches.first(2), "missing pixels")
    refused(lambda: next(batches.in_order(2)), "missing pixels")
    first = split.first(3)
    assert first.seen is not None and torch.equal(first.seen, seen[:3]) and first.weights is not None


def test_scores_of_seen_pixels_say_so() -> None:
    model = model_of("mixture").float()
    x, seen = data_of(model, 30)
    split = Split(x.to(torch.uint8), None, seen=seen)
    images = PixelBatches(split, PixelSpace("threshold", 2))
    found = scoring.score(model, images, dataset="d", split="test")
    assert found.nats == pytest.approx(model.log_prob_seen(x, seen).mean().item(), abs=1e-5)
    share = seen.double().mean().item()
    assert found.space == f"d, binary, threshold 0.5, of the seen pixels only ({share:.1%})"
    assert found.dimensions == round(9 * share)
    refused(lambda: likelihood.per_image(model, images, 10, model.log_prob, 0, None), "missing pixels")


def test_what_cannot_leave_out_pixels_says_so() -> None:
    able = {name for name in zoo.ZOO if can_train_on_missing(zoo.seeded(zoo.ZOO[name]))}
    assert {*EXACT, *VAES, "circuit of points"} <= able
    assert not able & {"made", "pixelcnn", "flow", "gan", "autoencoder"}
    x = torch.zeros(2, 1, 3, 3)
    refused(lambda: on_seen(model_of("made"), x > 0), "cannot leave out missing values", "mixture")
    many = SigmoidBeliefNet([1, 2, 2], latents=15)
    refused(lambda: many.log_prob_seen(x[:, :, :2, :2], x[:, :, :2, :2] > 0), "at most 14")


def test_images_without_a_seen_pixel_do_not_change_em() -> None:
    for name in ("mixture", "circuit of one tree"):
        one, other = model_of(name), model_of(name)
        x, seen = data_of(one)
        none = torch.zeros_like(seen[:3])
        for model, batch in (
            (one, Batch(x, seen=seen)),
            (other, Batch(torch.cat([x, x[:3]]), seen=torch.cat([seen, none]))),
        ):
            step = STEPS[name](model)
            step(batch, 0)
            step.end_epoch()
        if isinstance(one, MixtureOfBernoullis) and isinstance(other, MixtureOfBernoullis):
            assert torch.allclose(one.logits, other.logits, atol=1e-10)
        elif isinstance(one, Circuit) and isinstance(other, Circuit):
            assert torch.allclose(one.log_probabilities(0)[2], other.log_probabilities(0)[2], atol=1e-10)

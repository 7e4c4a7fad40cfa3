"""Training of circuits: expected counts, both kinds of EM, gradients, and the initial parameters."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
import zoo
from helpers import refused
from torch import Tensor

from ancestral.core.errors import TrainingDiverged
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.distributions.pixels import discretised_logistic_log_prob
from ancestral.evaluation.enumeration import all_images
from ancestral.families.circuit.clusters import cluster_centres, k_means, nearest_centre
from ancestral.families.circuit.em_step import EMStep
from ancestral.families.circuit.initialise import initialise, patch_states
from ancestral.families.circuit.leaves import LogisticLeaves
from ancestral.families.circuit.messages import Counts, downward, upward
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.circuit.tiny import TINY
from ancestral.families.circuit.update import expected_counts, set_from_counts

A = 0.3  # pseudo-count
OF_LEVELS = [name for name in TINY if name != "circuit of points"]  # see test_circuit_points.py


def model_of(name: str) -> Circuit:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, Circuit)
    return model


def data_of(model: Circuit, count: int = 60) -> Tensor:
    """Images with dependent pixels that the model did not generate."""
    with seeded_noise(4):
        base = torch.randint(model.levels, (count, 1, 1, 1)).expand(count, *model.event_shape)
        noise = torch.randint(model.levels, base.shape)
        return torch.where(torch.rand(base.shape) < 0.5, base, noise).to(model.dtype)


def step_of(model: Circuit, total: int = 10, images: int = 60, **settings: Any) -> EMStep:
    settings = {"components": model.components, "assignment": "posterior", "smoothing": A, **settings}
    return EMStep(model, CircuitSettings(**settings), total, images)


def objective(model: Circuit, x: Tensor) -> float:
    """The log-likelihood plus the log-density of the Dirichlet prior of the pseudo-counts, up to a constant."""
    value = model.log_prob(x).sum()
    for c in range(model.components):
        root, transitions, leaves = model.log_probabilities(c)
        value = value + A / model.states * (root.sum() + transitions.sum())
        value = value + (A / model.levels * leaves.sum() if leaves.isfinite().all() else 0)
    return (value + A / model.components * model.log_component_probs.sum()).item()


@pytest.mark.parametrize("name", OF_LEVELS)
def test_full_em_never_decreases_its_objective(name: str) -> None:
    model, before = model_of(name), -math.inf
    x = data_of(model)
    step = step_of(model, method="em")
    for _ in range(15):
        now = objective(model, x)
        assert now >= before - 1e-9
        before = now
        for part in x.split(25):
            loss = step(Batch(part), 0)["loss"]
            assert torch.allclose(loss, -model.log_prob(part))
        step.end_epoch()
    assert before > objective(model_of(name), x) + 1


@pytest.mark.parametrize("name", OF_LEVELS)
def test_expected_counts_are_the_gradient(name: str) -> None:
    """The gradient of sum_b w_b log p(x_b), with weights of each sign, by finite differences."""
    model = model_of(name)
    x = all_images(model)[::31]
    with seeded_noise(2):
        weights = torch.randn(len(x), dtype=x.dtype)
        places = [torch.randint(p.numel(), (6,)) for p in model.parameters()]
    gradients = torch.autograd.grad((weights * model.log_prob(x)).sum(), list(model.parameters()))
    for parameter, gradient, chosen in zip(model.parameters(), gradients, places, strict=True):
        for place in chosen.tolist():
            ends = []
            for sign in (1, -1):
                with torch.no_grad():
                    parameter.view(-1)[place] += sign * 1e-5
                    ends.append((weights * model.log_prob(x)).sum().item())
                    parameter.view(-1)[place] -= sign * 1e-5
            assert gradient.flatten()[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-6)


def test_the_update_of_a_logistic_leaf_climbs_to_the_best_parameters() -> None:
    """sum_x counts(x) log p(x) never decreases, and ends at the maximum that a search over a fine grid finds."""
    leaves = LogisticLeaves(1, 3, 2, 12, 1.0).double().requires_grad_(False)
    with seeded_noise(3):
        counts = torch.rand(3, 12, 2, dtype=torch.float64).pow(4) + 0.01
        counts[0, :, 0] = torch.tensor([5.0, *[0.01] * 11])  # almost all at the lowest level: a long tail below it
    reached = []
    for _ in range(200):
        leaves.fit(0, counts)
        reached.append((counts * leaves.log_table(0)).sum(1))
    history = torch.stack(reached)
    assert (history.diff(dim=0) >= -1e-12).all()
    mean, log_scale = torch.meshgrid(torch.linspace(-30, 20, 501), torch.linspace(-3, 2.48, 200), indexing="ij")
    levels = torch.arange(12.0).double()[:, None]
    grid = discretised_logistic_log_prob(levels, mean.flatten().double(), log_scale.flatten().double(), 12)  # (L, G)
    best = torch.einsum("dlk,lg->dkg", counts, grid).amax(2)
    assert (history[-1] > best - 0.05).all()


def test_counts_of_an_image_average_to_those_of_the_model() -> None:
    """E_x [counts(x)] = the counts that the parameters expect, by a sum over all images."""
    model = model_of("circuit, categorical").requires_grad_(False)
    x = all_images(model)
    tree, codes = model.tree(0), model.leaf_codes(0, x.flatten(1))
    found = downward(tree, codes, upward(tree, codes), model.log_prob(x).exp())
    for part, wanted in zip(found, expected_counts(model, 0), strict=True):
        assert torch.allclose(part[:, : wanted.shape[1]] if part.dim() == 3 else part, wanted, atol=1e-10)


@pytest.mark.parametrize("batches", [1, 3])
def test_the_chow_liu_tree_counts_pairs_of_pixels(batches: int) -> None:
    """One epoch gives p(x_d | x_parent) = (n + a / 2) / (n_parent + a) for every edge."""
    model = model_of("circuit, Chow-Liu tree")
    x = data_of(model)
    step = step_of(model, states=1)
    for part in x.chunk(batches):
        step(Batch(part), 0)
    step.end_epoch()
    rows = x.flatten(1).long()
    _, transitions, _ = model.log_probabilities(0)
    for node in range(1, 9):
        child, parent = rows[:, model.node_pixels[0, node]], rows[:, model.node_pixels[0, model.node_parents[0, node]]]
        for k in (0, 1):
            n = (parent == k).sum().item()
            share = (((parent == k) & (child == 1)).sum().item() + A / 2) / (n + A)
            assert transitions[node - 1, k, 1].exp().item() == pytest.approx(share, abs=1e-12)


def test_running_counts_follow_their_formula() -> None:
    """S <- (1 - e) S + e mean s(x), with geometric steps from 0.3 to 0.005, from the counts of the parameters."""
    model = model_of("circuit of one tree").requires_grad_(False)
    x, expected = data_of(model), expected_counts(model, 0)
    step = step_of(model, total=3)
    reference = copy.deepcopy(model)
    for number, (part, rate) in enumerate(zip(x.split(20), (0.3, math.sqrt(0.3 * 0.005), 0.005), strict=True)):
        tree, codes = reference.tree(0), reference.leaf_codes(0, part.flatten(1))
        counts = downward(tree, codes, upward(tree, codes), torch.full((20,), 1 / 20, dtype=x.dtype))
        counts = counts._replace(leaves=counts.leaves[:, :-1])
        expected = Counts(*((1 - rate) * old + rate * new for old, new in zip(expected, counts, strict=True)))
        set_from_counts(reference, 0, expected, A / 60)
        step(Batch(part), number)
        for one, other in zip(model.parameters(), reference.parameters(), strict=True):
            assert torch.allclose(one, other, atol=1e-10)


def test_an_image_trains_the_tree_of_its_class_only() -> None:
    model = model_of("circuit by class").requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    settings = CircuitSettings(conditional=True, components=2, smoothing=1e-6)
    step = EMStep(model, settings, 10, 60, torch.zeros(2, 9, dtype=torch.float64))
    x = data_of(model)
    step(Batch(x, labels=torch.ones(60, dtype=torch.long)), 0)
    after = model.state_dict()
    changed = (after["leaves.logits"] - before["leaves.logits"]).flatten(1).abs().amax(1)
    # equal centres: every image is in the first cluster of its class, which is tree 2
    assert changed[2] > 0.05 and changed[[0, 1, 3]].max() < 1e-3
    shares = model.log_component_probs.exp()
    assert shares[2] > before["weights"].softmax(0)[2]


def test_missing_pixels_are_summed_out_and_weights_count() -> None:
    """A batch with a mask trains as all ways to fill it, weighted by their probability given the rest."""
    x = data_of(model_of("circuit"))[:6]
    seen = torch.ones_like(x, dtype=torch.bool)
    seen[:, :, 0, :2] = False
    masked, filled = model_of("circuit"), model_of("circuit")
    step = step_of(masked, images=6, method="em")
    terms = step(Batch(torch.where(seen, x, torch.nan), seen=seen, weights=torch.full((6,), 2.0)), 0)
    assert torch.allclose(-terms["loss"], 2 * filled.log_prob_observed(x, seen))
    step.end_epoch()
    others, shares = [], []
    for values in ([0, 0], [0, 1], [1, 0], [1, 1]):
        one = x.clone()
        one[:, 0, 0, :2] = torch.tensor(values, dtype=x.dtype)
        others.append(one)
        shares.append(2 * (filled.log_prob(one) - filled.log_prob_observed(x, seen)).exp())
    step = step_of(filled, images=6, method="em")
    step(Batch(torch.cat(others), weights=torch.cat(shares)), 0)
    step.end_epoch()
    # a missing pixel counts for states, but not for leaves; so only the transitions agree
    assert torch.allclose(masked.transitions, filled.transitions, atol=1e-9)
    assert torch.allclose(masked.weights.softmax(0), filled.weights.softmax(0), atol=1e-9)


def test_a_state_is_restored_exactly() -> None:
    x = data_of(model_of("circuit"))
    straight, first = model_of("circuit"), model_of("circuit")
    step, half = step_of(straight, total=4), step_of(first, total=4)
    for number, part in enumerate(x.split(15)):
        step(Batch(part), number)
        if number < 2:
            half(Batch(part), number)
    resumed = model_of("circuit")
    resumed.load_state_dict(first.state_dict())
    again = step_of(resumed, total=4)
    again.restore({name: tensor.clone() for name, tensor in half.state().items()})
    for number, part in list(enumerate(x.split(15)))[2:]:
        again(Batch(part), number)
    assert all(map(torch.equal, straight.state_dict().values(), resumed.state_dict().values()))


def test_a_broken_model_stops_the_training() -> None:
    model = model_of("circuit of one tree")
    with torch.no_grad():
        model.leaves.logits[0, 3] = math.nan  # type: ignore[index]
    step = step_of(model, method="em")
    with pytest.raises(TrainingDiverged, match="not finite at step 8"):
        step(Batch(data_of(model)), 7)


def batches_of(x: Tensor, levels: int, labels: Tensor | None = None) -> PixelBatches:
    return PixelBatches(x.to(torch.uint8), PixelSpace("threshold" if levels == 2 else "levels", levels), labels=labels)


@pytest.mark.parametrize("leaves, levels", [("bernoulli", 2), ("categorical", 5), ("logistic", 9)])
def test_the_start_from_patches_is_better_than_a_random_one(leaves: str, levels: int) -> None:
    with seeded_noise(0):
        made = [Circuit([1, 6, 6], 4, 1, leaves, levels, start=start) for start in ("patches", "random")]
        x = (torch.rand(300, 1, 1, 1) * levels).floor().expand(300, 1, 6, 6)
        x = torch.where(torch.rand(x.shape) < 0.2, (torch.rand(x.shape) * levels).floor(), x)
        for model in made:
            initialise(model, batches_of(x, levels))
    assert torch.equal(made[0].node_pixels, made[1].node_pixels)
    with torch.no_grad():
        patches, random = (model.log_prob(x).mean() for model in made)
    assert patches > random + 3


def test_trees_of_classes_are_learned_from_their_images() -> None:
    """Class 0: the first two pixels are equal; class 1: the last two. Class 2 has no images."""
    with seeded_noise(0):
        x = torch.bernoulli(torch.full((400, 1, 1, 4), 0.5))
    labels = torch.arange(400) % 2
    x[labels == 0, :, :, 1] = x[labels == 0, :, :, 0]
    x[labels == 1, :, :, 3] = x[labels == 1, :, :, 2]
    model = Circuit([1, 1, 4], 2, 3, "pixel", 2, classes=3)
    initialise(model, batches_of(x, 2, labels))
    for c, edge in enumerate(({0, 1}, {2, 3})):
        order, parents = model.node_pixels[c], model.node_parents[c]
        assert edge in [{int(order[n]), int(order[parents[n]])} for n in range(1, 4)]
    class_probs = model.log_class_probs().exp()
    assert class_probs[:2].tolist() == pytest.approx([0.5, 0.5], abs=0.01) and class_probs[2] < 0.01


def test_clusters_depend_on_the_data_only() -> None:
    with seeded_noise(0):
        x = torch.bernoulli(torch.where(torch.arange(100) < 50, 0.1, 0.9).view(-1, 1, 1, 1).expand(-1, 1, 4, 4))
    train = batches_of(x, 2)
    centres = cluster_centres(train, 2)
    with seeded_noise(7):
        assert torch.equal(cluster_centres(train, 2), centres)
    nearest = nearest_centre(x.flatten(1), centres)
    assert len(nearest[:50].unique()) == len(nearest[50:].unique()) == 1 and nearest[0] != nearest[50]
    assert k_means(x[:3].flatten(1), 5, 2)[0].shape == (5, 16)  # fewer points than clusters


def test_states_of_patches_are_of_their_own_image() -> None:
    """Two kinds of images: the state of each pixel separates them."""
    x = torch.cat([torch.zeros(30, 1, 5, 5), torch.ones(30, 1, 5, 5)])
    with seeded_noise(0):
        states = patch_states(x, 2, 2)
    assert states.shape == (25, 60)
    assert (states[:, :30] == states[:, :1]).all() and (states[:, 30:] == 1 - states[:, :1]).all()


def test_settings_refuse_and_report_what_does_not_fit() -> None:
    refused(lambda: CircuitSettings(states=0), "--states 0")
    refused(lambda: CircuitSettings(first_step=1.5), "--first-step 1.5: give a number of at most 1")
    refused(lambda: CircuitSettings(smoothing=0.0), "--smoothing 0.0")
    assert CircuitSettings().unused(None).keys() == {"assignment"}
    assert {"start", "output", "first_step"} < CircuitSettings(states=1).unused(None).keys()
    assert "smoothing" in CircuitSettings(method="gradient").unused(None)
    assert CircuitSettings().stretched == ("method",) and CircuitSettings(states=1).stretched == ()

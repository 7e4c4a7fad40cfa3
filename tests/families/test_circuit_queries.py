"""Circuits: every answer about every set of pixels equals a sum over all images, or over all states."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
import zoo
from helpers import refused
from torch import Tensor

from ancestral.core.random import seeded_noise
from ancestral.evaluation.enumeration import all_images
from ancestral.families.circuit.information import edge_information, region_information
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.structure import rooted
from ancestral.families.circuit.tiny import TINY

OF_LEVELS = [name for name in TINY if name != "circuit of points"]  # see test_circuit_points.py
BINARY = ["circuit", "circuit of one tree", "circuit, Chow-Liu tree", "circuit by class"]


def model_of(name: str) -> Circuit:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, Circuit)
    return model.requires_grad_(False)


def masks_of(model: Circuit, every: int = 1) -> Tensor:
    """All masks over an image, or every n-th one, boolean, shape (M, *event_shape)."""
    pixels = math.prod(model.event_shape)
    numbers = torch.arange(0, 1 << pixels, every)
    return (numbers[:, None] >> torch.arange(pixels) & 1).bool().view(-1, *model.event_shape)


def agreeing(x: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """Which images agree with one image where the mask is True, shape (N,)."""
    return (x.flatten(1)[:, mask.flatten()] == image.flatten()[mask.flatten()]).all(1)


@pytest.mark.parametrize("name", OF_LEVELS)
def test_marginals_and_conditionals_of_all_masks(name: str) -> None:
    """log p(observed), log p(missing | observed) and p(x_d | observed) for every mask, to 1e-10."""
    model = model_of(name)
    x, masks = all_images(model), masks_of(model)
    p = model.log_prob(x).exp()
    with seeded_noise(1):
        chosen = x[torch.randint(len(x), (len(masks),))]
    hidden = torch.where(masks, chosen, torch.nan)  # nobody may look there
    observed, missing = model.log_prob_observed(hidden, masks), model.log_prob_missing(chosen, masks)
    pixels = model.pixel_probs(hidden, masks)
    for one, mask, log_seen, log_rest, probs in zip(chosen, masks, observed, missing, pixels, strict=True):
        agrees = agreeing(x, one, mask)
        total = p[agrees].sum()
        assert log_seen.item() == pytest.approx(total.log().item(), abs=1e-10)
        whole = p[agreeing(x, one, torch.ones_like(mask))].sum()
        assert log_rest.item() == pytest.approx((whole / total).log().item(), abs=1e-10)
        levels = torch.stack([((x[agrees] == v) * p[agrees].view(-1, 1, 1, 1)).sum(0) for v in range(model.levels)], -1)
        assert torch.allclose(probs, levels / total, atol=1e-10)


@pytest.mark.parametrize("name", OF_LEVELS)
def test_conditionals_multiply_to_the_probability(name: str) -> None:
    model = model_of(name)
    x = all_images(model)[::23]
    assert torch.allclose(model.conditionals(x).log_prob(x).flatten(1).sum(1), model.log_prob(x), atol=1e-10)


def joint_by_hand(model: Circuit, c: int) -> Tensor:
    """log p(x, z, c) of all images and all states of all nodes, shape (N, K^D), from the formula."""
    root, transitions, leaves = model.log_probabilities(c)
    pixels, x = math.prod(model.event_shape), all_images(model).flatten(1).long()
    states = torch.tensor(list(itertools.product(range(model.states), repeat=pixels)))
    log_p = root[states[:, 0]] + model.log_component_probs[c]
    for node in range(1, pixels):
        log_p = log_p + transitions[node - 1, states[:, model.node_parents[c, node]], states[:, node]]
    total = log_p.expand(len(x), -1)
    for node in range(pixels):
        total = total + leaves[node][x[:, model.node_pixels[c, node]]][:, states[:, node]]
    return total


def small(leaves: str = "bernoulli", levels: int = 2, components: int = 2) -> Circuit:
    """A circuit with 4 pixels, whose states can be listed."""
    with seeded_noise(5):
        model = Circuit([1, 2, 2], levels if leaves == "pixel" else 3, components, leaves, levels, weight_scale=1.5)
        for c, edges in zip(range(components), ([(0, 2), (2, 1), (2, 3)], [(3, 1), (1, 0), (0, 2)]), strict=False):
            model.set_structure(c, rooted(edges, 4))
    return model.double().eval().requires_grad_(False)


@pytest.mark.parametrize("leaves, levels", [("bernoulli", 2), ("categorical", 3), ("logistic", 4), ("pixel", 3)])
def test_log_prob_and_posterior_of_states_by_enumeration(leaves: str, levels: int) -> None:
    model = small(leaves, levels)
    x = all_images(model)
    joints = [joint_by_hand(model, c) for c in range(2)]
    log_p = torch.stack([joint.logsumexp(1) for joint in joints], 1)
    assert torch.allclose(model.joint(x), log_p, atol=1e-10)
    codes = model.encode(x).unflatten(1, (2, -1))
    states = torch.tensor(list(itertools.product(range(model.states), repeat=4)))
    for c, joint in enumerate(joints):
        posterior = joint.softmax(1)
        marginals = torch.stack([posterior @ (states == k).double() for k in range(model.states)], 2)  # (N, nodes, K)
        by_pixel = torch.empty_like(marginals).index_copy_(1, model.node_pixels[c], marginals)
        assert torch.allclose(model.state_posteriors(x, c), by_pixel, atol=1e-10)
        share = log_p.softmax(1)[:, c, None]
        assert torch.allclose(codes[:, c], share * marginals[:, 0], atol=1e-10)


@pytest.mark.parametrize("leaves, levels", [("bernoulli", 2), ("categorical", 3), ("pixel", 3)])
def test_the_most_probable_completion_is_a_maximum_over_states_and_pixels(leaves: str, levels: int) -> None:
    model = small(leaves, levels)
    x, masks = all_images(model), masks_of(model)
    joint = torch.stack([joint_by_hand(model, c) for c in range(2)]).amax((0, 2))  # best states and tree of each image
    for mask in masks:
        images, log_prob = model.most_probable(x, mask.expand_as(x))
        for one, image, found in zip(x, images, log_prob, strict=True):
            agrees = agreeing(x, one, mask)
            assert found.item() == pytest.approx(joint[agrees].max().item(), abs=1e-10)
            assert agreeing(image[None], one, mask).all()
            reached = joint[agreeing(x, image, torch.ones_like(mask))]
            assert reached.item() == pytest.approx(found.item(), abs=1e-10)


@pytest.mark.parametrize("name", OF_LEVELS)
def test_decoded_posteriors_average_to_the_mean_image(name: str) -> None:
    """E[x] = sum_x p(x) E[x | p(tree, root | x)], because the average posterior is the prior."""
    model = model_of(name)
    x = all_images(model)
    p = model.log_prob(x).exp()
    codes = model.encode(x)
    assert torch.allclose(codes.sum(1), torch.ones(len(x), dtype=codes.dtype))
    mean = (p[:, None] * x.flatten(1)).sum(0)
    assert torch.allclose(model.decode((p @ codes)[None]).flatten(), mean, atol=1e-10)
    with seeded_noise(0):
        error = (model.sample_mean(4000).mean(0).flatten() - mean).abs().max()
    assert error < 5 * (model.levels - 1) * 0.5 / math.sqrt(4000)


def test_the_class_posterior_is_bayes_rule_and_samples_are_of_their_class() -> None:
    """Four trees for two classes: p(y | x), p(y), and samples given y by their mean images."""
    model = model_of("circuit by class")
    x = all_images(model)
    joint = model.joint(x).exp()
    by_class = torch.stack([joint[:, :2].sum(1), joint[:, 2:].sum(1)], 1)
    assert torch.allclose(model.class_posterior(x).probs, by_class / by_class.sum(1, keepdim=True))
    assert torch.allclose(model.log_class_probs().exp(), by_class.sum(0)) and model.present_classes().tolist() == [0, 1]
    for label in (0, 1):
        with seeded_noise(label):
            drawn = model.sample_classes(torch.full((4000,), label)).mean(0).flatten()
            share = (model.draw_classes(4000) == label).double().mean()
        mean = (by_class[:, label, None] * x.flatten(1)).sum(0) / by_class[:, label].sum()
        assert (drawn - mean).abs().max() < 5 * 0.5 / math.sqrt(4000)
        assert abs(share - model.log_class_probs()[label].exp()) < 5 * 0.5 / math.sqrt(4000)
    refused(lambda: model.sample_classes(torch.tensor([2])), "classes 0 to 1")
    refused(lambda: model_of("circuit").sample_classes(torch.tensor([0])), "no classes", "--conditional")
    refused(lambda: model_of("circuit").class_posterior(x[:1]), "no classes")


def test_information_of_a_region_agrees_with_a_sum_over_all_images() -> None:
    model = model_of("circuit")
    x = all_images(model)
    p = model.log_prob(x).exp()
    known = torch.zeros(model.event_shape, dtype=torch.bool)
    known[:, :, :1] = True
    seen = known.expand_as(x)
    exact = (p * (model.log_prob(x) - model.log_prob_observed(x, seen) - model.log_prob_observed(x, ~seen))).sum()
    found = region_information(model, known, samples=3000)
    assert abs(found.shared.nats - exact) < 4 * found.shared.stderr < 0.2
    assert abs(found.rest.nats - found.rest_given_known.nats - found.shared.nats) < 1e-10
    entropy = -(p * model.log_prob_observed(x, seen)).sum()
    assert abs(found.known.nats - entropy) < 4 * found.known.stderr
    assert (found.by_pixel[known] == 0).all() and found.by_pixel[~known].max() <= exact + 0.1
    refused(lambda: region_information(model, known[0]), "boolean mask of shape (1, 3, 3)")
    refused(lambda: region_information(model, known, samples=1), "at least 2")


def test_information_of_edges_agrees_with_a_sum_over_all_images() -> None:
    model = model_of("circuit of one tree")
    x = all_images(model).flatten(1)
    p = model.log_prob(all_images(model)).exp()
    found = edge_information(model)
    for node in range(1, 9):
        a, b = x[:, model.node_pixels[0, node]], x[:, model.node_pixels[0, model.node_parents[0, node]]]
        joint = torch.stack([p[(a == i) & (b == j)].sum() for i in (0, 1) for j in (0, 1)]).view(2, 2)
        exact = (joint * (joint / (joint.sum(0) * joint.sum(1, keepdim=True))).log()).sum()
        assert found[node].item() == pytest.approx(exact.item(), abs=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.5, 8.0, 40.0])
@pytest.mark.parametrize("leaves", ["bernoulli", "pixel"])
def test_no_image_and_no_mask_gives_nan(dtype: torch.dtype, scale: float, leaves: str) -> None:
    """Weights of a star, in which messages underflow: every answer is finite.

    It agrees with double precision, unless single transitions are below the smallest number of the format.
    """
    with seeded_noise(2):
        model = Circuit([1, 8, 8], 2 if leaves == "pixel" else 5, 2, leaves, weight_scale=scale)
        model.set_structure(0, rooted([(0, d) for d in range(1, 64)], 64))
        x = torch.cat([torch.bernoulli(torch.rand(20, 1, 1, 1).expand(20, 1, 8, 8)), torch.zeros(1, 1, 8, 8)])
        observed = torch.rand(21, 1, 8, 8) < torch.linspace(0, 1, 21).view(21, 1, 1, 1)
    model = model.eval().requires_grad_(False).to(dtype)
    exact = Circuit([1, 8, 8], model.states, 2, leaves).double()
    exact.load_state_dict(model.state_dict())
    x = torch.cat([x, 1 - x])
    observed = torch.cat([observed, observed])
    for found, wanted in (
        (model.log_prob(x), exact.log_prob(x)),
        (model.log_prob_observed(x, observed), exact.log_prob_observed(x, observed)),
    ):
        assert found.isfinite().all()
        assert scale > 10 or torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-3)
    assert torch.equal(model.complete(x, observed)[observed], x[observed])
    for values in (model.pixel_probs(x, observed), model.encode(x), *model.most_probable(x, observed)):
        assert values.isfinite().all()


def test_messages_of_logistic_leaves_far_from_an_image_are_finite() -> None:
    with seeded_noise(0):
        model = Circuit([1, 4, 4], 4, 1, "logistic", 256)
        model.leaves.log_scales.data.fill_(-8.0)
    x = torch.randint(256, (10, 1, 4, 4)).float()
    assert model.log_prob(x).isfinite().all()
    gradients = torch.autograd.grad(model.log_prob(x).sum(), list(model.parameters()))
    assert all(values.isfinite().all() for values in gradients)


def test_all_pixels_hidden_or_none() -> None:
    model = model_of("circuit")
    x = all_images(model)[:5]
    none, every = torch.zeros_like(x, dtype=torch.bool), torch.ones_like(x, dtype=torch.bool)
    assert torch.allclose(model.log_prob_observed(x, none), torch.zeros(5, dtype=x.dtype), atol=1e-12)
    assert torch.allclose(model.log_prob_missing(x, none), model.log_prob(x), atol=1e-12)
    assert torch.allclose(model.log_prob_missing(x, every), torch.zeros(5, dtype=x.dtype), atol=1e-12)
    assert torch.equal(model.complete(x, every), x)


def test_wrong_masks_and_images_are_refused() -> None:
    model = model_of("circuit")
    x = all_images(model)[:5]
    refused(lambda: model.complete(x, torch.ones(5, 1, 3, 2, dtype=torch.bool)), "a mask of the same shape")
    refused(lambda: model.log_prob_observed(x, torch.ones_like(x)), "must be boolean")
    refused(lambda: model.log_prob(x + 0.5), "binary pixels")
    seven = torch.full((1, 1, 2, 2), 7.0)
    refused(lambda: model_of("circuit, categorical").log_prob(seven), "whole pixel levels 0 to 4")
    refused(lambda: Circuit([1, 2, 2], 3, 3, classes=2), "equally many trees of each class")
    refused(lambda: Circuit([1, 2, 2], 3, leaves="pixel"), "as many states as levels")
    refused(lambda: Circuit([1, 2, 2], 3, leaves="bernoulli", levels=4), "bernoulli (2 levels)")

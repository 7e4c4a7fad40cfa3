"""Models with classes and data with missing pixels: p(seen, y) of each class, and the bounds of a VAE."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.evaluation.class_scores import log_joint_classes
from ancestral.evaluation.enumeration import all_images
from ancestral.models.seen import on_seen
from ancestral.training.objectives import elbo, iwae, nll, terms_of_labels

EXACT = ["mixture, conditional", "circuit by class"]
LABELS = {"no labels": None, "all labels": [0, 1, 0, 0, 1, 1], "some labels": [0, 1, -1, 0, -1, 1]}


def model_of(name: str) -> Any:
    return zoo.seeded(zoo.ZOO[name]).requires_grad_(False)


def data_of(model: Any, share: float = 0.4) -> tuple[Tensor, Tensor]:
    with seeded_noise(3):
        x = model.sample(6)
        return x, torch.rand(x.shape) >= share


def stored(x: Tensor, seen: Tensor) -> PixelBatches:
    return PixelBatches(Split(x.to(torch.uint8), None, seen=seen), PixelSpace("threshold", 2))


@pytest.mark.parametrize("name", EXACT)
def test_joint_probabilities_of_the_seen_pixels_and_a_class_are_sums_over_the_others(name: str) -> None:
    model = model_of(name)
    x, seen = data_of(model)
    every = all_images(model)
    joint = model.log_joint_classes(every)
    agree = ((every[None] == x[:, None]) | ~seen[:, None]).flatten(2).all(2)
    wanted = torch.stack([joint[rows].logsumexp(0) for rows in agree])
    assert torch.allclose(log_joint_classes(model, stored(x, seen)), wanted, atol=1e-9)
    labels = torch.tensor(LABELS["some labels"])
    found = terms_of_labels(model, nll, Batch(x.where(seen, torch.nan), labels=labels, seen=seen))["loss"]
    of_label = wanted[torch.arange(6), labels.clamp_min(0)]
    assert torch.allclose(-found, of_label.where(labels >= 0, wanted.logsumexp(1)), atol=1e-9)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("objective", [elbo, iwae])
def test_hidden_pixels_are_not_used_by_a_vae_with_classes(objective: Any, labels: list[int] | None) -> None:
    """With all pixels seen, the loss is that without a mask."""
    model = model_of("vae, conditional")
    x, seen = data_of(model)
    y = None if labels is None else torch.tensor(labels)

    def loss(x: Tensor, seen: Tensor | None) -> Tensor:
        with seeded_noise(1):
            return terms_of_labels(model, objective, Batch(x, labels=y, seen=seen))["loss"]

    hidden = loss(x.where(seen, torch.nan), seen)
    assert torch.equal(hidden, loss(x.where(seen, 1 - x), seen)) and hidden.isfinite().all()
    assert not torch.allclose(hidden, loss(x, None))
    assert torch.allclose(loss(x, torch.ones_like(seen)), loss(x, None), atol=1e-10)


def test_bounds_of_a_vae_with_classes_agree_with_a_sum_over_a_grid() -> None:
    """Importance-weighted values of p(seen, y) and p(seen), and the ELBO below the latter."""
    model = model_of("vae, conditional")
    x, seen = data_of(model)
    axis = torch.linspace(-8, 8, 81, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)[:, None].expand(-1, 6, -1)
    log_p_z = model.latent_prior().log_prob(z) + 2 * math.log((axis[1] - axis[0]).item())
    each = [(model.given(y).log_likelihood_seen(x, seen, z) + log_p_z).logsumexp(0) for y in range(2)]
    truth = torch.stack(each, 1) + model.log_class_probs()
    found = log_joint_classes(model, stored(x, seen), 4000)
    assert torch.allclose(found.double(), truth.double(), atol=0.06)
    view, total = on_seen(model, seen), truth.logsumexp(1)
    with seeded_noise(0):
        weights = view.log_weights(x, 4000)
        assert torch.allclose(weights.logsumexp(1) - math.log(4000), total, atol=0.06)
        bounds = torch.stack([view.elbo(x) for _ in range(400)])
        q = view.posterior(x)
        codes = q.sample((4000,))
    of_codes = view.log_joint(x, codes) - q.log_prob(codes)  # has the same mean
    assert (bounds.mean(0) < total).all()
    error = (bounds.var(0) / 400 + of_codes.var(0) / 4000).sqrt()
    assert ((bounds.mean(0) - of_codes.mean(0)).abs() < 4.5 * error).all()

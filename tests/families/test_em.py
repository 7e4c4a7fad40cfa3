"""Expectation-maximisation of the mixture: its update by hand, with the smoothing of p(Z) and of the pixels."""

from __future__ import annotations

import pytest
import torch

from ancestral.data.pixels import Batch
from ancestral.families.mixture.em_step import STEPS, EMStep
from ancestral.families.mixture.model import MixtureOfBernoullis

A = 0.3


def started() -> MixtureOfBernoullis:
    torch.manual_seed(0)
    model = MixtureOfBernoullis([1, 1, 3], components=2, weight_scale=1.0).double()
    with torch.no_grad():
        model.b.copy_(torch.tensor([1.0, -1.0]))
    return model


@pytest.mark.parametrize("epochs", [1, 2])
def test_an_epoch_is_the_smoothed_update(epochs: int) -> None:
    """p(Z = k) = (n_k + a) / (N + K a) and p_kd = (sum_n r_nk x_nd + a) / (n_k + 2 a), over each epoch anew."""
    x = torch.tensor([[1.0, 0, 1], [1, 1, 1], [0, 0, 1], [1, 0, 0], [1, 1, 0]]).double().view(5, 1, 1, 3)
    model = started()
    step = EMStep(model, A)
    for _ in range(epochs):
        r = model.posterior(x).probs
        counts, sums = r.sum(0), r.T @ x.flatten(1)
        for start in (0, 2):  # two batches make an epoch
            step(Batch(x[start : 2 if start == 0 else 5]), 0)
        step.end_epoch()
        assert torch.allclose(model.component_probs, (counts + A) / (5 + 2 * A))
        assert torch.allclose(model.component_images.flatten(1), (sums + A) / (counts + 2 * A)[:, None])


def test_a_component_without_images_keeps_a_probability() -> None:
    model = started()
    with torch.no_grad():
        model.b.copy_(torch.tensor([60.0, -60.0]))
    step = EMStep(model, A)
    step(Batch(torch.ones(10, 1, 1, 3).double()), 0)
    step.end_epoch()
    assert model.component_probs[1].item() == pytest.approx(A / (10 + 2 * A), rel=1e-6)


@pytest.mark.parametrize("steps", [3, STEPS, STEPS + 2])
def test_an_epoch_that_is_resumed_is_the_same(steps: int) -> None:
    """The sums of the latest steps are part of the state; they are added to the totals every `STEPS` steps."""
    x = (torch.rand(40, 1, 1, 3, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    batches = [Batch(x[2 * n : 2 * n + 2]) for n in range(20)]
    model, resumed = started(), started()
    whole, first, second = EMStep(model, A), EMStep(resumed, A), EMStep(resumed, A)
    for number, batch in enumerate(batches):
        whole(batch, number)
        (first if number < steps else second)(batch, number)
        if number == steps - 1:
            second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    r = model.posterior(x).probs
    expected = (r.T @ x.flatten(1) + A) / (r.sum(0) + 2 * A)[:, None]
    for step in (whole, second):
        step.end_epoch()
    assert torch.equal(model.w, resumed.w)
    assert torch.allclose(model.component_images.flatten(1), expected)

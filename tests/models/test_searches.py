"""Searches for latents and chains over latents: the minimised energy, the selected result, and fixed step sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ancestral.core.random import seeded_noise
from ancestral.models import hamiltonian
from ancestral.models.completion import MISFIT, misfit_energy, nearest_image
from ancestral.models.hamiltonian import hamiltonian_chains

GIVEN = torch.tensor([[[[0.5, 0.2]]], [[[1.0, 0.9]]]])  # two images of two pixels
SEEN = torch.tensor([True, False]).expand(2, 1, 1, 2)


def image(z: Tensor) -> Tensor:
    return z[..., None, None, :]


def test_the_energy_is_that_of_observed_pixels_and_of_the_prior() -> None:
    z = torch.tensor([[[0.4, 9.0], [1.0, 0.0]]])  # one start for each image
    expected = [0.1**2 / (2 * MISFIT**2) + (0.4**2 + 9.0**2) / 2, 0.5]
    assert torch.allclose(misfit_energy(image, GIVEN, SEEN)(z), torch.tensor([expected]))


def test_the_result_with_the_lowest_energy_is_selected() -> None:
    near, far = torch.tensor([[0.5, 0.0], [1.0, 0.0]]), torch.tensor([[4.0, 4.0], [-3.0, 4.0]])
    for starts in (torch.stack([near, far]), torch.stack([far, near])):
        assert torch.equal(nearest_image(image, starts, GIVEN, SEEN, steps=0, rate=0.1), image(near))


def test_a_chain_keeps_its_step_size_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that followed the acceptance for ever would draw from another density."""
    used: list[Tensor] = []
    leapfrog = hamiltonian.leapfrog

    def watched(now, momentum, stride, *others):
        used.append(stride.flatten().clone())
        return leapfrog(now, momentum, stride, *others)

    monkeypatch.setattr(hamiltonian, "leapfrog", watched)
    with seeded_noise(3):
        hamiltonian_chains(lambda v: -v.square().sum(1) / 2, torch.zeros(50, 2), warming=20, sweeps=20)
    kept = torch.stack(used[20:])
    assert (kept.amax(0) / kept.amin(0) <= 1.1 / 0.9 + 1e-5).all()  # but for a tenth, at random
    assert (torch.stack(used[:20]).amax(0) / used[0] > 2).all()

"""The mixture of Bernoullis: its sums over pixels are in full precision, whatever the training's number format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ancestral import fit
from ancestral.core.random import seeded_noise
from ancestral.evaluation.scoring import score
from ancestral.families.mixture.model import MixtureOfBernoullis


@pytest.mark.parametrize("masked", [False, True])
def test_sums_over_pixels_are_not_in_half_precision(masked: bool) -> None:
    """784 terms of either sign: the nearest numbers in bfloat16 are up to two nats apart."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MixtureOfBernoullis([1, 28, 28], components=20, weight_scale=2.0).eval().requires_grad_(False)
        x, seen = torch.bernoulli(torch.rand(2, 32, 1, 28, 28))
    observed = seen.flatten(1).bool() if masked else None
    with torch.autocast("cpu", torch.bfloat16):
        found = model.joint(x, observed)
    exact = model.double().joint(x.double(), observed)
    assert found.dtype == torch.float32 and (found - exact).abs().max() < 2e-3


@pytest.mark.parametrize("method", ["em", "gradient"])
def test_held_out_readings_of_a_training_in_half_precision_are_scores(tmp_path: Path, method: str) -> None:
    """What selects the weights is the score of the stored model in single precision."""
    run = fit("mixture", tmp_path / "run", epochs=2, components=5, method=method, precision="bf16-mixed")
    stored = score(run.load(), run.data.held("valid"), dataset="digits", split="valid")
    read = [line.value for line in run.log() if (line.split, line.name) == ("valid", "nll")]
    assert -stored.nats == pytest.approx(min(read), abs=1e-5)


def test_components_are_sampled_with_their_probabilities() -> None:
    """0.7, 0.2 and 0.1, within five standard errors of 4000 draws; component k shows pixel k."""
    model = MixtureOfBernoullis([1, 1, 3], components=3)
    shown = torch.where(torch.eye(3, dtype=torch.bool), 0.999, 0.001)
    model.set_probabilities(torch.tensor([0.7, 0.2, 0.1]), shown)
    with seeded_noise(0):
        drawn = model.sample_mean(4000).flatten(1).argmax(1).bincount(minlength=3) / 4000
    assert ((drawn - model.component_probs).abs() < 5 * 0.5 / 4000**0.5).all()

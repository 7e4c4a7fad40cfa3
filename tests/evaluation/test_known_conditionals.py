"""Calibration of predicted pixels and the energy score, against a known conditional distribution."""

from __future__ import annotations

import pytest
import torch

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.evaluation.known_conditionals import energy_scores, mean_energy_score, pixel_calibration
from ancestral.families.circuit.tiny import tiny_circuit


@pytest.fixture(scope="module")
def completed():
    """Images of a tiny circuit, their masks, exact probabilities of pixels, and 60 exact completions of each."""
    with seeded_noise(4), torch.no_grad():
        model = tiny_circuit(components=3).double()
        x = model.sample(300)
        seen = torch.rand(x.shape) < 0.5
        probs = model.pixel_probs(x, seen)[..., 1]
        drawn = torch.stack([model.complete(x, seen) for _ in range(60)])
    return x, seen, probs, drawn


def test_equal_probabilities_have_no_error(completed):
    _, seen, probs, _ = completed
    found = pixel_calibration(probs[~seen], probs[~seen])
    assert found.error == 0 and found.distance == 0 and sum(found.shares) == pytest.approx(1)


def test_the_distance_of_exact_completions_is_zero_up_to_noise(completed):
    """The variance of a mean of K samples is subtracted: without it, the distance would be near 0.05."""
    _, seen, probs, drawn = completed
    predicted = drawn.mean(0)[~seen]
    assert pixel_calibration(predicted, probs[~seen]).distance > 0.04
    assert pixel_calibration(predicted, probs[~seen], len(drawn)).distance < 0.01


def test_a_shifted_prediction_has_the_size_of_the_shift():
    true = torch.linspace(0.1, 0.7, 61, dtype=torch.float64)
    found = pixel_calibration(true + 0.2, true)
    assert found.error == pytest.approx(0.2) and found.distance == pytest.approx(0.2)
    with pytest.raises(InputError, match="between 0 and 1"):
        pixel_calibration(true + 0.5, true)
    with pytest.raises(InputError, match="differ in shape"):
        pixel_calibration(true, true[:3])


def test_the_energy_score_by_enumeration():
    """Two completions of one pixel, and of a certain one: E|X - x| - 1/2 E|X - X'| over pairs of different draws."""
    drawn = torch.tensor([[[0.0], [1.0]], [[1.0], [1.0]]])  # (K, N, D)
    assert energy_scores(drawn, torch.tensor([[0.0], [1.0]])).tolist() == [0.5 - 0.5, 0.0]
    assert energy_scores(drawn, torch.tensor([[1.0], [0.0]])).tolist() == [0.5 - 0.5, 1.0]
    with pytest.raises(InputError, match="at least two completions"):
        energy_scores(drawn[:1], torch.zeros(2, 1))


def test_the_energy_score_prefers_the_true_conditional(completed):
    """Against completions of another circuit, and against copies of one completion, image by image."""
    x, seen, _, drawn = completed
    with seeded_noise(5), torch.no_grad():
        other = tiny_circuit(components=3).double()
        wrong = torch.stack([other.complete(x, seen) for _ in range(60)])
    best = energy_scores(drawn, x)
    for worse in (wrong, drawn[:1].expand(60, *x.shape)):
        gaps = energy_scores(worse, x) - best
        assert gaps.mean() > 3 * gaps.std() / len(gaps) ** 0.5
    assert mean_energy_score(drawn, x)[0] == pytest.approx(best.mean().item())

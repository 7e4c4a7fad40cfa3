"""Divergences from a known distribution, coverage of intervals, rank correlation."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats

from ancestral.core.errors import InputError
from ancestral.core.random import seeded_noise
from ancestral.evaluation.known_truth import divergence, interval_coverage, rank_correlation
from ancestral.families.circuit.tiny import tiny_circuit

IMAGES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9)), dtype=torch.float64).view(-1, 1, 3, 3)


@pytest.fixture(scope="module")
def known():
    """Two tiny circuits in double precision, and log-probabilities of all 512 images."""
    with seeded_noise(3):
        p, q = tiny_circuit(components=4, classes=2).double(), tiny_circuit(components=3).double()
    with torch.no_grad():
        return p, p.log_prob(IMAGES), q, q.log_prob(IMAGES)


def test_the_divergence_of_a_model_from_itself_is_zero(known):
    _, log_p, _, _ = known
    found = divergence(log_p, log_p.clone())
    assert (found.nats, found.stderr, found.missing, found.excess, found.shared) == (0, 0, 0, 0, 1)


def test_the_estimate_agrees_with_the_sum_over_all_images(known):
    """KL, its two parts and the shared probability, each within four standard errors."""
    p, log_p, q, log_q = known
    with seeded_noise(5), torch.no_grad():
        x = p.sample(20_000)
        found = divergence(p.log_prob(x), q.log_prob(x))
    probs, gaps = log_p.exp(), log_p - log_q
    assert abs(found.nats - (probs * gaps).sum().item()) < 4 * found.stderr
    assert abs(found.missing - (probs * gaps.clamp(min=0)).sum().item()) < 4 * found.stderr
    assert abs(found.excess - (probs * (-gaps).clamp(min=0)).sum().item()) < 4 * found.stderr
    assert abs(found.shared - torch.minimum(probs, log_q.exp()).sum().item()) < 4 * found.shared_stderr
    assert found.nats == pytest.approx(found.missing - found.excess)
    assert found.stderr == pytest.approx(math.sqrt((probs * gaps.square()).sum() / 20_000), rel=0.2)


def test_a_mixture_with_noise_has_the_known_divergence(known):
    """KL(p || (1 - e) p + e u) is a sum over images here, and -log(1 - e) where p is far above u, as on real images."""
    p, log_p, _, _ = known
    share, log_u = 0.3, -9 * math.log(2)
    mixed = torch.logaddexp(log_p + math.log1p(-share), torch.tensor(math.log(share) + log_u))
    with seeded_noise(6), torch.no_grad():
        x = p.sample(20_000)
        log_of = p.log_prob(x)
    found = divergence(log_of, torch.logaddexp(log_of + math.log1p(-share), torch.tensor(math.log(share) + log_u)))
    exact = (log_p.exp() * (log_p - mixed)).sum().item()
    assert 0 < exact < -math.log1p(-share) and abs(found.nats - exact) < 4 * found.stderr
    far = torch.full((10,), -100.0, dtype=torch.float64)
    noisy = torch.logaddexp(far + math.log1p(-share), torch.tensor(math.log(share) - 784 * math.log(2)))
    assert divergence(far, noisy).nats == pytest.approx(-math.log1p(-share), abs=1e-12)


def test_an_image_that_the_model_excludes_makes_the_divergence_infinite():
    found = divergence(torch.tensor([-1.0, -2.0]), torch.tensor([-1.0, -math.inf]))
    assert found.nats == math.inf and found.shared == 0.5


@pytest.mark.parametrize(
    "pair",
    [
        (torch.zeros(3), torch.zeros(2)),
        (torch.zeros(1), torch.zeros(1)),
        (torch.tensor([0.0, -math.inf]), torch.zeros(2)),
        (torch.zeros(2), torch.tensor([0.0, math.nan])),
    ],
)
def test_bad_values_are_refused(pair):
    with pytest.raises(InputError, match="a divergence needs"):
        divergence(*pair)


@pytest.mark.slow
def test_intervals_of_normal_values_cover_as_often_as_stated():
    """20,000 subsets: the standard error of a share of 95 % is 0.15 %; five of them are allowed. A Student interval
    of 20 values would have 95 %, the normal one has 93.5 %."""
    values = torch.randn(20_000 * 200, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 - 50
    found = interval_coverage(values[: 2_000 * 200], 200)
    assert found.trials == 2000 and abs(found.value - 0.95) < 0.025
    expected = 1 - 2 * stats.t.sf(1.959964, 19)
    assert abs(interval_coverage(values[:40_000], 20).value - expected) < 0.025


def test_the_interval_of_a_biased_estimate_does_not_cover():
    values = torch.randn(5000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert interval_coverage(values, 100, values + 1).value == 0
    assert abs(interval_coverage(values, 100, values.clone()).value - 0.95) < 0.1
    with pytest.raises(InputError, match="subsets of 1 of"):
        interval_coverage(values, 1)
    with pytest.raises(InputError, match="at most half"):
        interval_coverage(values[:10], 6)


def test_rank_correlation_is_kendalls():
    generator = torch.Generator().manual_seed(2)
    for count in (4, 6, 12):
        a, b = torch.rand(2, count, generator=generator).tolist()
        found, expected = rank_correlation(a, b), stats.kendalltau(a, b, method="exact")
        assert found.tau == pytest.approx(expected.statistic)
        assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12 if count < 9 else 0.02)
    tied = [1.0, 1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 4.0]
    assert rank_correlation(*tied).tau == pytest.approx(stats.kendalltau(*tied).statistic)
    assert rank_correlation([1, 2, 3], [3, 2, 1]).tau == -1
    with pytest.raises(InputError, match="at least three"):
        rank_correlation([1, 2], [1, 2])

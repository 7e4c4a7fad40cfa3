"""Shares of exponentials: the logarithm of their sum and softmax in one pass, without tiny numbers."""

import math

import torch

from ancestral.core.maths import log_sum_and_shares


def test_shares_are_those_of_softmax_without_tiny_numbers() -> None:
    values = 40 * torch.randn(50, 300, generator=torch.Generator().manual_seed(0))
    values[0, 1:] = -math.inf
    log_sums, shares = log_sum_and_shares(values)
    assert torch.allclose(log_sums, values.logsumexp(1), rtol=1e-6)
    assert torch.allclose(shares, values.softmax(1), atol=1e-6)
    assert shares[shares > 0].min() >= torch.finfo(shares.dtype).tiny
    assert torch.equal(shares == 0, values - values.amax(1, keepdim=True) < -75)
    assert shares[0].tolist() == [1.0] + [0.0] * 299


def test_rows_without_a_finite_sum_are_not_numbers() -> None:
    values = torch.tensor([[math.nan, 0.0], [-math.inf, -math.inf], [math.inf, 0.0]])
    assert all(found.isnan().all() for found in log_sum_and_shares(values))

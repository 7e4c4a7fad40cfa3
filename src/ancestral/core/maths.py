"""Arithmetic in the log domain, units, and curves between vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_VARIANCE_LIMIT = 14.0


def log_mean_exp(values: Tensor, dim: int) -> Tensor:
    """Logarithm of the mean of exponentials, log (1/K) sum_k exp(v_k), without overflow.

    Args:      values: any shape, nats. dim: the axis of the K values.
    Returns:   shape of `values` without `dim`, nats.
    Example:
        >>> log_mean_exp(torch.tensor([1000.0, 1000.0]), 0)
        tensor(1000.)
    """
    return torch.logsumexp(values, dim) - math.log(values.shape[dim])


LEAST_EXPONENT = -75.0  # e^-75 = 3e-33, so a share of up to 100,000 values is still a normal number


def log_sum_and_shares(values: Tensor) -> tuple[Tensor, Tensor]:
    """log sum_k e^(v_k) and the shares e^(v_k) / sum of each row, with one exponential for each value.

    Shares below e^-75 of the largest are 0. So there are no denormal numbers, and no exponentials that underflow:
    processors compute with both many times as slowly, and responsibilities of mixtures have many of them.

    Args:      values: shape (N, K), nats.
    Returns:   shapes (N,), nats, and (N, K).
    Example:
        >>> log_sum_and_shares(torch.tensor([[1000.0, 1000.0, 0.0]]))[1]
        tensor([[0.5000, 0.5000, 0.0000]])
    """
    largest = values.amax(1, keepdim=True)
    below = values - largest
    shares = torch.threshold_(below.clamp_min_(LEAST_EXPONENT).exp_(), 1.01 * math.exp(LEAST_EXPONENT), 0.0)
    sums = shares.sum(1, keepdim=True)
    return (largest + sums.log())[:, 0], shares.div_(sums)


def sum_event(values: Tensor, event_dims: int) -> Tensor:
    """Sum over the last `event_dims` axes: the log-probability of a whole image from those of its pixels.

    Args:      values: shape (..., *event). event_dims: number of axes of the event; 0 returns the values unchanged.
    Returns:   shape (...).
    Example:
        >>> sum_event(torch.ones(2, 3, 4), 2)
        tensor([12., 12.])
    """
    return values.flatten(-event_dims).sum(-1) if event_dims else values


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of one value per image, shape (N,), and its standard error, which is NaN for a single image.

    Example:
        >>> mean_and_error(torch.tensor([1.0, 3.0])), mean_and_error(torch.tensor([1.0]))
        ((2.0, 1.0), (1.0, nan))
    """
    count = len(values)
    return values.mean().item(), (values.std() / math.sqrt(count)).item() if count > 1 else math.nan


def bits_per_dimension(nats: float, dimensions: float) -> float:
    """Negative log-likelihood in bits per dimension, -nats / (D log 2).

    Args:      nats: mean log-probability of an image. dimensions: D, its number of pixels times channels.
    Example:
        >>> round(bits_per_dimension(-784 * math.log(256), 784), 6)
        8.0
    """
    return -nats / (dimensions * math.log(2.0))


def bounded_log_variance(raw: Tensor, limit: float = LOG_VARIANCE_LIMIT) -> Tensor:
    """A smooth bound on a log-variance, which keeps it in (-limit, limit): limit tanh(raw / limit).

    A hard clamp has no gradient outside its range, so a value there cannot return. Without a bound, one bad step
    overflows the exponential.

    Example:
        >>> bounded_log_variance(torch.tensor([0.0, 1e6]))
        tensor([ 0., 14.])
    """
    return limit * torch.tanh(raw / limit)


def lines(first: Tensor, last: Tensor, along: Tensor) -> Tensor:
    """Straight lines between pairs of vectors. first, last: (B, M); along: (T,), 0 to 1; returns (B, T, M)."""
    return torch.lerp(first[:, None], last[:, None], along[None, :, None])


def arcs(first: Tensor, last: Tensor, along: Tensor) -> Tensor:
    """Great arcs between the directions of two vectors, with linearly interpolated lengths.

        (1 - t) |a| + t |b|  times  [sin((1 - t) w) a / |a| + sin(t w) b / |b|] / sin w,   cos w = a.b / (|a| |b|)

    Args:      first, last: a and b, shape (B, M). along: t, shape (T,), 0 to 1.
    Returns:   shape (B, T, M); a straight line if a and b have the same or opposite directions.
    Reference: Shoemake, 1985; White, 2016, arXiv 1609.04468.
    Example:
        >>> arcs(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]]), torch.tensor([0.5]))
        tensor([[[1.4142, 1.4142]]])
    """
    lengths = first.norm(dim=1, keepdim=True), last.norm(dim=1, keepdim=True)
    a, b = (vector / length.clamp_min(1e-12) for vector, length in zip((first, last), lengths, strict=True))
    angle = (a * b).sum(1).clamp(-1, 1).acos()[:, None]  # (B, 1)
    sine = angle.sin()
    weights = ((1 - along) * angle).sin() / sine, (along * angle).sin() / sine  # (B, T) each
    direction = weights[0][..., None] * a[:, None] + weights[1][..., None] * b[:, None]
    length = torch.lerp(*lengths, along)  # (B, T)
    return torch.where(sine[..., None] > 1e-4, direction * length[..., None], lines(first, last, along))

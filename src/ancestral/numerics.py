"""Arithmetic that every room shares: log-domain means, sums over events, units and seeds."""

from __future__ import annotations

import ctypes
import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

LOG_VARIANCE_LIMIT = 14.0
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_mean_exp(values: Tensor, dim: int) -> Tensor:
    """Logarithm of the mean of exponentials, log (1/K) sum_k exp(v_k), without overflow.

    Args:      values: any shape, nats. dim: the axis of the K values.
    Returns:   shape of `values` without `dim`, nats.
    Example:
        >>> log_mean_exp(torch.tensor([1000.0, 1000.0]), 0)
        tensor(1000.)
    """
    return torch.logsumexp(values, dim) - math.log(values.shape[dim])


def sum_event(values: Tensor, event_dims: int) -> Tensor:
    """Sum over the last `event_dims` axes: the log-probability of a whole image from those of its pixels.

    Args:      values: shape (..., *event). event_dims: how many axes the event has; 0 leaves all as it is.
    Returns:   shape (...).
    Example:
        >>> sum_event(torch.ones(2, 3, 4), 2)
        tensor([12., 12.])
    """
    return values.flatten(-event_dims).sum(-1) if event_dims else values


def mean_and_error(values: Tensor) -> tuple[float, float]:
    """Mean of one value an image, shape (N,), and its standard error, which a single image does not tell.

    Example:
        >>> mean_and_error(torch.tensor([1.0, 3.0])), mean_and_error(torch.tensor([1.0]))
        ((2.0, 1.0), (1.0, nan))
    """
    count = len(values)
    return values.mean().item(), (values.std() / math.sqrt(count)).item() if count > 1 else math.nan


def bits_per_dimension(nats: float, dimensions: int) -> float:
    """Negative log-likelihood in bits per dimension, -nats / (D log 2).

    Args:      nats: mean log-probability of an image. dimensions: D, its number of pixels times channels.
    Example:
        >>> round(bits_per_dimension(-784 * math.log(256), 784), 6)
        8.0
    """
    return -nats / (dimensions * math.log(2.0))


def scientific(value: float, digits: int = 1) -> str:
    """A number in powers of ten for a reader, zero as it is.

    Args:      digits: after the point of the first factor.
    Example:
        >>> scientific(5.05e7), scientific(-2.2e-16), scientific(0.0), scientific(1e-5, digits=0)
        ('5.0 × 10⁷', '−2.2 × 10⁻¹⁶', '0', '1 × 10⁻⁵')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    factor, exponent = f"{value:.{digits}e}".split("e")
    return f"{factor} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}".replace("-", "\N{MINUS SIGN}")


def bounded_log_variance(raw: Tensor, limit: float = LOG_VARIANCE_LIMIT) -> Tensor:
    """A log-variance that cannot leave (-limit, limit), smooth everywhere: limit tanh(raw / limit).

    A hard clamp has no gradient outside its range and so cannot recover; without any bound one bad
    step overflows the exponential.

    Example:
        >>> bounded_log_variance(torch.tensor([0.0, 1e6]))
        tensor([ 0., 14.])
    """
    return limit * torch.tanh(raw / limit)


def lines(first: Tensor, last: Tensor, along: Tensor) -> Tensor:
    """Straight lines between pairs of vectors. first, last: (B, M); along: (T,), 0 to 1; returns (B, T, M)."""
    return torch.lerp(first[:, None], last[:, None], along[None, :, None])


def arcs(first: Tensor, last: Tensor, along: Tensor) -> Tensor:
    """Great arcs between the directions of two vectors, lengths changing evenly on the way.

        (1 - t) |a| + t |b|  times  [sin((1 - t) w) a / |a| + sin(t w) b / |b|] / sin w,   cos w = a.b / (|a| |b|)

    Args:      first, last: a and b, shape (B, M). along: t, shape (T,), 0 to 1.
    Returns:   shape (B, T, M); a straight line where a and b point the same way or opposite ways.
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


def seed_for(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of `parts`: equal parts give equal seeds, others unrelated ones.

    Each use of randomness (the order of epoch 3, the noise of step 512) gets its own seed by name, so that
    no use can disturb another and a resumed run needs no saved generator.

    Example:
        >>> seed_for(0, "order", 3) == seed_for(0, "order", 3) != seed_for(0, "order", 4)
        True
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def lasting_permutation(count: int, seed: int) -> np.ndarray:
    """A permutation of `count` that is the same for a seed on every machine and in every version, shape (count,).

    NumPy promises the raw stream of PCG64 for ever, but not what its own `permutation` makes of it.
    """
    return np.random.PCG64(seed).random_raw(count).argsort(kind="stable")


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the generator that `torch.distributions` draws from on `device`, and no other.

    `torch.manual_seed` seeds every backend and records a stack trace each time; this is called once a step.
    """
    if device.type == "cuda":
        index = device.index if device.index is not None else torch.cuda.current_device()
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def seeded_noise(seed: int) -> Iterator[None]:
    """What is drawn on the CPU inside follows from `seed`; the caller's generator goes on as if nothing had been.

    Example:
        >>> before = torch.get_rng_state()
        >>> with seeded_noise(3):
        ...     first = torch.rand(2)
        >>> with seeded_noise(3):
        ...     second = torch.rand(2)
        >>> torch.equal(first, second), torch.equal(before, torch.get_rng_state())
        (True, True)
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def keep_large_blocks() -> bool:
    """Ask glibc to keep freed memory instead of returning it to the kernel; True where that is possible.

    The activations of each step otherwise go back to the kernel and cost hundreds of page faults when they are
    needed again. It holds for the whole process. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold, one_gib = -3, -1, 1 << 30
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(mmap_threshold, one_gib)) and bool(mallopt(trim_threshold, one_gib))

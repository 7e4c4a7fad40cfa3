"""Seeds and permutations that are the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def seed_for(*parts: int | str) -> int:
    """A 63-bit seed that is a pure function of `parts`: equal parts give equal seeds, different parts unrelated ones.

    Each use of random numbers (the order of epoch 3, the noise of step 512) has its own seed, by name. So no use
    changes the numbers of another, and a resumed run needs no saved generator.

    Example:
        >>> seed_for(0, "order", 3) == seed_for(0, "order", 3) != seed_for(0, "order", 4)
        True
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_of_block(seed: int, use: str, number: int) -> int:
    """The seed of a block of samples. That of the first block has no number: one block is the usual case."""
    return seed_for(seed, use, number) if number else seed_for(seed, use)


def lasting_permutation(count: int, seed: int) -> np.ndarray:
    """A permutation of `count` that depends on the seed only, not on the machine or the version, shape (count,).

    NumPy guarantees that the raw stream of PCG64 never changes. It does not guarantee this for its `permutation`.
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


def initial_normal(*shape: int, scale: float = 1.0) -> Tensor:
    """Initial weights, sampled from N(0, scale^2) as `scale * torch.randn(shape)`.

    On the device "meta" nothing is sampled: arithmetic there makes torch import its compiler, which takes a second.
    """
    drawn = torch.empty(shape)
    return drawn if drawn.is_meta else scale * drawn.normal_()


@contextmanager
def seeded_noise(seed: int) -> Iterator[None]:
    """Context with its own random seed on the CPU. The caller's generator is restored afterwards.

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

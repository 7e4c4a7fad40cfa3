"""Sampling speed of a model, and a description of the machine."""

from __future__ import annotations

import os
import platform
import time
from statistics import median

import torch

from ancestral.core.random import seed_for, seeded_noise
from ancestral.models.base import Model

DRAWS, ROUNDS = 256, 3


def draws_per_second(model: Model, count: int = DRAWS, rounds: int = ROUNDS, seed: int = 0) -> float:
    """Samples per second: the median of some rounds, after one that is not timed. count: batch size."""
    seconds = []
    with seeded_noise(seed_for(seed, "pace")):
        for _ in range(rounds + 1):
            started = time.perf_counter()
            model.sample(count)
            seconds.append(time.perf_counter() - started)
    return count / median(seconds[1:])


def machine_in_words() -> str:
    """The machine on which a speed was measured, as text; only facts that every system reports."""
    cores, threads = os.cpu_count() or 1, torch.get_num_threads()
    name = platform.machine().replace("_", "-")
    return f"{name}, {cores} processor{'s' * (cores > 1)}, {threads} thread{'s' * (threads > 1)} in use"

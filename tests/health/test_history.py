"""The readings of a training, added one at a time: the same as those of the whole log."""

from __future__ import annotations

import math

import pytest

from ancestral.health.history import History
from ancestral.training.log import LogLine
from ancestral.training.objectives import SCHEDULED

BETA = SCHEDULED + "beta"
VALUES = {
    "no schedule": [],
    "rising, then constant": [0.0, 0.25, 0.5, 1.0, 1.0, 1.0 + 1e-7, 1.0],
    "up and down": [1.0, 0.5, 0.5, 1.0, 1.0],
    "constant": [0.3, 0.3 * (1 + 1e-6), 0.3],
}


def log_of(beta: list[float]) -> list[LogLine]:
    losses = [LogLine(10 * t, t, "train", "loss", 50.0 - t) for t in range(1, 9)]
    held = [LogLine(20 * t, 2 * t, "valid", "nll", 60.0 - t) for t in range(1, 5)]
    parts = [LogLine(10 * t, t, "train", BETA, value) for t, value in enumerate(beta, 1)]
    return sorted(losses + held + parts, key=lambda line: line.step)


def expected(log: list[LogLine]) -> dict[tuple[str, str], list[tuple[int, float]]]:
    """The readings after the last value of beta that differs from the latest one."""
    betas = [line for line in log if line.name == BETA]
    close = [math.isclose(line.value, betas[-1].value, rel_tol=1e-5) for line in betas]
    changed = max((line.step for line, same in zip(betas, close, strict=True) if not same), default=-1)
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for line in log:
        if line.step > changed:
            found.setdefault((line.split, line.name), []).append((line.step, line.value))
    return found


@pytest.mark.parametrize("beta", VALUES.values(), ids=VALUES)
def test_a_history_has_the_readings_since_the_last_change_at_any_time(beta: list[float]) -> None:
    history, log = History(), log_of(beta)
    for count, line in enumerate(log, 1):
        history.add(line)
        rows = {key: list(zip(*map(list, row), strict=True)) for key, row in history.rows().items()}
        assert rows == expected(log[:count])
        assert history.step == line.step and history.first["train", "loss"] == 49.0

"""Statistics of the health checks: noise of readings, sum of the learning rates, means over the images of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from test_health import GAME_FACTS, found, game_of

from ancestral.health.curves import Facts, LogCurve
from ancestral.health.training_curves import TrainingCurves
from ancestral.settings.training import TrainingSettings
from ancestral.training.log import LogLine
from ancestral.training.steps import learning_rate_at


def test_noise_is_the_standard_deviation_of_a_reading() -> None:
    """For normal readings around a steep line with a few outliers: within four standard errors of a median."""
    values = 3.0 * np.arange(8000) + 2.0 * np.random.default_rng(0).normal(size=8000)
    values[::97] += 500
    assert LogCurve(np.arange(8000), values).noise == pytest.approx(2.0, rel=0.08)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_way_is_the_sum_of_the_learning_rates(schedule: str) -> None:
    settings = TrainingSettings(learning_rate=1.0, schedule=schedule)  # type: ignore[arg-type]
    facts = Facts(100, 10, 400, cosine=schedule == "cosine")
    spent = np.cumsum([learning_rate_at(step, 400, settings) for step in range(400)])
    for step in (100, 200, 300):
        assert facts.rate_sum(step) / facts.rate_sum(400) == pytest.approx(spent[step - 1] / spent[-1], abs=2e-3)


def test_the_mean_of_an_epoch_weights_readings_by_images() -> None:
    """100 images in batches of 40, 40 and 20, with readings after steps 1, 2 and 3."""
    values = [1.0, 2.0, 4.0, 3.0, 5.0]
    log = [
        LogLine(step, 1 + (step > 3), "train", "loss", value)
        for step, value in zip((1, 2, 3, 5, 6), values, strict=True)
    ]
    means = TrainingCurves(log, 100, 40).epoch_means("loss")
    assert list(means.values) == pytest.approx([(40 * 1 + 40 * 2 + 20 * 4) / 100, (80 * 3 + 20 * 5) / 100])


@pytest.mark.parametrize(("left", "severity"), [(0.5, None), (0.3, "warning"), (0.12, "failure")])
def test_a_loss_of_coverage_is_relative_to_the_best_coverage(left: float, severity: str | None) -> None:
    """Of 0.8, more than half, less than half, or less than a quarter is left."""
    verdicts = found(game_of(coverage=lambda t: 0.8 if t < 0.5 else left), GAME_FACTS)
    assert verdicts == (set() if severity is None else {("divergence", severity)})

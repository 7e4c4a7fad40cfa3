"""What pictures say in numbers: where a training was best, the equilibrium of a game, where a density lies."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ancestral.families.run_settings import settings_for
from ancestral.models.base import ExactModel
from ancestral.reports.pictures import training
from ancestral.reports.pictures.density import density
from ancestral.reports.pictures.latents import percentile_grid
from ancestral.runs.run_data import RunData
from ancestral.training.log import LogLine


def run_with(log: list[LogLine], **outcome: Any) -> Any:
    """As much of a run of 100 images in batches of 25 as curves are drawn from."""
    return SimpleNamespace(
        called="vae",
        log=lambda: log, outcome=outcome, path="a run", record={"data": {"counts": {"train": 100}}},
        settings=SimpleNamespace(training=SimpleNamespace(batch_size=25)),
        data=SimpleNamespace(space=SimpleNamespace(noun="images"), entropy=None),
    )  # fmt: skip


def test_the_best_weights_are_marked_at_their_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, Any] = {}
    monkeypatch.setattr(training, "learning_curves", lambda curves, **what: shown.update(what, curves=curves))
    log = [LogLine(4 * epoch, epoch, split, "nll", 9.0 - epoch) for epoch in (1, 2, 3) for split in ("train", "valid")]
    training.curves(run_with(log, best_step=8))
    assert shown["marks"] == [(2.0, "best")]
    assert [list(curve.steps) for curve in shown["curves"]] == [[1.0, 2.0, 3.0]] * 2


def test_the_equilibrium_of_a_game_is_minus_two_log_two(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(training, "small_multiples", lambda panels, columns, title: shown.extend(panels))
    names = ("critic_loss", "real_prob", "fake_prob", "value")
    training.curves(run_with([LogLine(4 * epoch, epoch, "train", name, 0.5) for epoch in (1, 2) for name in names]))
    value, equilibrium = next(curves for title, curves in shown if title.startswith("value"))
    assert list(value.values) == [0.5, 0.5] and list(equilibrium.values) == [math.log(1 / 4)] * 2


class Narrow(ExactModel):
    """N(x; (0.8, -0.4), 0.2^2 I)."""

    event_shape, spaces, levels = (2,), ("points",), None

    def __init__(self) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.tensor([0.8, -0.4]))

    def log_prob(self, x: Tensor) -> Tensor:
        return torch.distributions.Normal(self.centre, 0.2).log_prob(x).sum(1)

    def sample(self, n: int) -> Tensor:
        return self.centre.detach() + 0.2 * torch.randn(n, 2)


def test_a_density_lies_where_it_is_and_integrates_to_one() -> None:
    data = RunData(settings_for("flow", data="moons").data)
    figure = density(SimpleNamespace(load=Narrow, data=data, called="flow"), count=80)  # type: ignore[arg-type]
    learned = figure.axes[1]
    table, (left, right, bottom, top) = np.asarray(learned.images[0].get_array()), learned.images[0].get_extent()
    row, column = np.unravel_index(table.argmax(), table.shape)
    upwards = learned.images[0].origin == "lower"
    across, up = left + (column + 0.5) / 80 * (right - left), (row + 0.5) / 80 * (top - bottom)
    assert abs(across - 0.8) < 0.1 and abs((bottom + up if upwards else top - up) + 0.4) < 0.1
    assert any("integrates to 1.0000" in text.get_text() for text in figure.texts)


def test_percentiles_are_the_middles_of_cells_of_equal_mass() -> None:
    axis, z = percentile_grid(4)
    assert torch.distributions.Normal(0.0, 1.0).cdf(axis).tolist() == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8])
    assert z.shape == (16, 2) and z[1].tolist() == [axis[1].item(), axis[0].item()]

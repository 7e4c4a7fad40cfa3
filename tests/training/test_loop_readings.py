"""What the loop logs and in which mode: training updates, evaluation is not trained, a mean is over its own images."""

from __future__ import annotations

from pathlib import Path

import torch
from test_selection import IMAGES, Counter, CountingStep

from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.models.base import Model
from ancestral.settings.training import TrainingSettings
from ancestral.training.log import Reading, TrainingLog, read_log
from ancestral.training.loop import Loop


def test_updates_are_in_training_mode_and_validations_in_evaluation_mode() -> None:
    """Also the updates after a validation in the middle of an epoch."""
    modes: list[tuple[str, bool]] = []

    class Watched(CountingStep):
        def __call__(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
            modes.append(("update", self.model.training))
            return super().__call__(batch, step)

    def validate(model: Model) -> list[Reading]:
        modes.append(("validation", model.training))
        return [Reading("valid", "nll", 1.0)]

    model = Counter()
    plan = TrainingSettings(epochs=2, batch_size=5, validate_every=3)
    Loop(model, Watched(model), PixelBatches(IMAGES, PixelSpace("threshold", 2)), plan, validate=validate).run()
    assert [what for what, _ in modes].count("validation") == 4  # after 3, 4, 6 and 8 updates
    assert [what for what, _ in modes][:5] == ["update", "update", "update", "validation", "update"]
    assert all(training == (what == "update") for what, training in modes)
    assert not model.training


def test_a_reading_is_the_mean_over_the_images_since_the_last_one(tmp_path: Path) -> None:
    class Numbered(CountingStep):
        def __call__(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
            return {"loss": torch.full((len(batch.x),), float(step))}

    model, log = Counter(), TrainingLog(tmp_path / "log.jsonl")
    plan = TrainingSettings(epochs=2, batch_size=8, log_every=2)  # batches of 8, 8 and 4
    Loop(model, Numbered(model), PixelBatches(IMAGES, PixelSpace("threshold", 2)), plan, log=log).run()
    log.close()
    found = [(line.step, line.value) for line in read_log(tmp_path / "log.jsonl")]
    assert found == [(1, 0.0), (2, 1.0), (3, 2.0), (4, 3.0), (6, (8 * 4 + 4 * 5) / 12)]

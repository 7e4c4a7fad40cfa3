"""The weights that a training keeps (those of the best validation, independent of other splits), and when it stops."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.models.base import ExactModel, Model
from ancestral.settings.training import TrainingSettings
from ancestral.training.log import Reading
from ancestral.training.loop import Loop

IMAGES = torch.zeros(20, 1, 1, 1, dtype=torch.uint8)


class Counter(ExactModel):
    """Its one weight counts the updates."""

    event_shape, spaces, levels = (1, 1, 1), ("threshold",), 2

    def __init__(self) -> None:
        super().__init__()
        self.count = nn.Parameter(torch.zeros(()))


class CountingStep:
    """Adds one at each update, and keeps a random number of each."""

    def __init__(self, model: Counter) -> None:
        self.model, self.drawn = model, []

    def __call__(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        self.drawn.append(torch.rand(()).item())
        with torch.no_grad():
            self.model.count += 1
        return {"loss": torch.ones(len(batch.x))}

    def end_epoch(self) -> None:
        pass

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        pass


def trained(valid: Sequence[float], test: Sequence[float], **settings: int) -> tuple[Counter, Loop, CountingStep]:
    """A training of one update an epoch, with these held-out losses after each."""
    model = Counter()
    seen = iter(zip(valid, test, strict=True))

    def readings(_: Model) -> list[Reading]:
        of_valid, of_test = next(seen)
        return [Reading("test", "nll", of_test), Reading("valid", "nll", of_valid)]

    step = CountingStep(model)
    batches = PixelBatches(IMAGES, PixelSpace("threshold", 2))
    plan = TrainingSettings(epochs=len(valid), batch_size=20, **settings)  # type: ignore[arg-type]
    loop = Loop(model, step, batches, plan, validate=readings)
    loop.run()
    return model, loop, step


def test_the_weights_of_the_best_validation_are_kept() -> None:
    model, loop, _ = trained([3.0, 1.0, 2.0, 1.0], [1.0, 4.0, 0.5, 0.1])
    assert model.count.item() == 2  # the first of equal ones, not the last weights, nor those of the best test loss
    assert (loop.position.best_step, loop.position.best_value) == (2, 1.0)


def test_patience_counts_validations_without_a_better_one() -> None:
    losses = [3.0, 2.0, 2.5, 2.1, 1.0, 1.5, 1.6, 1.7, 0.5]
    model, loop, step = trained(losses, losses, patience=3)
    assert loop.position.finished == "patience" and len(step.drawn) == 8 and model.count.item() == 5


def test_each_update_has_its_own_random_numbers() -> None:
    _, _, step = trained([1.0] * 6, [1.0] * 6)
    assert len(set(step.drawn)) == 6

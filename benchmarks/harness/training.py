"""Our training step, and loops over the same batches in plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.harness.declarations import Repetition
from benchmarks.harness.replay import products_of

RATE = 1e-3


def binary_images(count: int, side: int = 28, channels: int = 1) -> Tensor:
    """Random grey levels 0 or 255, uint8; the time does not depend on them."""
    generator = torch.Generator().manual_seed(0)
    shape = (count, channels, side, side)
    return 255 * (torch.rand(shape, generator=generator) < 0.13).to(torch.uint8)


def points(count: int, dimensions: int = 2) -> Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(0))


class Ours:
    """The model and the training step of a family, as `ancestral train` builds them.

    Args:      raw: stored training data. batch: rows of a step. pixels: space. levels: of a stored pixel. settings: of
               the run, by name.
    """

    def __init__(
        self, family: str, raw: Tensor, batch: int, pixels: str = "threshold", levels: int = 256, **settings: Any
    ) -> None:
        from ancestral.data.pixels import PixelBatches, PixelSpace
        from ancestral.families.build import build_model
        from ancestral.families.catalogue import find
        from ancestral.families.family import DataSpec
        from ancestral.families.run_settings import settings_for
        from ancestral.runs.fit import build_step
        from ancestral.training.engine import PlainEngine

        torch.manual_seed(0)
        of_points = pixels == "points"
        data = {"data": "moons"} if of_points else {"data": "mnist", "pixels": pixels}
        chosen = settings_for(family, batch_size=batch, **data, **settings)
        space = PixelSpace(pixels, 0 if of_points else levels, raw.shape[1] if of_points else 2)
        self.raw, self.batch, self.train = raw, batch, PixelBatches(raw, space)
        spec = DataSpec(tuple(raw.shape[1:]), 0 if of_points else levels, pixels)
        self.model: Any = build_model(family, chosen.model, spec).train()
        if initialise := find(family).code("initialise"):
            initialise(self.model, self.train)
        self.step: Any = build_step(chosen, PlainEngine(), self.model, self.train)
        self.epoch = 0
        self.sums: dict[str, Tensor] = {}

    def one(self, batch: Any, number: int = 0) -> dict[str, Tensor]:
        """One step, with the sums of the terms for the log."""
        terms = self.step(batch, number)
        for name, term in terms.items():
            self.sums[name] = self.sums.get(name, torch.zeros(())) + term.sum()
        return terms

    def __call__(self) -> None:
        """All batches once."""
        for number, batch in enumerate(self.train.shuffled(self.epoch, self.batch)):
            self.one(batch, number)
        self.step.end_epoch()
        self.epoch += 1

    def begun(self) -> Ours:
        """This, after one repetition."""
        self()
        return self

    def first_batch(self) -> Any:
        return next(iter(self.train.shuffled(0, self.batch)))


def limit_of(make: Callable[[bool], Ours], tiny: bool) -> Repetition:
    """The products of all steps of ours."""
    made = make(tiny)
    one = products_of(partial(made.one, made.first_batch()))
    steps = made.train.batches_per_epoch(made.batch)

    def repetition() -> None:
        for _ in range(steps):
            one()

    return repetition


def adam(modules: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(modules.parameters(), RATE, fused=True)


def plain_loop(raw: Tensor, batch: int, network: nn.Module, loss: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """A usual loop: shuffle, gather, loss, gradient, fused Adam. The data lie in memory as float32.

    Args:      loss: mean loss of a batch.
    """
    data, optimizer = (raw > 127).float() if raw.dtype == torch.uint8 else raw.float(), adam(network)

    def repetition() -> None:
        for rows in torch.randperm(len(data)).split(batch):
            value = loss(data[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return repetition


@torch.no_grad()
def same_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy weights in the order in which both modules list them."""
    for ours, theirs in zip(source.parameters(), target.parameters(), strict=True):
        theirs.copy_(ours.view_as(theirs))

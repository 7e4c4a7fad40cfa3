"""Images are scored in blocks: each block has its own random seed, and tuned step sizes do not change."""

from __future__ import annotations

import torch
import zoo
from torch import Tensor

from ancestral.core.random import seeded_noise
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.evaluation.annealing import Annealer, Annealing
from ancestral.evaluation.likelihood import per_image


def test_blocks_have_draws_of_their_own() -> None:
    images = PixelBatches(torch.zeros(6, 1, 2, 2, dtype=torch.uint8), PixelSpace("threshold", 2))
    model = zoo.seeded(zoo.ZOO["mixture"])
    drawn = per_image(model, images, 2, lambda x: torch.rand(len(x)), 0, None)
    assert len(set(drawn.tolist())) == 6
    assert torch.equal(drawn, per_image(model, images, 2, lambda x: torch.rand(len(x)), 0, None))


def test_annealing_uses_the_tuned_step_sizes(monkeypatch) -> None:
    """Steps that followed the chains while weights are taken would bias the estimate."""
    model = zoo.seeded(zoo.ZOO["vae"])
    with seeded_noise(0), torch.no_grad():
        x = model.sample(3)
    annealer = Annealer(model, x.to(model.dtype), Annealing(temperatures=6, chains=2))  # type: ignore[arg-type]
    sizes = [torch.full((3,), 0.1 * (t + 1), dtype=model.dtype) for t in range(5)]
    used: list[Tensor] = []
    move = Annealer.move

    def watched(self: Annealer, state, b: float, size: Tensor):
        used.append(size.clone())
        return move(self, state, b, size)

    monkeypatch.setattr(Annealer, "move", watched)
    with seeded_noise(1):
        annealer.forward(sizes)
    assert len(used) == 5 and all(torch.equal(a, b) for a, b in zip(used, sizes, strict=True))

"""Speed-up of sampling an autoregressive model when each step computes only what a new pixel changes.

    python benchmarks/sampling.py [--images 64] [--passes 784] [--rounds 3] [--json]

It is compared with the textbook loop: one full pass of the network per pixel, with masked weights computed once before.
Both start from the same noise; the share of equal pixels is printed (float32 rounding may change a few). If `--passes`
is smaller than 784, times are extrapolated, and the table says so. Weights are untrained and scaled so that pixels are
neither all black nor all white; the speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.networks.masked import MaskedLinear

SHAPE = [1, 28, 28]
MODELS: dict[str, Callable[[], AutoregressiveModel]] = {
    "MADE 500": lambda: MADE(SHAPE, hidden=[500]),
    "MADE 500-500": lambda: MADE(SHAPE, hidden=[500, 500]),
    "MADE 500-500-500": lambda: MADE(SHAPE, hidden=[500, 500, 500]),
    "MADE 2000-2000": lambda: MADE(SHAPE, hidden=[2000, 2000]),
    "PixelCNN, 8 blocks": lambda: PixelCNN(SHAPE),
}


@contextmanager
def masks_made_once(model: AutoregressiveModel):
    """Replace masked layers by plain ones with the mask multiplied in, so that the textbook loop needs no masks."""
    original = MaskedLinear.forward
    ready: dict[int, Tensor] = {}

    def forward(self: MaskedLinear, x: Tensor, before: Tensor, after: Tensor, strict: bool = False) -> Tensor:
        if id(self) not in ready:
            mask = before[None] < after[:, None] if strict else before[None] <= after[:, None]
            ready[id(self)] = self.weight * mask
        return nn.functional.linear(x, ready[id(self)], self.bias)

    MaskedLinear.forward = forward  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        MaskedLinear.forward = original  # type: ignore[method-assign]


def full_passes(model: AutoregressiveModel, noise: Tensor, passes: int) -> tuple[Tensor, float]:
    """Sample the first `passes` pixels with a full pass each; returns the images and the seconds for all D pixels."""
    prepared, order = model.output.noise(noise).flatten(1), model.order.tolist()
    x = torch.zeros_like(noise)
    with masks_made_once(model):
        model.predict(x)
        begin = time.perf_counter()
        for d in order[:passes]:
            x.flatten(1)[:, d] = model.output.draw(model.predict(x).flatten(1, -2)[:, d], prepared[:, d])
        seconds = (time.perf_counter() - begin) * len(order) / passes
    return x, seconds


@torch.no_grad()
def measure(name: str, images: int, passes: int, rounds: int) -> dict[str, object]:
    """Seconds of both methods, in turn, and the share of equal pixels."""
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for parameter in model.parameters():
        parameter.mul_(2)
    noise = torch.rand(images, *SHAPE)
    model.draw(noise[:1])
    ours, theirs, agree = [], [], 1.0
    for _ in range(rounds):
        begin = time.perf_counter()
        drawn = model.draw(noise)
        ours.append(time.perf_counter() - begin)
        naive, seconds = full_passes(model, noise, passes)
        theirs.append(seconds)
        done = model.order[:passes]
        agree = min(agree, (drawn.flatten(1)[:, done] == naive.flatten(1)[:, done]).float().mean().item())
    ratio = statistics.median(theirs) / statistics.median(ours)
    return {
        "model": name,
        "incremental_seconds": statistics.median(ours),
        "full_passes_seconds": statistics.median(theirs),
        "passes_measured": passes,
        "ratio": ratio,
        "ratio_min": min(theirs) / max(ours),
        "pixels_equal": agree,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--passes", type=int, default=784, help="full passes measured for a MADE")
    parser.add_argument("--cnn-passes", type=int, default=40, help="full passes measured for a PixelCNN")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [
        measure(
            name,
            arguments.images,
            arguments.cnn_passes if name.startswith("PixelCNN") else arguments.passes,
            arguments.rounds,
        )
        for name in MODELS
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("model", "only new work, s", "full passes, s", "passes measured", "ratio (least)", "pixels equal")
    for row in rows:
        table.add_row(
            str(row["model"]),
            f"{row['incremental_seconds']:.3f}",
            f"{row['full_passes_seconds']:.2f}",
            str(row["passes_measured"]),
            f"{row['ratio']:.0f} ({row['ratio_min']:.0f})",
            f"{row['pixels_equal']:.5f}",
        )
    Console().print(f"{arguments.images} images of 28 x 28, {torch.get_num_threads()} threads, medians of rounds")
    Console().print(table)


if __name__ == "__main__":
    main()

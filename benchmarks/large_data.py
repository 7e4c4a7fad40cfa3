"""Images per second of training from memory, from one memory-mapped file and from shards, interleaved in one process.

    python benchmarks/large_data.py FOLDER [--images 100000] [--batch 128] [--rounds 6]

The first run writes random colour images of 64 x 64 pixels to FOLDER, twice (12,288 bytes each). Two models take equal
steps with Adam: a single linear layer, so that reading dominates, and the MLP VAE with its default settings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ancestral.core.threads import keep_large_blocks
from ancestral.data import datasets, numpy_files, pixels, shards, storage
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.data.splits import Split
from ancestral.families.build import build_model
from ancestral.families.catalogue import find
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings
from ancestral.training.objectives import objective_of_kind

SHAPE, SHARDS = (3, 64, 64), 10


def write(folder: Path, images: int) -> None:
    (folder / "shards").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    with open(folder / "one.npy", "wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (images, *SHAPE)}
        np.lib.format.write_array_header_1_0(stream, header)
        for number in range(SHARDS):
            part = generator.integers(0, 256, (images // SHARDS, *SHAPE), np.uint8)
            stream.write(part.data)
            np.save(folder / "shards" / f"shard-{number:05d}.npy", part)


def sources(folder: Path) -> tuple[dict[str, PixelBatches], RunData]:
    for module in (storage, datasets, shards, pixels):
        vars(module)["COPIED"] = 0  # also small files stay on disk
    numpy_files.MAPPED_BYTES = 0
    one, many = (RunData(DataSettings(data=str(folder / name), pixels="unit")) for name in ("one.npy", "shards"))
    in_memory = PixelBatches(Split(one.dataset.train.images, None), one.space, fresh=True)
    return {"memory": in_memory, "one file": one.training(0), "shards": many.training(0)}, one


def linear(data: RunData) -> Callable[[Batch], None]:
    weights = torch.zeros(int(np.prod(SHAPE)), requires_grad=True)
    optimizer = torch.optim.Adam([weights], fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        (batch.x.flatten(1) @ weights).square().mean().backward()
        optimizer.step()

    return step


def vae(data: RunData) -> Callable[[Batch], None]:
    model = build_model("vae", find("vae").settings(), data.spec)
    objective, optimizer = objective_of_kind(model), torch.optim.Adam(model.parameters(), fused=True)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        objective(model, batch)["loss"].mean().backward()
        optimizer.step()

    return step


def rate(step: Callable[[Batch], None], batches: Iterator[Batch], count: int) -> float:
    started, images = time.perf_counter(), 0
    for batch in islice(batches, count):
        step(batch)
        images += len(batch.x)
    return images / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=6)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_large_blocks()
    if not (asked.folder / "one.npy").exists():
        write(asked.folder, asked.images)
    found, data = sources(asked.folder)
    for name, make, count in (("linear", linear, 100), ("MLP VAE", vae, 20)):
        step = make(data)
        rates: dict[str, list[float]] = {source: [] for source in found}
        for epoch in range(asked.rounds + 1):  # the first is not counted: it reads the files into the page cache
            for source, batches in found.items():
                rates[source].append(rate(step, batches.shuffled(epoch, asked.batch), count))
        for source, each in rates.items():
            ratio = median(a / b for a, b in zip(each[1:], rates["memory"][1:], strict=True))
            print(f"{name:8} {source:9} {median(each[1:]):10,.0f} images/s, {ratio:.2f} of memory", flush=True)


if __name__ == "__main__":
    main()

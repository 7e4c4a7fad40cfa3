"""Seconds per epoch of other packages and of ours: the same model, data, batch size and optimiser, one thread.

    python benchmarks/peers.py --python VENV/bin/python [--rounds 5] [--epochs 4] [--json]

VENV is an environment in which the other packages are installed (`--python` may be left out when they are
installed beside ours). Packages that it lacks are named, and only the others are measured.

    vae      784-512-(20+20), 20-512-784, ReLU, Bernoulli pixels     ancestral, pythae
    made     784-500-784, one order, no direct connections, ReLU     ancestral, pytorch_generative
    flow     6 affine couplings of points, networks 64-64, ReLU      ancestral, zuko (a loop as in its README)

All use Adam with learning rate 1e-3 and batches of 128, and all score the same held-out rows after each epoch.
Everything else is left at each package's defaults: bars, logs, checkpoints. Zuko has no training loop, so its
numbers have no logs and no checkpoints in them. Each turn is a fresh process; the packages take turns. The
first epoch of a turn is not counted. `seconds` is wall time, `cpu` is processor time of the same epochs, which
other work on the machine changes less. `held-out` is the loss after the last epoch, in nats per row, smaller
is better: it shows that the models learned the same.

pytorch_generative is not on the package index: put a clone of github.com/EugenHotaj/pytorch-generative on
PYTHONPATH of the other environment (`--path CLONE`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH, RATE, HIDDEN, LATENTS = 128, 1e-3, 512, 20
TRAINING, HELD_OUT = 10_000, 2_000
TURNS = ("vae ancestral", "vae pythae", "made ancestral", "made pytorch_generative", "flow ancestral", "flow zuko")
Result = tuple[float, int]  # held-out loss in nats per row, number of parameters


class Clock:
    """Wall and processor time at the start of each epoch and at the end of the last."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def mark(self) -> None:
        self.wall.append(time.perf_counter())
        self.cpu.append(time.process_time())


class MarkedLoader:
    """A loader that marks the clock whenever a pass over it begins."""

    def __init__(self, loader: Any, clock: Clock) -> None:
        self.loader, self.clock = loader, clock

    def __iter__(self) -> Iterator[Any]:
        self.clock.mark()
        return iter(self.loader)

    def __len__(self) -> int:
        return len(self.loader)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def train_ours(family: str, data: dict[str, Tensor], epochs: int, folder: str, clock: Clock) -> Result:
    """`ancestral.fit`, without the scores, pictures and page that follow a training."""
    import ancestral

    values: list[float] = []

    class Marks(ancestral.Reporter):
        def begin(self, total_steps: int, step: int) -> None:
            clock.mark()

        def advance(self, step: int, readings: Any) -> None:
            held_out = [reading.value for reading in readings if reading.split == "valid"]
            if held_out:
                values.append(held_out[0])
                clock.mark()

    settings: dict[str, dict[str, Any]] = {
        "vae": {"hidden": (HIDDEN,), "latents": LATENTS, "activation": "relu", "pixels": "threshold"},
        "made": {"hidden": (500,), "direct": False, "activation": "relu", "pixels": "threshold"},
        "flow": {"layers": "affine", "depth": 6, "hidden": (64, 64), "activation": "relu", "actnorm": False},
    }
    splits = {"train": data["train"], "valid": data["held_out"], "test": data["held_out"]}
    run = ancestral.fit(
        family,
        Path(folder) / "run",
        data=splits,
        epochs=epochs,
        batch_size=BATCH,
        optimizer="adam",
        learning_rate=RATE,
        report=False,
        reporter=Marks(),
        **settings[family],
    )
    return values[-1], count(run.load())


def train_pythae(data: dict[str, Tensor], epochs: int, folder: str, clock: Clock) -> Result:
    """pythae's `BaseTrainer` with its default MLP networks for a VAE."""
    from pythae.data.datasets import BaseDataset  # pyright: ignore[reportMissingImports]
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]
    from pythae.trainers import BaseTrainer, BaseTrainerConfig  # pyright: ignore[reportMissingImports]
    from pythae.trainers.training_callbacks import TrainingCallback  # pyright: ignore[reportMissingImports]

    values: list[float] = []

    class Marks(TrainingCallback):
        def on_epoch_begin(self, training_config: Any, **kwargs: Any) -> None:
            clock.mark()

        def on_log(self, training_config: Any, logs: dict[str, Any], **kwargs: Any) -> None:
            values.append(float(logs["eval_epoch_loss"]))

    sets = [BaseDataset(rows, torch.zeros(len(rows))) for rows in (data["train"], data["held_out"])]
    shape = tuple(data["train"].shape[1:])
    model = VAE(VAEConfig(input_dim=shape, latent_dim=LATENTS, reconstruction_loss="bce"))
    config = BaseTrainerConfig(
        output_dir=folder,
        num_epochs=epochs,
        learning_rate=RATE,
        optimizer_cls="Adam",
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        no_cuda=True,
    )
    BaseTrainer(model, sets[0], sets[1], training_config=config, callbacks=[Marks()]).train()
    clock.mark()
    return values[-1], count(model)


def train_pytorch_generative(data: dict[str, Tensor], epochs: int, folder: str, clock: Clock) -> Result:
    """pytorch-generative's `Trainer` with its MADE; it draws no samples meanwhile."""
    from pytorch_generative import models, trainer  # pyright: ignore[reportMissingImports]

    def loss_of(x: Tensor, _: Any, logits: Tensor) -> Tensor:
        terms = F.binary_cross_entropy_with_logits(logits.flatten(1), x.flatten(1), reduction="none")
        return terms.sum(1).mean()

    sets: dict[str, Any] = dict(data)  # a tensor serves as a data set of its rows
    loaders = [
        torch.utils.data.DataLoader(sets[name], batch_size=BATCH, shuffle=name == "train")
        for name in ("train", "held_out")
    ]
    model = models.MADE(input_dim=784, hidden_dims=[500], n_masks=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    marked = MarkedLoader(loaders[0], clock)
    trainer.Trainer(
        model, loss_of, optimizer, marked, loaders[1], log_dir=folder, sample_epochs=10**6
    ).interleaved_train_and_eval(epochs)
    clock.mark()
    with torch.no_grad():
        return float(loss_of(data["held_out"], None, model(data["held_out"]))), count(model)


def train_zuko(data: dict[str, Tensor], epochs: int, folder: str, clock: Clock) -> Result:
    """A RealNVP of zuko in the loop that its README shows."""
    import zuko

    flow = zuko.flows.RealNVP(2, transforms=6, hidden_features=(64, 64))
    optimizer = torch.optim.Adam(flow.parameters(), lr=RATE)
    value = 0.0
    for _ in range(epochs):
        clock.mark()
        for rows in torch.randperm(len(data["train"])).split(BATCH):
            loss = -flow().log_prob(data["train"][rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            value = float(-flow().log_prob(data["held_out"]).mean())
    clock.mark()
    return value, count(flow)


OTHERS: dict[str, Callable[..., Result]] = {
    "pythae": train_pythae,
    "pytorch_generative": train_pytorch_generative,
    "zuko": train_zuko,
}


def take_turn(turn: str, source: Path, epochs: int, seed: int) -> None:
    """Train one package once and print a line of JSON: what the parent process starts."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    model, package = turn.split()
    with np.load(source) as held, tempfile.TemporaryDirectory() as folder:
        names = ("points", "held_out_points") if model == "flow" else ("images", "held_out_images")
        data = {key: torch.from_numpy(held[name]) for key, name in zip(("train", "held_out"), names, strict=True)}
        clock = Clock()
        if package == "ancestral":
            value, parameters = train_ours(model, data, epochs + 1, folder, clock)
        else:
            value, parameters = OTHERS[package](data, epochs + 1, folder, clock)
    seconds, cpu = np.diff(clock.wall)[1:], np.diff(clock.cpu)[1:]
    print(json.dumps({"seconds": list(seconds), "cpu": list(cpu), "held_out": value, "parameters": parameters}))


def write_data(path: Path) -> str:
    """The images and points for all turns; returns what they are."""
    rng = np.random.default_rng(0)
    what, size = f"first {TRAINING:,} MNIST images above one half", TRAINING + HELD_OUT
    from ancestral.core.errors import InputError
    from ancestral.data.datasets import load_dataset

    try:
        grey = load_dataset("mnist").train.images[:size].reshape(size, 1, 28, 28).numpy()
    except (InputError, OSError):
        grey, what = rng.integers(0, 256, (size, 1, 28, 28), dtype=np.uint8), "random pixels (no MNIST found)"
    images = (grey > 127).astype(np.float32)
    angle = rng.uniform(0, np.pi, size)
    side = rng.integers(0, 2, size)
    x = np.where(side, 1 - np.cos(angle), np.cos(angle)) - 0.5
    y = np.where(side, 0.5 - np.sin(angle), np.sin(angle)) - 0.25
    points = (np.stack([x, y], 1) + rng.normal(0, 0.1, (size, 2))).astype(np.float32)
    np.savez(
        path,
        images=images[:TRAINING],
        held_out_images=images[TRAINING:],
        points=points[:TRAINING],
        held_out_points=points[TRAINING:],
    )
    return f"{what}; {TRAINING:,} points of two moons; {HELD_OUT:,} held out of each"


def installed(python: str, environment: dict[str, str]) -> set[str]:
    """Which of the other packages an interpreter can import."""
    found = set()
    for name in OTHERS:
        done = subprocess.run([python, "-c", f"import {name}"], env=environment, capture_output=True, check=False)
        if done.returncode == 0:
            found.add(name)
    return found


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All turns, in turn."""
    base = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    other = base | ({"PYTHONPATH": args.path} if args.path else {})
    there = installed(args.python, other)
    missing = sorted(set(OTHERS) - there)
    if missing:
        print(f"not installed for {args.python}, so not measured: {', '.join(missing)}", file=sys.stderr)
    turns = [turn for turn in TURNS if turn.split()[1] in there | {"ancestral"}]
    results: dict[str, list[dict[str, Any]]] = {turn: [] for turn in turns}
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "data.npz"
        what = write_data(source)
        for number in range(args.rounds):
            for turn in turns:
                ours = turn.endswith("ancestral")
                words = ["--turn", turn, "--data", str(source), "--epochs", str(args.epochs), "--seed", str(number)]
                done = subprocess.run(
                    [sys.executable if ours else args.python, __file__, *words],
                    env=base if ours else other,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                if done.returncode:
                    sys.exit(f"{turn}: {done.stderr.strip()}")
                results[turn].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {number + 1}, {turn}: {min(results[turn][-1]['seconds']):.2f} s", file=sys.stderr)
    return {"data": what, "python": platform.python_version(), "torch": torch.__version__, "turns": results}


def show(report: dict[str, Any]) -> None:
    """A Markdown table: median and range over all counted epochs of all rounds."""
    print(f"{report['data']}; torch {report['torch']}, one thread\n")
    print("| model | package | parameters | seconds per epoch | CPU seconds per epoch | held-out, nats |")
    print("|---|---|---|---|---|---|")
    for turn, rounds in report["turns"].items():
        model, package = turn.split()
        cells = []
        for kind in ("seconds", "cpu"):
            values = [value for one in rounds for value in one[kind]]
            cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
        held_out = statistics.median([one["held_out"] for one in rounds])
        print(f"| {model} | {package} | {rounds[0]['parameters']:,} | {cells[0]} | {cells[1]} | {held_out:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the other packages")
    parser.add_argument("--path", help="PYTHONPATH for that interpreter: a clone of pytorch-generative")
    parser.add_argument("--rounds", type=int, default=5, help="times that each package has its turn")
    parser.add_argument("--epochs", type=int, default=4, help="epochs counted of each turn, after one of warm-up")
    parser.add_argument("--json", action="store_true", help="print every measurement as JSON")
    parser.add_argument("--turn", choices=TURNS, help="be one turn (used by this script)")
    parser.add_argument("--data", type=Path, help="file of data for --turn")
    parser.add_argument("--seed", type=int, default=0, help="random seed for --turn")
    args = parser.parse_args()
    if args.turn:
        take_turn(args.turn, args.data, args.epochs, args.seed)
        return
    report = measure(args)
    print(json.dumps(report, indent=2)) if args.json else show(report)


if __name__ == "__main__":
    main()

"""Training speed of `ancestral train vae`, compared with the coursework's Lightning loop.

    ANCESTRAL_DATA=../shared/data python benchmarks/train_vae.py [--epochs 5] [--rounds 3] [--json]

All loops train the `uva2020` MLP VAE (784-512-(20+20), 20-512-784, ReLU, Adam 1e-3, batch 128, one latent
sample, 45,000 thresholded images). They run in turn, each time in a new process, so that the state of the allocator and
other load on the machine affect all of them equally:

    handed-out                 benchmarks/lightning_loop.py with all features of the coursework's template
    stripped-0, stripped-2     the same without logger, validation and checkpoints, 0 or 2 DataLoader workers
    ancestral                  the command itself; its speed is read from `training.json` of the run
    ancestral-bf16             the same with --precision bf16-mixed; not comparable, because the arithmetic differs
    bare                       plain PyTorch on binary images in memory, carefully written

Two speeds are reported. `training` is images per second from the first timed epoch to the end of training. For
`handed-out` and `ancestral` it includes validation, logging and checkpoints, which the others do not have; only for
`ancestral` it includes the first epoch. `process` is images per second of the whole process, including imports and
reading of data, and for `ancestral` also scoring, pictures and the report.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.data.datasets import Dataset, load_dataset

CLAIM = 4.0  # `ancestral` trains at least this many times as fast as the `handed-out` loop
BATCH = 128
IMAGES_PER_EPOCH = 45_000
QUIET = 0.1  # cores used by other work; above it, results on a small machine are not reliable
LOOPS = ("handed-out", "stripped-0", "stripped-2", "ancestral", "ancestral-bf16", "bare")
RIVAL = "handed-out"
SETTINGS = shlex.split(
    "--pixels threshold --protocol uva2020 --hidden 512 --latents 20 --activation relu "
    "--optimizer adam --learning-rate 1e-3 --batch-size 128"
)

notes = Console(stderr=True)  # stdout has only the result


def bare_loop(images: np.ndarray, epochs: int) -> dict[str, float]:
    """Plain PyTorch on binary images in memory; returns what `lightning_loop.train` returns."""
    data = (torch.from_numpy(images).flatten(1) > 127).float()
    encoder = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 40))
    decoder = nn.Sequential(nn.Linear(20, 512), nn.ReLU(), nn.Linear(512, 784))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    ends, total = [], torch.zeros(())
    for _ in range(epochs + 1):
        total.zero_()
        for rows in torch.randperm(IMAGES_PER_EPOCH).split(BATCH):
            x = data[rows]
            mean, log_std = encoder(x).chunk(2, dim=1)
            std = log_std.exp()
            logits = decoder(mean + std * torch.randn_like(std))
            rec = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            reg = 0.5 * (std**2 + mean**2 - 1 - 2 * log_std).sum()
            loss = (rec + reg) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(x)
        ends.append(time.perf_counter())
    return {
        "images": epochs * IMAGES_PER_EPOCH,
        "seconds": ends[-1] - ends[0],
        "trained": (epochs + 1) * IMAGES_PER_EPOCH,
        "bits_per_dim": float(total) / IMAGES_PER_EPOCH / (784 * math.log(2)),
    }


def all_images(dataset: Dataset) -> torch.Tensor:
    """The training images, then the validation images."""
    return torch.cat([dataset.train.images, dataset.valid.images])


def prepare_data(source: str, folder: Path) -> tuple[str, str]:
    """Write the training images to `folder/images.npy` for the other loops.

    Returns:  the value of `--data` for `ancestral train`, and a description for the report.
    """
    description = "mnist, first 45,000 training images"
    if source == "mnist":
        try:
            images = all_images(load_dataset("mnist", protocol="uva2020"))
        except (InputError, OSError) as error:
            notes.print(f"no MNIST ({error}); using generated pixels of the same size", markup=False)
            source = "generated"
    if source == "generated":
        source, description = str(folder / "generated.npz"), "generated noise of MNIST's size"
        noise = np.random.default_rng(0).integers(0, 256, size=(70_000, 28, 28), dtype=np.uint8)
        np.savez(source, train=noise[:60_000], test=noise[60_000:])
        images = all_images(load_dataset(source, protocol="uva2020"))
    np.save(folder / "images.npy", images.numpy().reshape(-1, 28, 28))
    return source, description


def command_of(loop: str, epochs: int, folder: Path, data: str) -> list[str]:
    """The process that runs one loop once."""
    here, images = Path(__file__).resolve(), str(folder / "images.npy")
    if loop == "bare":
        return [sys.executable, str(here), "--epochs", str(epochs), "--bare-loop", images]
    if loop == "handed-out" or loop.startswith("stripped"):
        options = ["--workers", "4", "--as-handed-out"] if loop == "handed-out" else ["--workers", loop[-1]]
        return [
            sys.executable,
            str(here.with_name("lightning_loop.py")),
            images,
            "--epochs",
            str(epochs),
            *options,
        ]
    ours = Path(sys.executable).with_name("ancestral")
    program = str(ours) if ours.exists() else shutil.which("ancestral") or "ancestral"
    run = ["--data", data, "--epochs", str(epochs), "--out", str(folder / "run")]
    run += ["--precision", "bf16-mixed"] if loop == "ancestral-bf16" else []
    return [program, "train", "vae", *SETTINGS, *run]


def cpu_seconds() -> tuple[float, float]:
    """CPU seconds of the whole machine so far (Linux; else 0), and of finished child processes of this script."""
    stat = Path("/proc/stat")
    busy = sum(map(int, stat.read_text().split()[1:4])) / os.sysconf("SC_CLK_TCK") if stat.exists() else 0.0
    children = os.times()
    return busy, children.children_user + children.children_system


def measure(loop: str, epochs: int, folder: Path, data: str) -> dict[str, float]:
    """Run one loop once in a separate process.

    Returns:  training and whole-process images per second, whole-process seconds, `others`: how many cores
              other work kept busy meanwhile, and, where the loop prints it, the training bits per dimension
              of its last epoch: proof that all learn the same.
    """
    shutil.rmtree(folder / "run", ignore_errors=True)
    command = command_of(loop, epochs, folder, data)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # so that all loops use the CPU
    machine_before, children_before = cpu_seconds()
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    wall = time.perf_counter() - begin
    machine_after, children_after = cpu_seconds()
    others = max(0.0, machine_after - machine_before - (children_after - children_before)) / wall
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nfailed with exit code {done.returncode}:\n{done.stderr.strip()}")
    if loop.startswith("ancestral"):
        record = json.loads((folder / "run" / "training.json").read_text())
        trained = epochs * IMAGES_PER_EPOCH
        speed = trained / record["total_seconds"]
    else:
        record = json.loads(done.stdout.splitlines()[-1])
        speed, trained = record["images"] / record["seconds"], record["trained"]
    result = {"training": speed, "process": trained / wall, "process_seconds": wall, "others": others}
    if "bits_per_dim" in record:
        result["bits_per_dim"] = record["bits_per_dim"]
    return {name: float(f"{value:.5g}") for name, value in result.items()}


def summarise(rounds: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians, extremes and ratios to the `handed-out` loop, for each kind of speed."""
    summary: dict[str, Any] = {}
    for kind in ("training", "process"):
        speeds = {loop: [one[kind] for one in runs] for loop, runs in rounds.items()}
        medians = {loop: statistics.median(values) for loop, values in speeds.items()}
        summary[kind] = {
            loop: {
                "median": medians[loop],
                "min": min(values),
                "max": max(values),
                "ratio": round(medians[loop] / medians[RIVAL], 2),
                "ratio_min": round(min(values) / max(speeds[RIVAL]), 2),
                "ratio_max": round(max(values) / min(speeds[RIVAL]), 2),
            }
            for loop, values in speeds.items()
        }
    if "ancestral" in rounds:
        summary["claim"] = {"at_least": CLAIM, "met": summary["training"]["ancestral"]["ratio"] >= CLAIM}
    return summary


def machine() -> dict[str, Any]:
    """Properties of the machine on which the numbers depend."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def show(report: dict[str, Any]) -> None:
    """Print the report as a table: both speeds of each loop, and their ratios to the `handed-out` loop."""
    where, summary = report["machine"], report["summary"]
    table = Table(title="uva2020 MLP VAE, images per second: median and min-max", caption_justify="left")
    for name in ("loop", "training", "ratio", "process", "ratio", "bpd", "others"):
        table.add_column(name, justify="left" if name == "loop" else "right", no_wrap=True)
    for loop, runs in report["rounds"].items():
        training, process = summary["training"][loop], summary["process"][loop]
        seconds = statistics.median([one["process_seconds"] for one in runs])
        bits = statistics.median([one.get("bits_per_dim", math.nan) for one in runs])
        table.add_row(
            loop,
            f"{training['median']:,.0f}\n{training['min']:,.0f}-{training['max']:,.0f}",
            f"{training['ratio']:.2f}\n{training['ratio_min']:.2f}-{training['ratio_max']:.2f}",
            f"{process['median']:,.0f}\nin {seconds:.1f} s",
            f"{process['ratio']:.2f}",
            "" if math.isnan(bits) else f"{bits:.3f}",
            f"{max(one['others'] for one in runs):.2f}",
        )
    table.caption = (
        f"{report['data']}; {report['epochs']} timed epochs, {len(runs)} rounds; {where['cpu']}, "
        f"{where['cores']} cores, {where['threads']} threads, load {where['load_before']}, "
        f"torch {where['torch']}, {where['date']}"
    )
    Console().print(table)
    if max(one["others"] for runs in report["rounds"].values() for one in runs) > QUIET:
        notes.print("other work used the cores, so the results are not reliable: run the benchmark again")
    if "claim" in summary:
        claim = summary["claim"]
        print(f"at least {claim['at_least']:g} times the speed of `handed-out`: {'yes' if claim['met'] else 'NO'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each process")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each loop")
    parser.add_argument("--data", choices=("mnist", "generated"), default="mnist")
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=LOOPS, help="loops to run, including handed-out")
    parser.add_argument("--json", action="store_true", help="print only JSON on stdout")
    parser.add_argument("--bare-loop", metavar="IMAGES.npy", help="run the `bare` loop (used by this script)")
    args = parser.parse_args()
    if args.bare_loop:
        print(json.dumps(bare_loop(np.load(args.bare_loop), args.epochs)))
        return
    if args.epochs < 1 or args.rounds < 1 or RIVAL not in args.loops:
        parser.error(f"at least one epoch, one round and {RIVAL} to compare with are needed")
    where = machine()
    rounds: dict[str, list[dict[str, float]]] = {loop: [] for loop in args.loops}
    with tempfile.TemporaryDirectory() as name:
        data, description = prepare_data(args.data, Path(name))
        for turn in range(1, args.rounds + 1):
            for loop in args.loops:
                rounds[loop].append(measure(loop, args.epochs, Path(name), data))
                notes.print(f"round {turn}, {loop}: {rounds[loop][-1]['training']:,.0f} images/s")
    report = {"data": description, "epochs": args.epochs, "settings": SETTINGS, "machine": where}
    report |= {"rounds": rounds, "summary": summarise(rounds)}
    print(json.dumps(report, indent=2)) if args.json else show(report)


if __name__ == "__main__":
    main()

"""Each command as a new process; `import torch` alone is the limit."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from benchmarks.harness.declarations import Contestant, Missing, Repetition, Workload

COMMAND = "import sys; sys.argv = ['ancestral', *{words!r}]; from ancestral.commands.main import entry; entry()"
TRAIN = ("train", "vae", "--data", "digits", "--epochs", "1", "--out", "again")
VERBS = {
    "train, 1 epoch": (*TRAIN, "--train-size", "128"),
    "train vae --help": ("train", "vae", "--help"),
    "--help": ("--help",),
    "sample": ("sample", "vae", "--out", "samples.png"),
    "evaluate, stored": ("evaluate", "vae"),
    "evaluate, no run": ("evaluate", "missing"),
    "complete": ("complete", "vae", "--out", "completed.png"),
    "infer": ("infer", "vae", "--out", "latents.npz"),
    "quality": ("quality", "vae"),
    "detect": ("detect", "vae", "--against", "rotated"),
    "explain": ("explain", "vae"),
    "compress": ("compress", "made", "--out", "images.anc"),
    "draw": ("draw", "samples", "vae", "--out", "drawing.png"),
    "verify": ("verify", "vae"),
    "data": ("data",),
    "families": ("families",),
}
FAILS = ("evaluate, no run",)


def run_of(words: tuple[str, ...], folder: str, fails: bool = False) -> None:
    """Run a command as a new process.

    Raises:    RuntimeError: it ends with another exit status than expected.
    """
    program = COMMAND.format(words=list(words)) if words else "import torch"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    if bool(done.returncode) != fails:
        raise RuntimeError(f"{' '.join(words)}: exit status {done.returncode}: {done.stderr[-1000:]}")


def verb(name: str, data: str, tiny: bool) -> Repetition:
    """A command on a run of one epoch. Raises Missing if the data set is not on this machine."""
    import ancestral
    from ancestral.data.sources import dataset_status

    if dataset_status(data).state != "ready":
        raise Missing(f"the data set {data} is not on this machine")
    words = VERBS[name]
    kept = tempfile.TemporaryDirectory()
    for family in {"vae", "made"} & set(words):
        out = Path(kept.name) / family
        size = 1000 if data == "digits" or tiny else None  # `quality` compares with all training images of the run
        ancestral.fit(family, out, data=data, epochs=1, train_size=size, report=False, progress=False)
        if name == "evaluate, stored":
            ancestral.evaluate(out)

    def repetition() -> None:
        with tempfile.TemporaryDirectory() as folder:  # a copy, because some commands store their results
            shutil.copytree(kept.name, folder, dirs_exist_ok=True)
            run_of(words, folder, name in FAILS)

    return repetition


def torch_alone(tiny: bool) -> Repetition:
    return lambda: run_of((), tempfile.gettempdir())


def commands(name: str, data: str, title: str, names: Iterable[str]) -> Workload:
    ours = (Contestant(one, "ours", partial(verb, one, data)) for one in names)
    work = f"a new process, with a VAE or MADE of {data}"
    contestants = (*ours, Contestant("import torch", "limit", torch_alone))
    return Workload(name, title, work, contestants, along="command", threads=(1,), most_rounds=3)


WORKLOADS = (
    commands("verbs", "digits", "every command", VERBS),
    commands("verbs-mnist", "mnist", "commands on MNIST", ("sample", "evaluate, no run", "quality", "detect")),
)

"""Trains every family of the catalogue with 4 shards, in one or several processes, uses the runs, and prints nothing.

usage: several_processes.py FOLDER   (the processes are described by the variables of Lightning Fabric)
       several_processes.py --fault refuse|die COMMAND ...   a command of `ancestral`, in which process 1 fails
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ancestral
from ancestral.commands import main
from ancestral.compression import files
from ancestral.core.errors import InputError
from ancestral.core.ranks import place
from ancestral.core.threads import one_thread
from ancestral.evaluation import pixel_features
from ancestral.families.run_settings import settings_for
from ancestral.runs import fit, quality, records, sample

# 102 images in batches of 25: the last batch has 2 images, so two of its shards are empty
SIZES: dict[str, Any] = {"data": "digits", "train_size": 102, "valid_size": 20, "batch_size": 25, "shards": 4}
CNN: dict[str, Any] = {"network": "cnn", "channels": (4,), "critic_channels": (4,), "latents": 3}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mixture": ("mixture", {"components": 4}),
    "mixture, EM, classes": ("mixture", {"components": 20, "method": "em", "conditional": True}),
    "belief net": ("belief-net", {"latents": (3,)}),
    "belief net, vimco": ("belief-net", {"latents": (4,), "method": "vimco"}),
    "belief net, score": ("belief-net", {"latents": (4,), "method": "score"}),
    "belief net, wake-sleep": ("belief-net", {"latents": (4,), "method": "wake-sleep", "phase": "both"}),
    "made": ("made", {"hidden": (8,)}),
    "pixelcnn": ("pixelcnn", {"channels": 4, "blocks": 1}),
    "vae": ("vae", {"latents": 2, "hidden": (8,), "free_bits": 0.1, "clip_norm": 1.0, "average_weights": 0.9}),
    "vae, cosine, iwae": ("vae", {"latents": 2, "hidden": (8,), "objective": "iwae", "schedule": "cosine"}),
    "autoencoder": ("autoencoder", {"latents": 2, "hidden": (8,)}),
    "flow, points": ("flow", {"data": "moons", "hidden": (8,), "depth": 2}),
    "circuit": ("circuit", {"states": 2}),
    "circuit, EM": ("circuit", {"states": 2, "method": "em", "components": 2, "assignment": "posterior"}),
    "any-order": ("any-order", {"network": "mlp", "hidden": (8,)}),
    "gan": ("gan", {"hidden": (8,), "critic_hidden": (8,), "latents": 3, "average": 0.9, "r1": 1.0}),
    # a batch normalisation needs several values for each channel: all batches have full shards
    "gan, images": ("gan", CNN | {"critic_dropout": 0.3, "spectral_norm": True}),
}


def settings_of(name: str, epochs: int = 1) -> Any:
    family, values = KINDS[name]
    return settings_for(family, **(SIZES | {"epochs": epochs} | values))


def use(folder: Path, rank: int) -> None:
    """Call the functions that divide their work, in blocks so small that each process has several of them."""
    small = [(sample, "AT_ONCE", 5), (quality, "AT_ONCE", 30), (quality, "BLOCK", 20), (pixel_features, "BLOCK", 24)]
    patches = [patch.object(module, name, value) for module, name, value in small]
    for one in patches:
        one.start()
    returned: dict[str, Any] = {}
    with one_thread():  # as the other processes
        returned["score"] = ancestral.evaluate(folder / "vae", samples=40, count=150).to_json()
        returned["sample"] = ancestral.sample(folder / "vae", 42).tolist()
        returned["classes"] = ancestral.sample(folder / "mixture, EM, classes", 13, label=[2, 1]).tolist()
        returned["quality"] = ancestral.quality(folder / "made", count=100, features="pixels").to_json()
        for name in ("made", "vae"):
            found = ancestral.compress(folder / name, folder / f"{name}.anc", split="valid", block=3)
            returned[name] = [found.bits, found.block_bits, found.claimed_bits]
            returned[f"{name} again"] = ancestral.decompress(folder / f"{name}.anc", folder / name).tolist()
    (folder / f"returned-{rank}.json").write_text(json.dumps(returned))
    for one in patches:
        one.stop()


def fail(how: str) -> None:
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    raise InputError("no sample of rank 1")


def refuse(*arguments: object, **named: object) -> None:
    raise AssertionError("a process that is not the first one writes to the folder")


if __name__ == "__main__":
    here = place()
    rank = 0 if here is None else here.rank
    if sys.argv[1] == "--fault":
        how = sys.argv[2]
        del sys.argv[1:3]
        if rank:
            sample.seed_of_block = lambda *of: fail(how)  # type: ignore[assignment]
        main.entry()
    folder = Path(sys.argv[1])
    if rank:
        for name in ("TrainingLog", "write_thumbnails", "write_json", "open_run"):
            setattr(fit, name, refuse)
        setattr(records.RecordStore, "add", refuse)  # noqa: B010
        setattr(files, "write_atomically", refuse)  # noqa: B010
    for kind in KINDS:
        fit.fit_settings(settings_of(kind), folder / kind, resume=True)
    use(folder, rank)

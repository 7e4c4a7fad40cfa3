"""Trains every family of the catalogue with 4 shards, in one or several processes, and prints nothing.

usage: several_processes.py FOLDER   (the processes are described by the variables of Lightning Fabric)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ancestral.core.ranks import place
from ancestral.families.run_settings import settings_for
from ancestral.runs import fit

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


def refuse(*arguments: object, **named: object) -> None:
    raise AssertionError("a process that is not the first one writes to the folder")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    here = place()
    if here is not None and here.rank:
        for name in ("TrainingLog", "write_thumbnails", "write_json", "open_run"):
            setattr(fit, name, refuse)
    for kind in sys.argv[2:] or KINDS:
        fit.fit_settings(settings_of(kind), folder / kind, resume=True)

"""Small trained runs for several test files: each run is trained once, and each file gets its own copies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ancestral import fit

BRIEF: dict[str, Any] = {"epochs": 1, "train_size": 100, "valid_size": 20}
GAME: dict[str, Any] = {"hidden": (8,), "critic_hidden": (8,), "latents": 3}
SMALL_RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "vae": ("vae", {"latents": 3, "hidden": (8,)}),
    "wide": ("vae", {"latents": 4, "hidden": (8,), "prior": "mixture"}),
    "grey": ("vae", {"latents": 2, "hidden": (8,), "pixels": "levels", "split_seed": 1}),
    "mixture": ("mixture", {"components": 3}),
    "belief-net": ("belief-net", {"latents": (3,)}),
    "helmholtz": ("belief-net", {"latents": (4,), "method": "vimco"}),
    "made": ("made", {"hidden": (8,)}),
    "orderings": ("made", {"hidden": (8,), "orderings": 2}),
    "autoencoder": ("autoencoder", {"latents": 2, "hidden": (8,)}),
    "flow": ("flow", {"width": 4, "couplings": 1, "pixels": "levels"}),
    "moons": ("flow", {"data": "moons", "depth": 2}),
    "gan": ("gan", GAME),
    "classes": ("gan", {**GAME, "classes": 10}),
}


class SmallRuns:
    """Runs of one epoch on 100 images, each trained at its first use.

    Args: folder: where they are trained; nobody else writes there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copied(self, names: list[str], folder: Path) -> Path:
        """The folder, with a copy of each named run in it."""
        for name in names:
            if not (self.folder / name).exists():
                family, settings = SMALL_RUNS[name]
                fit(family, self.folder / name, **settings, **BRIEF)
            shutil.copytree(self.folder / name, folder / name)
        return folder

"""Half-way between two draws of a GAN's latents: on the straight line, whose middle is short, and on the arc."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ancestral.core.errors import NotComputable
from ancestral.core.maths import arcs, lines
from ancestral.core.random import seed_for, seeded_noise
from ancestral.evaluation.quality import recognised_share
from ancestral.families.gan.model import GAN
from ancestral.runs.quality import recognised
from ancestral.runs.run import Run


@dataclass(frozen=True)
class Midway:
    """Mean lengths of z, and shares of images recognised for sure: at the ends of walks, and in the middle of both.

    Args:      lengths, shares: by place, `ends`, `line`, `arc`. count: walks.
    """

    lengths: dict[str, float]
    shares: dict[str, float]
    count: int


@torch.no_grad()
def midway(run: Run, count: int, seed: int = 0) -> Midway:
    """Look at the middles of `count` walks between draws of z.

    Raises:    NotComputable: the run's model is no GAN without classes.
    """
    model = run.load()
    if not isinstance(model, GAN) or model.classes:
        raise NotComputable(
            f"the middles of walks are looked at in a GAN without classes, not a {type(model).__name__}"
        )
    with seeded_noise(seed_for(seed, "midway")):
        first, last = model.codes(2 * count).chunk(2)
    middle = torch.tensor([0.5], dtype=first.dtype)
    z = {"ends": first, "line": lines(first, last, middle)[:, 0], "arc": arcs(first, last, middle)[:, 0]}
    shares = {where: recognised_share(recognised(run.data, model.decode(codes).float())) for where, codes in z.items()}
    return Midway({where: codes.norm(dim=1).mean().item() for where, codes in z.items()}, shares, count)

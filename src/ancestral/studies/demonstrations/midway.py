"""Images half-way between two codes of a GAN, on a straight line and on an arc."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ancestral.core.errors import NotComputable
from ancestral.core.maths import arcs, lines
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words
from ancestral.evaluation.quality import recognised_share
from ancestral.families.gan.model import GAN
from ancestral.runs.quality import recognised
from ancestral.runs.run import Run


@dataclass(frozen=True)
class Midway:
    """Mean norms of z and shares of recognised images, at the ends and in the middle of walks.

    Args:      lengths, shares: by position: `ends`, `line`, `arc`. count: number of walks.
    """

    lengths: dict[str, float]
    shares: dict[str, float]
    count: int


@torch.no_grad()
def midway(run: Run, count: int, seed: int = 0) -> Midway:
    """Compare the middles of `count` walks between samples of z.

    Raises:    NotComputable: the model is not a GAN, or has classes.
    """
    model = run.load()
    if not isinstance(model, GAN) or model.classes:
        raise NotComputable(f"the middles of walks need a GAN without classes, not {type_in_words(model)}")
    with seeded_noise(seed_for(seed, "midway")):
        first, last = model.codes(2 * count).chunk(2)
    middle = torch.tensor([0.5], dtype=first.dtype)
    z = {"ends": first, "line": lines(first, last, middle)[:, 0], "arc": arcs(first, last, middle)[:, 0]}
    shares = {where: recognised_share(recognised(run.data, model.decode(codes).float())) for where, codes in z.items()}
    return Midway({where: codes.norm(dim=1).mean().item() for where, codes in z.items()}, shares, count)

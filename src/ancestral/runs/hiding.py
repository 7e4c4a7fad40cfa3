"""Which pixels of the images of a run are hidden: a named part, given masks, or what is missing in the data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seed_for
from ancestral.data.masks import seen_pixels

MASKED, MISSING, COLUMNS = "mask", "missing", "columns"  # values of `hide` besides the names of `seen_pixels`


class Hiding:
    """The masks of images in order: from a named part, from given masks, or from missing data.

    Args:      hide: see `complete_run`. seed: of random masks. masks: given masks, True for observed pixels.
    """

    def __init__(self, hide: str, seed: int, masks: Tensor | None) -> None:
        self.hide, self.masks = hide, masks
        self.generator = torch.Generator().manual_seed(seed_for(seed, "masks"))
        # one mask can be used for any number of images
        self.same = masks is not None and bool((masks == masks[:1]).all())
        self.most = len(masks) if masks is not None and not self.same else None
        self.done = 0

    def seen(self, count: int, event_shape: Sequence[int], of_data: Tensor | None = None) -> Tensor:
        """The masks of the next `count` images, boolean, True for observed pixels.

        Args:      of_data: True for pixels that the data have; None if they have all.
        """
        first, self.done = self.done, self.done + count
        if self.masks is not None:
            given = self.masks[:1].expand(count, *event_shape) if self.same else self.masks[first : first + count]
        elif self.hide == MISSING:
            if of_data is None:
                raise InputError("these images have no missing pixels: choose a part to hide with --hide or --mask")
            given = torch.ones(count, *event_shape, dtype=torch.bool)
        else:
            given = seen_pixels(self.hide, count, event_shape, generator=self.generator, first=first)
        return given if of_data is None else given & of_data[first : first + count]


def hidden_in_words(hide: str) -> str:
    known = {
        "halves": "one half",
        MASKED: "pixels under a mask",
        MISSING: "missing values",
        COLUMNS: "columns",
        "drawn": "pixels under strokes",
    }
    if hide in known:
        return known[hide]
    return "half of the pixels" if hide == "random" else f"{hide} half"

"""Models whose pixels have one output distribution each, with parameters from a network."""

from __future__ import annotations

from torch import Tensor

from ancestral.distributions.outputs import PixelOutput
from ancestral.models.base import Model


class OutputModel(Model):
    """Base class of models whose levels and pixel spaces are those of their output.

    Attributes: output: distribution of one value, given its parameters.
    """

    output: PixelOutput

    @property
    def levels(self) -> int:  # type: ignore[override]
        return self.output.levels

    @property
    def spaces(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.output.spaces

    def centred(self, x: Tensor) -> Tensor:
        """Levels as numbers in [-1, 1], the input of the network."""
        return 2 * x / (self.levels - 1) - 1

"""MADE: a fully connected network with masks, which make it an exact autoregressive model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ancestral.core.allowance import MAX_CONSTANTS
from ancestral.core.errors import InputError
from ancestral.core.maths import log_mean_exp
from ancestral.core.random import lasting_permutation, seed_for
from ancestral.core.serialization import registered
from ancestral.distributions.outputs import CategoricalOutput, pixel_output
from ancestral.families.autoregressive.made_sampling import draw_in_order, with_added
from ancestral.families.autoregressive.own_network import given_autoregressive
from ancestral.families.autoregressive.settings import MADESettings
from ancestral.families.conditional import classes_of
from ancestral.families.family import DataSpec
from ancestral.models.autoregressive import AutoregressiveModel, output_name
from ancestral.models.particles import Particles
from ancestral.networks.masked import MaskedLinear, mask_of
from ancestral.networks.mlp import ACTIVATIONS

MAX_ORDERINGS = 4096  # every one is drawn at construction and evaluated for each log-probability


@registered
class MADE(AutoregressiveModel):
    """Masked autoencoder for distribution estimation, with one or more orderings of the pixels.

        p(x) = (1/J) sum_j prod_d p_j(x_d | pixels before d in ordering j)

    The pixel at position p of an ordering has degree p, 1 to D; hidden units have degrees 1 to D - 1. A unit has inputs
    of its own degree or less; the parameters of the pixel at position p have inputs of a degree below p. All orderings
    share the weights and differ in the masks. The model averages the probabilities of the orderings, so the average is
    a distribution; an average of their logits would make the output of a pixel depend on the pixel itself.

    Args:      event_shape: shape of an image with D pixels. output: bernoulli, categorical or logistic. levels: of a
               pixel. hidden: widths of the hidden layers, () for a fully visible belief net. orderings: J; with J = 1
               the ordering is the reading order, else all are random. direct: add connections from pixels to the
               outputs of later pixels. seed: random seed of orderings and degrees. classes: K, number of classes, whose
               one-hot vector is an input of every unit and output, without a mask; 0 for none. proportions: of the
               classes in the training data; None: equal. vector: mean and standard deviation of each entry of a
               condition vector, which replaces the one-hot vector; () for none.
    Deviation: hidden degrees are spread evenly, then shuffled for J > 1; the paper draws them at random.
    Reference: Germain et al., 2015, arXiv 1502.03509; order-agnostic: Uria et al., 2014, arXiv 1310.1757.
    Example:
        >>> model = MADE([1, 8, 8], hidden=[32])
        >>> model.log_prob(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    takes_vectors: ClassVar[bool] = True
    positions: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        output: str = "bernoulli",
        levels: int = 2,
        hidden: Sequence[int] = (500,),
        orderings: int = 1,
        direct: bool = True,
        activation: str = "relu",
        components: int = 10,
        seed: int = 0,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        if orderings < 1 or not (direct or hidden):
            raise ValueError("a MADE needs an ordering, and hidden layers or direct connections")
        if orderings > MAX_ORDERINGS:
            raise ValueError(f"a MADE has at most {MAX_ORDERINGS} orderings")
        self.event_shape = tuple(event_shape)
        self.output = pixel_output(output, levels, components)
        pixels, self.activation = math.prod(event_shape), ACTIVATIONS[activation]()
        # a categorical output has a free probability per level, so its inputs are one-hot levels
        self.inputs = levels if isinstance(self.output, CategoricalOutput) else 1
        widths = [pixels * self.inputs, *hidden]
        self.layers = nn.ModuleList(MaskedLinear(a, b) for a, b in pairwise(widths))
        self.last = MaskedLinear(widths[-1], pixels * self.output.size) if hidden else None
        self.direct = MaskedLinear(widths[0], pixels * self.output.size, bias=not hidden) if direct else None
        widths = [*hidden, pixels * self.output.size]
        entries = classes or len(vector)
        self.by_class = nn.ModuleList(nn.Linear(entries, width, bias=False) for width in widths) if entries else None
        positions, degrees = _orderings(pixels, hidden, orderings, seed)
        self.register_buffer("positions", positions, persistent=False)
        for layer, values in zip(self.layers, degrees, strict=True):
            layer.register_buffer("degrees", values, persistent=False)
        if orderings == 1:
            for masked, degrees in self._degrees(torch.zeros(1, dtype=torch.long)):
                masked.keep_mask(*degrees)

    @property
    def order(self) -> Tensor:
        """The order of the pixels in the first ordering."""
        return self.positions[0].argsort()

    @property
    def orders(self) -> Tensor:
        return self.positions.argsort(1)

    def seen(self, x: Tensor) -> Tensor:
        """The inputs of the network for some levels, (B, D) to (B, D * inputs)."""
        if self.inputs == 1:
            return self.centred(x)
        return F.one_hot(x.long(), self.inputs).to(self.dtype).flatten(1)

    def predict_under(self, x: Tensor, ordering: Tensor) -> Tensor:
        """The parameters of each pixel given the earlier ones in one ordering, shape (B, *event_shape, size).

        Args:      ordering: index, shape (1,); a tensor, so that a random index is not copied from the device.
        """
        self.refuse_without_class()
        masks: dict[nn.Module, Tensor] = {}
        if len(self.positions) > 1:  # otherwise the layers keep their masks
            masks.update((layer, mask_of(*degrees)) for layer, degrees in self._degrees(ordering))
        pixels = self.seen(x.flatten(1))
        *of_hidden, of_output = self.added()
        parameters = self.direct(pixels, masks.get(self.direct)) if self.direct else 0
        h = pixels
        for layer, added in zip(self.layers, of_hidden, strict=True):
            h = self.activation(with_added(layer(h, masks.get(layer)), added))
        if self.last is not None:
            parameters = parameters + self.last(h, masks.get(self.last))
        assert isinstance(parameters, Tensor)
        return with_added(parameters, of_output).unflatten(1, (*self.event_shape, self.output.size))

    def _degrees(self, ordering: Tensor) -> Iterator[tuple[MaskedLinear, tuple[Tensor, Tensor, bool]]]:
        """Each masked layer with the arguments of `mask_of` in one ordering, an index of shape (1,)."""
        position = self.positions.index_select(0, ordering)[0]
        pixels, wanted = (position.repeat_interleave(of) for of in (self.inputs, self.output.size))
        if self.direct is not None:
            yield self.direct, (pixels, wanted, True)
        before = pixels
        for layer in self.layers:
            degrees = layer.degrees.index_select(0, ordering)[0]  # type: ignore[operator, union-attr]
            yield layer, (before, degrees, False)  # type: ignore[misc]
            before = degrees
        if self.last is not None:
            yield self.last, (before, wanted, True)

    def log_prob_under(self, x: Tensor, ordering: Tensor) -> Tensor:
        """log p_j(x) of one ordering, exact, shape (B,), nats; summed over the classes if none is given."""
        if self.sums_classes:
            each = [model.log_prob_under(x, ordering) + share for model, share in self.each_class()]
            return torch.stack(each).logsumexp(0)
        return self.output.log_prob(self.predict_under(x, ordering), x).flatten(1).sum(1)

    def added(self) -> list[Tensor | None]:
        """What the given condition adds to each hidden layer and the output, shapes (1 or B, width), or None."""
        if self.by_class is None:
            return [None] * (len(self.layers) + 1)
        self.refuse_without_class()
        return [layer(self.condition) for layer in self.by_class]

    def log_prob_of_orders(self, x: Tensor) -> Tensor:
        """For a given class or without classes, the log of the mean probability over all orderings; (B,), nats."""
        each = torch.arange(len(self.positions), device=x.device).split(1)
        return log_mean_exp(torch.stack([self.log_prob_under(x, ordering) for ordering in each]), 0)

    def predict(self, x: Tensor) -> Tensor:
        """The parameters in the first ordering, which `conditionals` and `draw` use too."""
        return self.predict_under(x, torch.zeros(1, dtype=torch.long, device=x.device))

    @torch.no_grad()
    def draw(self, noise: Tensor, particles: Particles | None = None) -> Tensor:
        """See `AutoregressiveModel.draw`; the ordering is the first."""
        return self.draw_under(noise, 0, particles)

    def draw_under(self, noise: Tensor, ordering: int, particles: Particles | None = None) -> Tensor:
        """Images from uniform noise of shape (n, *event_shape), in one ordering."""
        self.refuse_without_class()
        return draw_in_order(self, ordering, noise.flatten(1), particles).reshape(noise.shape)

    def hidden_layers(self, ordering: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The weight, bias and degrees of each hidden layer in one ordering."""
        for layer in self.layers:
            yield layer.weight, layer.bias, layer.degrees[ordering]  # type: ignore[misc, index]

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` samples; the ordering and, if none is given, the class of each are drawn at random."""
        if self.sums_classes:
            return self.sample_classes(self.draw_classes(n))
        self.conditions(n)  # raises for a wrong number of labels
        like = self.positions
        noise = torch.rand(n, *self.event_shape, dtype=self.dtype, device=like.device)
        chosen = torch.randint(len(like), (n,), device=like.device)
        x = torch.empty_like(noise)
        for ordering in chosen.unique().tolist():
            rows = chosen == ordering
            x[rows] = self.rows_of(rows).draw_under(noise[rows], ordering)
        return x


def _orderings(pixels: int, hidden: Sequence[int], count: int, seed: int) -> tuple[Tensor, list[Tensor]]:
    """Positions 1..D of the pixels, shape (J, D), and the degrees of each hidden layer, shapes (J, width)."""

    def shuffled(values: np.ndarray, *name: int | str) -> np.ndarray:
        if count == 1:
            return values
        return values[lasting_permutation(len(values), seed_for(seed, *name))]

    spread = [1 + np.arange(width) * max(pixels - 1, 1) // width for width in hidden]
    positions = [shuffled(np.arange(1, pixels + 1), "positions", j) for j in range(count)]
    degrees = [[shuffled(row, "degrees", layer, j) for j in range(count)] for layer, row in enumerate(spread)]
    return torch.from_numpy(np.stack(positions)), [torch.from_numpy(np.stack(rows)) for rows in degrees]


def build_made(settings: MADESettings, spec: DataSpec) -> AutoregressiveModel:
    """The MADE that the settings describe, or the model of the user's own network.

    Raises:    InputError: too many orderings for a saved model; or as `given_autoregressive`.
    """
    output, levels = output_name(settings.output, spec.levels, spec.space)
    if own := given_autoregressive(spec, output, levels, settings.components, settings.conditional):
        return own
    if settings.orderings * (math.prod(spec.event_shape) + sum(settings.hidden)) > MAX_CONSTANTS:
        raise InputError(
            f"--orderings {settings.orderings} needs more than {MAX_CONSTANTS:,} positions and degrees: "
            "lower --orderings or --hidden"
        )
    return MADE(
        list(spec.event_shape),
        output,
        levels,
        list(settings.hidden),
        settings.orderings,
        settings.direct,
        settings.activation,
        settings.components,
        0,
        *classes_of(settings, spec),
        spec.conditions,
    )

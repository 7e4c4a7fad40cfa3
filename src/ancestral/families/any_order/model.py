"""Any-order autoregressive model: one network for the conditionals of all pixels given any set of observed pixels."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.distributions.outputs import CategoricalOutput, pixel_output
from ancestral.families.any_order.orders import (
    RASTER,
    FixedOrder,
    Order,
    UniformOrders,
    missing_last,
    order_of,
    random_turns,
    scans,
    stratified,
    turns_of,
)
from ancestral.models.base import LatentModel
from ancestral.models.classes import ClassConditional, refuse_without_classes
from ancestral.models.completion import filled, given_only
from ancestral.models.outputs import OutputModel

ROWS = 256  # masked images in one evaluation of the network


@registered
class AnyOrderModel(ClassConditional, OutputModel, LatentModel):
    """Autoregressive model whose order is random: p(x) is the mean over all D! orders of the pixels.

        p(x) = (1/D!) sum_o p(x | o),    log p(x | o) = sum_t log p(x_o(t) | x_o(1), ..., x_o(t-1))

    One network predicts all hidden pixels from the observed ones and their mask. The order is the latent, with the
    uniform distribution as prior and as posterior. So log p(x | o) is exact for each order, and the ELBO is its mean
    over the orders. The ELBO has an unbiased estimate from one evaluation of the network: for t uniform on 0, ..., D-1
    and a random set of t observed pixels, D times the mean of log p(x_d | observed) over the hidden pixels. This is the
    bound of a masked (absorbing) diffusion too.

    A class is one more variable, which is observed or hidden. `given(y)` has the orders in which it comes first. If no
    class is given, it comes last: the network does not see it, and its sum is p(x). A second network has p(y | observed
    pixels). As with any two orders, p(y) p(x | y) and p(x) p(y | x) are equal only as far as the networks agree.

    Args:      network: channels of observed values and masks, (B, K, H, W), to (B, C S, H, W), S parameters for each
               value; with classes or a vector, its second argument is the condition, (1 or B, classes or entries), 0
               for a hidden class. event_shape: (C, H, W). output: bernoulli, categorical, zero-flag or logistic.
               levels: of a pixel. components: of a logistic output. bound_masks: masks for each image in the estimate
               of the bound. class_network: the same channels to K logits, (B, K). classes: K; 0 for none. proportions:
               of the classes in the training data; None: equal. vector: mean and standard deviation of each entry of a
               condition vector; () for none.
    Reference: Uria et al., 2014, arXiv 1310.1757; Hoogeboom et al., 2022, arXiv 2110.02037.
    Example:
        >>> from ancestral.networks.mlp import MLP
        >>> model = AnyOrderModel(MLP([2, 8, 8], [32], [1, 8, 8]), [1, 8, 8])
        >>> model.elbo(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    completion: ClassVar[str] = "exact in the raster order of the hidden pixels"
    default_order: ClassVar[str] = RASTER
    takes_vectors: ClassVar[bool] = True
    seen: Tensor | None = None  # of the images of a batch, shape (B, *event_shape); None: no pixel is missing

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        output: str = "bernoulli",
        levels: int = 2,
        components: int = 10,
        bound_masks: int = 8,
        class_network: nn.Module | None = None,
        classes: int = 0,
        proportions: Sequence[float] | None = None,
        vector: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        if bool(classes) != (class_network is not None):
            raise ValueError("a model with classes has a network for the class, and no other model has one")
        self.set_classes(classes, proportions)
        self.set_vector(vector)
        self.event_shape, self.bound_masks = tuple(event_shape), bound_masks
        self.output = pixel_output(output, levels, components)
        self.network, self.class_network = network, class_network
        self.bias = nn.Parameter(torch.zeros(*event_shape, self.output.size))

    @property
    def dimensions(self) -> int:
        """D, the number of values of an image."""
        return math.prod(self.event_shape)

    def _inputs(self, x: Tensor, observed: Tensor) -> Tensor:
        """The channels of the networks: values, 0 where they are hidden, and masks. Missing pixels are hidden."""
        observed = observed if self.seen is None else observed & self.seen
        if isinstance(self.output, CategoricalOutput):
            marks = F.one_hot(torch.where(observed, x, 0).long(), self.levels).movedim(-1, 2)  # (B, C, L, H, W)
            values = (marks * observed[:, :, None]).flatten(1, 2).to(self.bias.dtype)
        else:
            values = torch.where(observed, self.centred(x), 0)
        return torch.cat([values, observed.to(values.dtype)], 1)

    def predict(self, x: Tensor, observed: Tensor) -> Tensor:
        """Parameters of p(x_d | observed pixels) for all d. Only those of hidden pixels mean anything.

        They are given the class or the vector if there is one, and a class that is not given is hidden.

        Args:      x: shape (B, *event_shape), whole levels; hidden values are not used. observed: boolean, same shape.
        Returns:   shape (B, *event_shape, S).
        """
        inputs, condition = self._inputs(x, observed), self.conditions(len(x))
        if self.sums_classes:
            condition = inputs.new_zeros(1, self.classes)
        found = self.network(inputs) if condition is None else self.network(inputs, condition)
        return found.unflatten(1, (self.event_shape[0], -1)).movedim(2, -1) + self.bias

    def log_class_posterior(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(y | observed pixels) of all classes, shape (B, K), nats.

        Args:      x: shape (B, *event_shape), whole levels; hidden values are not used. observed: boolean, same shape.
        Raises:    InputError: the model has no classes.
        """
        refuse_without_classes(self)
        assert self.class_network is not None
        logits = self.class_network(self._inputs(x, observed))
        return (logits + self.log_class_probs()).log_softmax(1)

    def class_posterior(self, x: Tensor, k: int = 1) -> Categorical:
        """p(y | x) of the second network, with all pixels observed, batch shape (B,). `k` is not used.

        Raises:    InputError: the model has no classes.
        """
        log_probs = self.log_class_posterior(x, torch.ones_like(x, dtype=torch.bool))
        return Categorical(logits=log_probs, validate_args=False)

    def where_seen(self, seen: Tensor) -> Self:
        """See `RestrictsToSeen`: the missing pixels come last in every order, so their sum is 1.

        Completions leave the missing pixels at 0.
        """
        view = copy.copy(self)
        view.seen = seen
        return view

    def rows_of(self, rows: Tensor | slice) -> Self:
        view = super().rows_of(rows)
        return view if self.seen is None else view.where_seen(self.seen[rows])

    @property
    def present_pixels(self) -> Tensor | None:
        """Which pixels are not missing, shape (B, D); None if this is all."""
        return None if self.seen is None else self.seen.flatten(1)

    def _settled(self, observed: Tensor) -> Tensor:
        """The observed and the missing pixels, which are not predicted, shape (B, D). observed: of the images."""
        flat = observed.flatten(1)
        return flat if self.present_pixels is None else flat | ~self.present_pixels

    @property
    def present(self) -> int | Tensor:
        """The number of pixels of each image that are not missing, shape (B,); D if none are."""
        return self.dimensions if self.present_pixels is None else self.present_pixels.sum(1)

    def _in_parts(self, rows: int) -> Iterator[tuple[Self, slice]]:
        """The model for every few rows of a batch, with its conditions, and which rows they are.

        Raises:    InputError: conditions were given for another number of rows.
        """
        self.conditions(rows)
        for first in range(0, max(rows, 1), ROWS):
            part = slice(first, min(first + ROWS, rows))
            yield self.rows_of(part), part

    def log_probs_hidden(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(x_d | observed pixels) of each pixel d, and 0 for observed and missing ones, shape (B, D), nats."""
        x = x if self.seen is None else x.where(self.seen, 0)
        log_p = self.output.log_prob(self.predict(x, observed), x)
        return torch.where(self._settled(observed), 0, log_p.flatten(1))

    def bound_from(self, x: Tensor, turns: Tensor, shown: Tensor) -> Tensor:
        """D times the mean of log p(x_d | observed) over the hidden pixels, where the first pixels of an order are
        observed. For a random order and a uniform number, it is an unbiased estimate of the ELBO.

        With missing pixels, D is the number of the others in each image.

        Args:      turns: turn of each pixel, shape (B, D). shown: number of observed pixels, 0 to D - 1, shape (B,).
        Returns:   shape (B,), nats.
        """
        observed = (missing_last(turns, self.present_pixels) < shown[:, None]).view(x.shape)
        pixels = self.present
        left = (pixels - shown).clamp_min(1)
        return pixels * self.log_probs_hidden(x, observed).sum(1) / left

    def prior(self) -> UniformOrders:
        return UniformOrders(self.dimensions, device=self.bias.device)

    def posterior(self, x: Tensor) -> UniformOrders:
        """The uniform distribution over orders; batch shape (B,)."""
        return UniformOrders(self.dimensions, (len(x),), x.device)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, order), exact. x: (B, *event_shape), z: orders, (k, B, D); returns (k, B), nats."""
        self._check(x)
        rows = x.expand(len(z), *x.shape).flatten(0, 1)
        condition = self.conditions(len(x))
        model = self if condition is None else self.under(condition.repeat(len(z), 1))
        model = model if self.seen is None else model.where_seen(self.seen.repeat(len(z), *[1] * (x.dim() - 1)))
        seen = torch.zeros_like(rows, dtype=torch.bool)
        log_p = model._log_prob_hidden_fixed(rows, seen, FixedOrder(turns_of(z).flatten(0, 1)))
        return log_p.view(z.shape[:2]) + self.prior().log_prob(z)

    def elbo(self, x: Tensor) -> Tensor:
        """Unbiased estimate of the ELBO from `bound_masks` random masks, with stratified sizes, shape (B,), nats.

        The cost is one evaluation of the network for each mask; `log_weights` needs D evaluations for each order.
        """
        self._check(x)
        return self.bound_in_steps(x, self.dimensions)

    def bound_in_steps(self, x: Tensor, steps: int) -> Tensor:
        """Unbiased estimate of a lower bound on log p(x) under the generation in `steps` parallel steps.

        Each step generates an equal number of pixels of a random order, independently given the earlier steps. The
        same random numbers are used for every number of steps. With D steps, it is the ELBO.

        Returns:   shape (B,), nats.
        Raises:    InputError: `steps` is out of range.
        """
        self._check_steps(steps)
        total = torch.zeros(len(x), dtype=self.bias.dtype, device=x.device)
        if not len(x):
            return total
        pixels = self.present
        each = [pixels] * len(x) if isinstance(pixels, int) else pixels
        sizes = torch.stack([stratified(self.bound_masks, of_image, x.device) for of_image in each])
        for column in sizes.T:
            turns = random_turns(len(x), self.dimensions, x.device)
            shown = _start_of_step(column, steps, self.dimensions)
            parts = [part.bound_from(x[at], turns[at], shown[at]) for part, at in self._in_parts(len(x))]
            total = total + torch.cat(parts)
        return total / self.bound_masks

    def check_order(self, order: str) -> None:
        """Raises:    InputError: no order has this name."""
        order_of(order, self.event_shape, self.output)

    @torch.no_grad()
    def log_prob_in_order(self, x: Tensor, order: str = RASTER) -> Tensor:
        """log p(x | order), exact: D evaluations of the network for each image.

        Args:      order: raster, columns, random:SEED or confidence; see `order_of`.
        Returns:   shape (B,), nats.
        Raises:    InputError: no such order, or values that are not levels.
        """
        return self.log_prob_missing(x, torch.zeros_like(x, dtype=torch.bool), order)

    @torch.no_grad()
    def log_prob_missing(self, x: Tensor, observed: Tensor, order: str = RASTER) -> Tensor:
        """log p(missing | observed), exact for the generation of the missing pixels in an order, shape (B,), nats.

        The network is evaluated once for each missing pixel. Another order defines another conditional distribution.

        Raises:    InputError: as `given_only`, no such order, or values that are not levels.
        """
        given_only(self, x, observed)
        self._check(x)
        rule = self._order(order)
        if isinstance(rule, FixedOrder):
            return self._log_prob_hidden_fixed(x, observed, rule)
        return self._generate(x, observed, rule, x.flatten(1))[1]

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor, order: str = RASTER) -> Tensor:
        """Sample the missing pixels given the observed ones, one after the other in an order.

        Exact samples of the distribution that `log_prob_missing` evaluates.

        Args:      x, observed: shape (B, *event_shape), observed boolean. order: as in `log_prob_in_order`.
        Raises:    InputError: as `given_only`, or no such order.
        """
        given = given_only(self, x, observed)
        rule = self._order(order)
        drawn = [part._generate(given[at], observed[at], rule)[0] for part, at in self._in_parts(len(x))]
        return filled(x, observed, torch.cat(drawn))

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """`n` exact samples of p(x), each in a random order of its own: D evaluations of the network for each."""
        return self.sample_in_steps(n, self.dimensions)

    @torch.no_grad()
    def sample_in_steps(self, n: int, steps: int) -> Tensor:
        """`n` samples in `steps` parallel steps, each an equal number of pixels of a random order.

        With fewer than D steps they are not exact: the pixels of one step are independent given the earlier steps.

        Args:      steps: 1 to D; the number of evaluations of the network for each image.
        Raises:    InputError: `steps` is out of range.
        """
        self._check_steps(steps)
        ends = [0, *(step * self.dimensions // steps for step in range(1, steps + 1))]
        found = []
        for part, rows in self._in_parts(n):
            size = rows.stop - rows.start
            turns = random_turns(size, self.dimensions, self.bias.device)
            x = torch.zeros(size, *self.event_shape, dtype=self.dtype, device=self.bias.device)
            for first, end in pairwise(ends):
                x = torch.where(self._turned(turns, first, end), part._draw_all(x, turns < first), x)
            found.append(x)
        return torch.cat(found)

    def _check_steps(self, steps: int) -> None:
        if not 1 <= steps <= self.dimensions:
            raise InputError(f"steps {steps}: give a whole number from 1 to {self.dimensions}, the number of pixels")

    def _turned(self, turns: Tensor, first: int, end: int) -> Tensor:
        return ((turns >= first) & (turns < end)).view(-1, *self.event_shape)

    def _draw_all(self, x: Tensor, observed: Tensor) -> Tensor:
        """Independent samples of all pixels given the observed ones, shape of x."""
        noise = self.output.noise(torch.rand_like(x))
        return self.output.draw(self.predict(x, observed.view(x.shape)), noise)

    @property
    def reading_order(self) -> Tensor:
        """The pixels in raster order, shape (D,)."""
        return scans(self.event_shape)[0].argsort()

    def conditional(self, x: Tensor, place: int) -> Distribution:
        """p(x_d | the pixels before d) of the pixel d at a place of the raster order, exact, batch shape (B,)."""
        turns = scans(self.event_shape)[0].to(x.device)
        observed, pixel = (turns < place).view(1, *self.event_shape), int(turns.argsort()[place])
        parts = [part.predict(x[at], observed.expand_as(x[at])) for part, at in self._in_parts(len(x))]
        found = [parameters.flatten(1, -2)[:, pixel] for parameters in parts]
        return self.output.distribution(torch.cat(found))

    def _order(self, name: str) -> Order:
        rule = order_of(name, self.event_shape, self.output)
        return FixedOrder(rule.turns.to(self.bias.device)) if isinstance(rule, FixedOrder) else rule

    def _check(self, x: Tensor) -> None:
        if not self.training:
            self.output.check(x if self.seen is None else x.where(self.seen, 0))

    def _log_prob_hidden_fixed(self, x: Tensor, observed: Tensor, order: FixedOrder) -> Tensor:
        """The sum of the conditionals of all hidden pixels, which are evaluated in any sequence, shape (B,)."""
        self.conditions(len(x))  # raises for another number of rows
        hidden = ~self._settled(observed)
        turns = order.turns.expand_as(hidden)
        image, pixel = hidden.nonzero(as_tuple=True)
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        if not len(image):  # nothing is hidden; a tensor without rows is split into one part without rows
            return total.to(x.dtype)
        for some, at in zip(image.split(ROWS), pixel.split(ROWS), strict=True):
            seen = ~hidden[some] | (turns[some] < turns[some, at, None])  # `predict` hides missing ones
            each = torch.arange(len(some), device=x.device)
            parameters = self.rows_of(some).predict(x[some], seen.view(-1, *self.event_shape))
            parameters = parameters.flatten(1, -2)[each, at]
            total = total.index_add(0, some, self.output.log_prob(parameters, x.flatten(1)[some, at]).double())
        return total.to(x.dtype)

    def _generate(
        self, x: Tensor, observed: Tensor, order: Order, values: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Generate the hidden pixels one after the other: the images, and log p(generated | observed), shape (B,).

        Args:      x: the observed pixels. values: of all pixels, shape (B, D), to take instead of samples.
        """
        self.conditions(len(x))  # raises for another number of rows
        x, seen = x.flatten(1).clone(), self._settled(observed).clone()  # `predict` hides missing ones
        total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
        while len(rows := (~seen).any(1).nonzero()[:, 0]):
            given = (values_of[rows].view(-1, *self.event_shape) for values_of in (x, seen))
            parameters = self.rows_of(rows).predict(*given)
            pixel = order.next(flat := parameters.flatten(1, -2), seen[rows])
            chosen = flat[torch.arange(len(rows), device=x.device), pixel]
            if values is None:
                x[rows, pixel] = self.output.draw(chosen, self.output.noise(torch.rand_like(chosen[:, 0])))
            else:
                x[rows, pixel] = values[rows, pixel]
            total[rows] += self.output.log_prob(chosen, x[rows, pixel]).double()
            seen[rows, pixel] = True
        return x.view(-1, *self.event_shape), total.to(x.dtype)


def _start_of_step(shown: Tensor, steps: int, pixels: int) -> Tensor:
    """The number of pixels that are generated before the step that generates the pixel of a turn."""
    step = ((shown + 1) * steps - 1) // pixels
    return step * pixels // steps

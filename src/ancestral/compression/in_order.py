"""Coding pixel after pixel, with the conditionals of a model."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ancestral.compression.code import Code
from ancestral.compression.pixels import Table, table_of
from ancestral.compression.stack import Array, Stack
from ancestral.compression.tables import edges_of
from ancestral.distributions.outputs import PixelOutput
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import HasConditionals
from ancestral.models.orders import HasConditionalAt


class InOrder(Code):
    """Pixel after pixel, all images at once, with the conditionals of an autoregressive model."""

    method = "pixel by pixel, in the model's order"
    chained = False
    model: AutoregressiveModel

    def push(self, stack: Stack, x: Tensor) -> None:
        self.push_under(stack, x, self.model, 0)

    def pop(self, stack: Stack, n: int) -> Tensor:
        return self.pop_under(stack, n, self.model, 0)

    def push_under(self, stack: Stack, x: Tensor, model: AutoregressiveModel, ordering: int) -> None:
        """Push images in one order of a model."""
        kept = []
        for part in x.split(self.together):
            with self.exact():
                parameters = model.predict_under(part, torch.tensor([ordering]))
                table = table_of(model.output.distribution(parameters.flatten(1, -2)), self.levels)
            kept.append(table.keep(part.flatten(1).numpy()))
        kept[0].joined(kept[1:]).push(stack, model.orders[ordering].numpy())

    def pop_under(self, stack: Stack, n: int, model: AutoregressiveModel, ordering: int) -> Tensor:
        """Pop images in one order of a model: its sampler, with the decoder in place of random numbers."""
        output = model.output
        model.output = _Decoding(output, stack, self)  # type: ignore[assignment]
        try:
            with self.exact():
                return model.draw_under(torch.zeros(n, *model.event_shape, dtype=torch.float64), ordering)
        finally:
            model.output = output

    def probe(self, x: Tensor) -> list[Array]:
        with self.exact():
            return [model.predict(x).numpy() for model, _ in self.model.each_class()[:1]]


class _Decoding(PixelOutput):
    """An output whose samples are the next pixels of the stack."""

    def __init__(self, output: PixelOutput, stack: Stack, code: Code) -> None:
        self.output, self.stack, self.code, self.levels = output, stack, code, code.levels
        self.size, self.spaces = output.size, output.spaces

    def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
        self.code.check_stopped()
        table = table_of(self.output.distribution(parameters), self.levels)
        return torch.from_numpy(table.pop(self.stack)).to(parameters.dtype)


class ByOrderAndClass(InOrder):
    """An autoregressive model that averages over J orders, K classes or both: they are a latent with the posterior
    p(class, order | x)."""

    method = "bits-back over the order of the pixels"
    chained = True

    def __init__(self, model: AutoregressiveModel, portable: bool = True) -> None:
        super().__init__(model, portable)
        if self.model.sums_classes:
            self.method = "bits-back over the class" + (" and the order" if len(self.model.orders) > 1 else "")
        with torch.no_grad():  # rounded: the last digits of a logarithm depend on the machine
            known = [(one, round(float(share), 6)) for one, share in self.model.each_class() if share > -torch.inf]
        self.choices = [(one, share, j) for one, share in known for j in range(len(self.model.orders))]

    def push(self, stack: Stack, x: Tensor) -> None:
        chosen = stack.pop(self._edges(x))
        for choice in np.unique(chosen)[::-1]:
            model, _, ordering = self.choices[int(choice)]
            self.push_under(stack, x[chosen == choice], model, ordering)
        stack.push_symbols(chosen, self._prior(len(x)))

    def pop(self, stack: Stack, n: int) -> Tensor:
        chosen = stack.pop(self._prior(n))
        x = torch.empty(n, *self.model.event_shape, dtype=torch.float64)
        for choice in np.unique(chosen):
            rows = chosen == choice
            model, _, ordering = self.choices[int(choice)]
            x[rows] = self.pop_under(stack, int(rows.sum()), model, ordering)
        stack.push_symbols(chosen, self._edges(x))
        return x

    def _edges(self, x: Tensor) -> Array:
        """Tables of p(class, order | x), shape (n, choices + 1)."""
        log_probs = []
        for model, share, ordering in self.choices:
            with self.exact():
                parameters = model.predict_under(x, torch.tensor([ordering]))
                log_probs.append(share + model.output.log_prob(parameters, x).flatten(1).sum(1))
        return edges_of(torch.stack(log_probs, 1).numpy())

    def _prior(self, n: int) -> Array:
        shares = np.array([share for _, share, _ in self.choices])
        return np.broadcast_to(edges_of(shares), (n, len(shares) + 1))


class OneByOne(Code):
    """Pixel after pixel, with an evaluation of the model for each pixel of each image."""

    method = "pixel by pixel, in reading order"
    chained = False

    def push(self, stack: Stack, x: Tensor) -> None:
        order = self._order.tolist()
        for place in reversed(range(len(order))):
            self._table(x, place).push(stack, x.flatten(1)[:, order[place]].numpy())

    def pop(self, stack: Stack, n: int) -> Tensor:
        x = torch.zeros(n, *self.model.event_shape, dtype=torch.float64)
        rows = x.view(n, -1)
        for place, pixel in enumerate(self._order.tolist()):
            rows[:, pixel] = torch.from_numpy(self._table(x, place).pop(stack)).double()
        return x

    @property
    def _order(self) -> Tensor:
        assert isinstance(self.model, HasConditionalAt)
        return self.model.reading_order

    def _table(self, x: Tensor, place: int) -> Table:
        assert isinstance(self.model, HasConditionalAt)
        with self.exact():
            return table_of(self.model.conditional(x, place), self.levels)

    def rehearse(self, x: Tensor) -> None:
        """Nothing: `probe` has the operations of every pixel, and a push is an evaluation for each pixel."""

    def probe(self, x: Tensor) -> list[Array]:
        places = (0, x[0].numel() // 2, x[0].numel() - 1)
        at = self._order[list(places)].tolist()
        return [
            numbers
            for place, pixel in zip(places, at, strict=True)
            for numbers in self._table(x, place).keep(x.flatten(1)[:, pixel].numpy()).numbers()
        ]


class ByConditionals(Code):
    """Pixel after pixel with `conditionals`, in reading order, for a model without a sampler that a decoder can use."""

    method = "pixel by pixel, in reading order"
    chained = False

    def push(self, stack: Stack, x: Tensor) -> None:
        self._table(x).keep(x.numpy()).push(stack, np.arange(x[0].numel()))

    def pop(self, stack: Stack, n: int) -> Tensor:
        x = torch.zeros(n, *self.model.event_shape, dtype=torch.float64)
        rows = x.view(n, -1)
        for d in range(rows.shape[1]):
            rows[:, d] = torch.from_numpy(self._table(x).columns(n, np.array([d])).pop(stack)[0]).double()
        return x

    def _table(self, x: Tensor) -> Table:
        assert isinstance(self.model, HasConditionals)
        with self.exact():
            return table_of(self.model.conditionals(x), self.levels)

    def probe(self, x: Tensor) -> list[Array]:
        return self._table(x).keep(x.numpy()).numbers()

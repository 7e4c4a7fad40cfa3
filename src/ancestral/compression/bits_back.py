"""Bits-back coding over latents: one latent with K states, or latents with an approximate posterior."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ancestral.compression.code import Code
from ancestral.compression.flow_latents import in_base, latents_of
from ancestral.compression.latents import Coding, grid_for, pop, push
from ancestral.compression.pixels import table_of
from ancestral.compression.stack import Array, Stack
from ancestral.compression.tables import edges_of
from ancestral.core.errors import NotComputable
from ancestral.distributions.bijections import FlowDistribution
from ancestral.models.base import HasPixels, HasStates, LatentModel, Model

MOST_STATES = 1 << 14


class ByState(Code):
    """Bits-back coding over one latent with K states, with its exact posterior: an image costs -log p(x)."""

    method = "bits-back with the exact posterior over the states"

    def __init__(self, model: Model, portable: bool = True) -> None:
        super().__init__(model, portable)
        assert isinstance(self.model, HasStates)
        self.states = self.model
        with self.exact():
            log_prior = self.states.log_prior()
        if len(log_prior) > MOST_STATES:
            raise NotComputable(
                f"a latent with {len(log_prior):,} states is too large for a table: at most {MOST_STATES:,}"
            )
        self._prior = edges_of(log_prior.numpy())

    def push(self, stack: Stack, x: Tensor) -> None:
        state = stack.pop(self._posterior(x))
        self._pixels(state).push(stack, x.numpy())
        stack.push_symbols(state, np.broadcast_to(self._prior, (len(x), len(self._prior))))

    def pop(self, stack: Stack, n: int) -> Tensor:
        state = stack.pop(np.broadcast_to(self._prior, (n, len(self._prior))))
        x = torch.from_numpy(self._pixels(state).pop(stack)).double().view(n, *self.model.event_shape)
        stack.push_symbols(state, self._posterior(x))
        return x

    def _posterior(self, x: Tensor) -> Array:
        with self.exact():
            joint = self.states.log_joint_states(x)
        return edges_of(joint.numpy())

    def _pixels(self, state: Array) -> Any:
        with self.exact():
            return table_of(self.states.pixels_of_states(torch.from_numpy(state)), self.levels)

    def probe(self, x: Tensor) -> list[Array]:
        with self.exact():
            return [self.states.log_joint_states(x).numpy()]


class ByLatents(Code):
    """Bits-back coding over latents with an approximate posterior: an image costs its negative ELBO on average."""

    method = "bits-back over the latents"

    def __init__(self, model: Model, portable: bool = True) -> None:
        super().__init__(model, portable)
        assert isinstance(self.model, LatentModel) and isinstance(self.model, HasPixels)
        self.latent = self.model
        with self.exact():
            prior = self.latent.prior()
        self.flow = prior if isinstance(prior, FlowDistribution) else None
        self.prior = prior.base if isinstance(prior, FlowDistribution) else prior
        self.grid = grid_for(self.prior)

    def push(self, stack: Stack, x: Tensor) -> None:
        coding = Coding(stack, self.grid, self.exact)
        z = pop(self._posterior(x, coding), coding, len(x))
        self._pixels(z, coding).push(stack, x.numpy())
        push(self.prior, coding, z)

    def pop(self, stack: Stack, n: int) -> Tensor:
        coding = Coding(stack, self.grid, self.exact)
        z = pop(self.prior, coding, n)
        x = torch.from_numpy(self._pixels(z, coding).pop(stack)).double().view(n, *self.model.event_shape)
        push(self._posterior(x, coding), coding, z)
        return x

    def _posterior(self, x: Tensor, coding: Coding) -> Any:
        with self.exact():
            found = self.latent.posterior(x)
        return found if self.flow is None else in_base(self.flow, found, coding)

    def _pixels(self, z: Tensor, coding: Coding) -> Any:
        z = z if self.flow is None else latents_of(self.flow, z, coding)
        with self.exact():
            distribution = self.latent.pixels(z)  # type: ignore[attr-defined]
            return table_of(distribution, self.levels)

    def probe(self, x: Tensor) -> list[Array]:
        with self.exact():
            drawn = self.latent.posterior(x)
            z = torch.zeros(len(x), *drawn.event_shape, dtype=torch.float64)
            return [self.latent.log_joint(x, z[None]).numpy(), drawn.log_prob(z).numpy()]

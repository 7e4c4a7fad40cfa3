"""Sigmoid belief net with one layer of binary latents: exact likelihood by a sum over all states."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributions import Categorical
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.core.precision import without_autocast
from ancestral.core.random import initial_normal
from ancestral.core.serialization import registered
from ancestral.distributions.pixels import BINARY_SPACES, BernoulliImage, are_levels
from ancestral.families.belief_net.settings import refuse_beyond_exact
from ancestral.models.base import ExactModel, as_images
from ancestral.models.completion import filled, given_only
from ancestral.models.seen import without_unseen

BLOCK = 1 << 17  # numbers computed at once: a few such arrays fit in the L2 cache of a core
HALVINGS = 3  # 2^3 pixels share a logarithm; with more, the time hardly decreases
MOST_MASKED = 14  # latents with which each image may have its own mask
MASKED_STATES = 1 << 12  # states at once
TERMS = 1 << 17  # numbers at once in the sum over states, each of which is read once


@registered
class SigmoidBeliefNet(ExactModel):
    """Sigmoid belief net with M binary latents in one layer.

        p(z) = prod_m Bernoulli(z_m; sigmoid(b_m)),   p(x | z) = prod_d Bernoulli(x_d; sigmoid(c_d + z . w_d))
        log p(x) = x . c + log sum_z exp(log p(z) - A(z) + z . (w x)),   A(z) = sum_d softplus(c_d + z . w_d)

    A does not depend on the image, so a batch costs O(2^M (D + N)) after one matrix product, not O(N M D 2^M).
    The state is split in two parts, z = (u, v). A logit is then the sum of a term of u and a term of v, and its
    exponential is the product of two tabulated numbers (`sum_of_softplus`).

    Args:      event_shape: shape of an image with D pixels. latents: M, at most 20. weight_scale: standard deviation of
               the initial w.
    Raises:    InputError: too many latents to sum over.
    Reference: `uva2018`; Neal, 1992, "Connectionist learning of belief networks".
    Example:
        >>> model = SigmoidBeliefNet([1, 8, 8], latents=5)
        >>> model.log_prob(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    spaces = BINARY_SPACES
    levels = 2
    completion: ClassVar[str] = "exact"
    inference: ClassVar[str] = "exact: posterior marginals p(z_m = 1 | x)"
    latent_kind: ClassVar[str] = "binary"
    encodes_posterior_mean: ClassVar[bool] = True
    u_states: Tensor
    v_states: Tensor

    def __init__(self, event_shape: Sequence[int], latents: int = 8, weight_scale: float = 0.1) -> None:
        super().__init__()
        refuse_beyond_exact((latents,))
        self.event_shape = tuple(event_shape)
        pixels = math.prod(event_shape)
        self.b = nn.Parameter(torch.zeros(latents))
        self.w = nn.Parameter(initial_normal(latents, pixels, scale=weight_scale))
        self.c = nn.Parameter(torch.zeros(pixels))
        last = min(latents, max(latents // 2, int(math.log2(max(1, BLOCK // pixels)))))
        self.register_buffer("u_states", all_states(latents - last), persistent=False)
        self.register_buffer("v_states", all_states(last), persistent=False)

    @property
    def states(self) -> Tensor:
        """All states z, shape (2^M, M); row i is the number i in binary, and z_1 is its highest bit."""
        return all_states(len(self.b)).to(self.b)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact.

        Args:      x: shape (B, *event_shape), zeros and ones.
        Returns:   shape (B,), nats.
        Raises:    InputError: in evaluation mode, pixels that are neither 0 nor 1.
        """
        if not self.training and not are_levels(x, 2):
            raise InputError("a sigmoid belief net needs binary pixels: found values other than 0 and 1")
        return _LogSumOverPairs.apply(*self._joint(x))  # type: ignore[return-value]

    def log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """log p(x where seen), exact, shape (B,), nats: A is a sum over the seen pixels of each image.

        The cost is that of all states and pixels for every image, O(2^M D N), as matrix products over blocks of states.

        Raises:    InputError: more than `MOST_MASKED` latents.
        """
        if len(self.b) > MOST_MASKED:
            raise InputError(f"missing pixels need --latents of at most {MOST_MASKED}, not {len(self.b)}")
        rows, mask = without_unseen(x, seen, self).flatten(1), seen.flatten(1)
        with without_autocast(x.device):
            inputs, parts = rows @ self.w.T, []
            mask, prior = mask.to(rows), -F.softplus(self.b, threshold=40).sum()
            for states in self.states.split(MASKED_STATES):
                logits = states @ self.w + self.c
                joint = (inputs + self.b) @ states.T - mask @ F.softplus(logits, threshold=40).T
                parts.append(joint.logsumexp(1))
            return torch.stack(parts, 1).logsumexp(1) + rows @ self.c + prior

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(missing | observed) = log p(x) - log p(observed), exact, shape (B,), nats."""
        given, log_p_observed = given_only(self, x, observed), []
        rows, seen = _by_mask(observed)
        for images, pixels in zip(rows, seen, strict=True):
            log_p_observed.append(_LogSumOverPairs.apply(*self._joint(given[images], pixels)))
        return self.log_prob(x) - torch.cat(log_p_observed)[torch.cat(rows).argsort()]  # type: ignore[arg-type]

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """Fill in missing pixels with exact draws from p(missing | observed): z ~ p(z | observed), then each pixel.

        The cost is a sum over pixels and states, O(2^M D), for every different mask.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        given = given_only(self, x, observed)
        z = self.b.new_empty(x.shape[0], len(self.b))
        for images, pixels in zip(*_by_mask(observed), strict=True):
            for rows, p in _posteriors(*self._joint(given[images], pixels)):
                state = torch.multinomial(p.flatten(1), 1)[:, 0]
                u, v = state // p.shape[2], state % p.shape[2]
                z[images[rows]] = torch.cat([self.u_states[u], self.v_states[v]], 1).to(z)
        return filled(x, observed, torch.bernoulli(self.decode(z)))

    def posterior(self, x: Tensor) -> Categorical:
        """p(z | x) over all states, in the order of `states`; exact, batch shape (B,)."""
        of_u, of_v, of_both = self._joint(x)
        joint = of_u[:, :, None] + of_v[:, None, :] + of_both
        return Categorical(logits=joint.flatten(1), validate_args=False)

    def log_prior(self) -> Tensor:
        """log p(z) of all states, in the order of `states`, shape (2^M,), nats."""
        return self.states @ self.b - F.softplus(self.b, threshold=40).sum()

    def log_joint_states(self, x: Tensor) -> Tensor:
        """log p(x, z) of all states, shape (B, 2^M), nats; with an array of 2^M D numbers."""
        logits = self.states @ self.w + self.c
        off = F.softplus(logits, threshold=40).sum(1)
        return self.log_prior() + x.flatten(1).to(logits) @ logits.T - off

    def pixels_of_states(self, states: Tensor) -> BernoulliImage:
        """p(x | z) for the number of a state for each image, shape (B,)."""
        logits = self.states[states] @ self.w + self.c
        return BernoulliImage(as_images(logits, self.event_shape), len(self.event_shape))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Posterior means E[z_m | x], exact, shape (B, M)."""
        means = [
            torch.cat([p.sum(2) @ self.u_states, p.sum(1) @ self.v_states], 1) for _, p in _posteriors(*self._joint(x))
        ]
        return torch.cat(means)

    def decode(self, z: Tensor) -> Tensor:
        """E[x | z]. z: (B, M), zeros and ones or probabilities; returns (B, *event_shape)."""
        return as_images((z @ self.w + self.c).sigmoid(), self.event_shape)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Ancestral sampling: z ~ p(z), then x ~ p(x | z)."""
        return torch.bernoulli(self.sample_mean(n))

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self.decode(torch.bernoulli(self.b.sigmoid().expand(n, -1)))

    def _joint(self, x: Tensor, pixels: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x, u, v) as the sum of three terms: of x and u (B, U), of x and v (B, V), of u and v (U, V).

        Args:      pixels: indices of the pixels in x; the others are summed out. None means all pixels.
        """
        split = self.u_states.shape[1]
        with without_autocast(x.device):  # half precision would cause errors of several nats in A
            x, w, c = x.flatten(1).to(self.c), self.w, self.c
            if pixels is not None:
                x, w, c = x[:, pixels], w[:, pixels], c[pixels]
            input_u, input_v = (x @ w.T + self.b).tensor_split([split], 1)
            table = sum_of_softplus(self.u_states @ w[:split] + c, self.v_states @ w[split:])
            return (
                input_u @ self.u_states.T + (x @ c)[:, None],
                input_v @ self.v_states.T,
                -table - F.softplus(self.b, threshold=40).sum(),
            )


def _by_mask(observed: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For every different mask, the indices of its images and the indices of its observed pixels."""
    masks, which = observed.flatten(1).unique(dim=0, return_inverse=True)
    return [(which == i).nonzero()[:, 0] for i in range(len(masks))], [mask.nonzero()[:, 0] for mask in masks]


def all_states(bits: int) -> Tensor:
    """All vectors of zeros and ones, shape (2^bits, bits); row i is the number i in binary, highest bit first."""
    states = torch.empty(1 << bits, bits)
    if not states.is_meta:  # arithmetic on this device makes torch import its compiler
        states.copy_(torch.arange(1 << bits)[:, None] >> torch.arange(bits - 1, -1, -1) & 1)
    return states


def sum_of_softplus(a: Tensor, b: Tensor) -> Tensor:
    """A_uv = sum_d softplus(a_ud + b_vd) for all pairs, shape (U, V), without an array of shape (U, V, D).

    e^(a + b) = e^a e^b is computed from tables, so a pair needs one multiply-add per pixel and one logarithm per group
    of pixels: log(1 + s) + log(1 + t) = log((1 + s)(1 + t)). Groups are small enough that products do not overflow.

    Args:      a: shape (U, D). b: shape (V, D); V D numbers should fit in the cache.
    """
    if not a.shape[1]:
        return a.new_zeros(len(a), len(b))
    if torch.compiler.is_exporting():  # the fast way depends on values, which are unknown while a program is traced
        return torch.stack([F.softplus(row + b, threshold=40).sum(1) for row in a])
    return _SumOfSoftplus.apply(a, b)  # type: ignore[return-value]


class _SumOfSoftplus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        safe = _safe_pixels(a, b)
        ctx.all_safe = bool(safe.all())
        table = _log_products(a[:, safe], b[:, safe])
        if not ctx.all_safe:
            unsafe_b = b[:, ~safe]
            for row, unsafe_a in zip(table, a[:, ~safe], strict=True):
                row += F.softplus(unsafe_b + unsafe_a, threshold=40).sum(1)
        return table

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """sum_v G_uv sigma_uvd and sum_u G_uv sigma_uvd, with sigma = 1 / (1 + e^-a e^-b)."""
        (a, b), (table_gradient,) = ctx.saved_tensors, gradients
        a_gradient, b_gradient = torch.empty_like(a), torch.zeros_like(b)
        exp_a, exp_b = _factors(-a, -b)
        sigma, one = torch.empty_like(b), a.new_ones(())
        for u, weights in enumerate(table_gradient):
            if ctx.all_safe:
                torch.addcmul(one, exp_b, exp_a[u], out=sigma).reciprocal_()
            else:
                torch.add(b, a[u], out=sigma).sigmoid_()
            torch.mv(sigma.T, weights, out=a_gradient[u])
            b_gradient.addcmul_(sigma, weights[:, None])
        return a_gradient, b_gradient


def _safe_pixels(a: Tensor, b: Tensor) -> Tensor:
    """Pixels for which e^a e^b is accurate, boolean, shape (D,).

    For these, no e^(a + b) overflows, and a factor of `_factors` underflows only if the product is negligible beside 1.
    """
    largest = math.log(torch.finfo(a.dtype).max)
    swing = (a.amax(0) - a.amin(0)) / 2
    reach = torch.maximum(a.amax(0) + b.amax(0), -a.amin(0) - b.amin(0))
    return (swing < 0.4 * largest) & (reach < 0.9 * largest)


def _factors(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """e^(a - m) and e^(b + m); m is chosen for each pixel so that the first is around 1."""
    middle = (a.amax(0) + a.amin(0)) / 2
    return (a - middle).exp_(), (b + middle).exp_()


def _log_products(a: Tensor, b: Tensor) -> Tensor:
    """As `sum_of_softplus`, for the pixels that `_safe_pixels` selects."""
    exp_a, exp_b = _factors(a, b)
    largest = math.log(torch.finfo(a.dtype).max) - 1
    # the largest log(1 + s) of each pixel, then of each group of pixels while the groups double
    heights = F.softplus(a.amax(0) + b.amax(0), threshold=40)
    widths = []
    while len(widths) < HALVINGS and (half := (len(heights) + 1) // 2) < len(heights):
        heights = F.pad(heights, (0, 2 * half - len(heights)))
        heights = heights[:half] + heights[half:]
        if not bool(heights.max() < largest):
            break
        widths.append(half)
    factors, one = torch.empty_like(b), a.new_ones(())
    table = a.new_empty(len(a), len(b))
    for u, row in enumerate(table):
        product = torch.addcmul(one, exp_b, exp_a[u], out=factors)
        for half in widths:
            product[:, : product.shape[1] - half].mul_(product[:, half:])
            product = product[:, :half]
        torch.sum(product.log(), 1, out=row)
    return table


class _LogSumOverPairs(torch.autograd.Function):
    """log sum_uv exp(r_nu + s_nv + t_uv), shape (B,), without an array of shape (B, U, V) for all images."""

    @staticmethod
    def forward(ctx: Any, of_u: Tensor, of_v: Tensor, of_both: Tensor) -> Tensor:
        ctx.save_for_backward(of_u, of_v, of_both)
        return torch.cat([_log_sum_exp(joint.flatten(1)) for _, joint in _joints(of_u, of_v, of_both)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        of_u, of_v, of_both = ctx.saved_tensors
        (weights,) = gradients
        u_gradient, v_gradient = torch.empty_like(of_u), torch.empty_like(of_v)
        both_gradient = torch.zeros_like(of_both)
        for rows, p in _posteriors(of_u, of_v, of_both):
            torch.sum(p, 2, out=u_gradient[rows])
            torch.sum(p, 1, out=v_gradient[rows])
            both_gradient.view(-1).addmv_(p.flatten(1).T, weights[rows])
        return u_gradient * weights[:, None], v_gradient * weights[:, None], both_gradient


def _log_sum_exp(joint: Tensor) -> Tensor:
    """As `logsumexp(1)`, which takes six times as long if exponentials are subnormal.

    Each term is at least e^-80 times the largest; 2^20 such terms are still negligible in double precision.
    """
    largest = joint.amax(1, keepdim=True)
    return joint.sub_(largest).clamp_min_(-80).exp_().sum(1).log_().add_(largest[:, 0])


def _joints(of_u: Tensor, of_v: Tensor, of_both: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices of a few images, each with log p(x, u, v), shape (rows, U, V)."""
    if torch.compiler.is_exporting():  # the number of images is unknown while a program is traced
        yield slice(None), of_u[:, :, None] + of_both + of_v[:, None, :]
        return
    at_once = max(1, TERMS // of_both.numel())
    for first in range(0, len(of_u), at_once):
        rows = slice(first, first + at_once)
        yield rows, (of_u[rows, :, None] + of_both).add_(of_v[rows, None, :])


def _posteriors(of_u: Tensor, of_v: Tensor, of_both: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Slices of a few images, each with p(u, v | x), shape (rows, U, V)."""
    for rows, joint in _joints(of_u, of_v, of_both):
        yield rows, joint.flatten(1).softmax(1).view_as(joint)

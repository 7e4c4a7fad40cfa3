"""Annealed importance sampling: lower and upper bounds on log p(x) of a decoder.

The path goes from a density p_0 that can be sampled, the encoder's q(z | x) or the prior, to the posterior, through

    f_b(z) = p_0(z)^(1 - b) p(x, z)^b,      0 = b_0 < b_1 < ... < b_T = 1.

Forward chains start at z_0 ~ p_0. A transition that leaves f_(b_t) invariant maps z_(t-1) to z_t:

    log w = sum_t (b_t - b_(t-1)) [log p(x, z_(t-1)) - log p_0(z_(t-1))],   E[w] = p(x),

so for C chains E[log mean_c w_c] <= log p(x).

A backward chain starts at an exact sample z* of the posterior. Such a sample is known if the model sampled (z*, x). The
chain uses the same transitions in the opposite order: E[1 / w*] = 1 / p(x). With C forward chains and one backward
chain

    E[log (w* + w_1 + ... + w_C) / (C + 1)] >= log p(x).

Let R be the distribution of C + 1 chains of which one, at a random position, runs backward, and F that of C + 1 forward
chains. Then dR / dF = mean_c w_c / p(x), so the left side minus log p(x) is KL(R || F). More chains make both bounds
tighter. The mean over several backward chains is not a bound of this kind, because all of them start at the same z*.

Transitions are Hamiltonian, with a Metropolis correction. A preliminary run tunes the step sizes for each image and
temperature; then they are fixed. It has its own random numbers and does not use z*, so the step sizes are independent
of the chains. The weights are unbiased for any step sizes: bad ones make the bounds loose, but not wrong.

Reference: Neal, 2001, arXiv physics/9803008; Grosse, Ghahramani and Adams, 2015, arXiv 1511.02543 (bidirectional);
           Wu et al., 2017, arXiv 1611.04273 (decoders); Brekelmans et al., 2022, arXiv 2303.06992 (many chains).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.maths import log_mean_exp
from ancestral.core.text import with_article
from ancestral.data.pixels import PixelBatches
from ancestral.evaluation.likelihood import Progress, per_image
from ancestral.models.base import ExactModel, LatentModel, Model
from ancestral.models.hamiltonian import leapfrog

ROWS = 1000  # latent rows per batch; more do not fit into the cache
SHARPNESS = 4.0  # of the sigmoid that spaces temperatures: closer at both ends, where the target changes fastest
ACCEPTANCE = 0.7  # target rate; a rate of 0.9, with steps half as large, doubled the gap
FIRST_SIZE, GAIN, WARMING = 0.5, 0.3, 5  # of the tuning: initial size, speed, sweeps before the first temperature
TUNERS = 4  # chains of the preliminary run
WIDTH_DRAWS = 500


@dataclass(frozen=True)
class Annealing:
    """Settings of the annealing. The cost is about `temperatures * leapfrogs * (chains + 5)` decoder gradients per
    image.

    Args:      temperatures: T. With T = 1 there are no transitions, and the lower bound is plain importance sampling.
               chains: C, number of forward chains per image. leapfrogs: steps of a trajectory. start: p_0.
    Raises:    InputError: a number is below 1.
    """

    temperatures: int = 300
    chains: int = 8
    leapfrogs: int = 3
    start: Literal["encoder", "prior"] = "encoder"

    def __post_init__(self) -> None:
        for name in ("temperatures", "chains", "leapfrogs"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name} {getattr(self, name)}: give a whole number of at least 1")

    @property
    def ladder(self) -> list[float]:
        """The temperatures b_0 = 0, ..., b_T = 1, evenly spaced on a sigmoid."""
        raw = torch.linspace(-SHARPNESS, SHARPNESS, self.temperatures + 1, dtype=torch.float64).sigmoid()
        return ((raw - raw[0]) / (raw[-1] - raw[0])).tolist()

    def moves(self, backward: bool = False) -> int:
        """Number of transitions per image, as counted by `progress`."""
        return (3 if backward else 2) * (self.temperatures - 1)


class Annealed(NamedTuple):
    """Results for each image, shape (N,), float64.

    lower: log of an unbiased estimate of p(x), in expectation a lower bound, nats. upper: in expectation an upper bound
    on log p(x), nats; None if z* is not known. acceptance: mean acceptance rate.
    """

    lower: Tensor
    upper: Tensor | None
    acceptance: Tensor


def ais(
    model: Model,
    images: PixelBatches,
    plan: Annealing | None = None,
    latents: Tensor | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Annealed:
    """A lower bound on log p(x) of each image, and an upper bound for images that the model sampled.

    Args:      model: its latents are real vectors. latents: z* of the joint samples (z*, x) ~ p(x, z) of the images,
               shape (N, M); None for other images, whose z* is unknown. progress: counts `plan.moves` per image.
    Raises:    NotComputable: as `refuse_to_anneal`.
    """
    plan = plan or Annealing()
    behind = None if latents is None else iter(latents.split(block_of(plan)))

    def value(x: Tensor) -> Tensor:
        annealer = Annealer(refuse_to_anneal(model, x), x, plan, progress)
        sizes = annealer.tuned()
        log_w, acceptance = annealer.forward(sizes)
        columns = [log_mean_exp(log_w, 0), acceptance.double()]
        if behind is not None:
            log_w_star = annealer.backward(next(behind).to(x)[None], sizes)[0]
            columns.append(log_mean_exp(torch.cat([log_w, log_w_star]), 0))
        return torch.stack(columns, 1)

    columns = per_image(model, images, block_of(plan), value, seed, None)  # (N, 2) or (N, 3)
    return Annealed(columns[:, 0], None if latents is None else columns[:, 2], columns[:, 1])


def block_of(plan: Annealing) -> int:
    """Number of images per batch."""
    return max(1, ROWS // plan.chains)


def refuse_to_anneal(model: Model, x: Tensor) -> LatentModel:
    """The model, if annealing can bound its log p(x).

    Args:      x: some images, shape (B, *event_shape).
    Raises:    NotComputable: the model has no likelihood, an exact likelihood, no prior, classes of which none is
               given, or latents that are not real vectors.
    """
    name = type(model).__name__
    if isinstance(model, ExactModel):
        raise NotComputable(f"log p(x) of {with_article(name)} is exact: no bracket needed")
    if not isinstance(model, LatentModel):
        model.log_prob(x)  # type: ignore[operator]  # raises, with the reason
        raise NotComputable(f"{with_article(name)} has no likelihood")
    try:
        model.prior()
    except NotComputable as error:
        raise NotComputable(f"no bracket for {with_article(name)}: {error}") from error
    if getattr(model, "sums_classes", False):
        raise NotComputable(
            f"no bracket for {with_article(name)} with classes: annealing needs gradients of log p(x, z) in z, "
            "but the class is discrete; use `ancestral evaluate --samples` for a lower bound, or "
            "`ancestral.evaluation.ais` with model.given(label)"
        )
    q = model.posterior(x)
    if not q.has_rsample or len(q.event_shape) != 1:
        raise NotComputable(
            f"no bracket for {with_article(name)}: annealing needs gradients of log p(x, z) in z, "
            "but its latents are discrete; use `ancestral evaluate --samples` for a lower bound"
        )
    return model


class State(NamedTuple):
    """Latents z, shape (C, B, M), with log p_0(z) and log p(x, z), shape (C, B), and their gradients in z."""

    z: Tensor
    log_start: Tensor
    log_joint: Tensor
    start_slope: Tensor
    joint_slope: Tensor

    def log_density(self, b: float) -> Tensor:
        """log f_b(z), shape (C, B), nats, up to a constant."""
        return (1 - b) * self.log_start + b * self.log_joint

    def slope(self, b: float) -> Tensor:
        """Gradient of log f_b at z, shape (C, B, M). A change of temperature needs no pass through the decoder."""
        return (1 - b) * self.start_slope + b * self.joint_slope


class Annealer:
    """Moves the chains of a batch of images along the path, as one tensor.

    Args:      model: its latents are real vectors. x: shape (B, *event_shape). plan: settings of the annealing.
    """

    def __init__(self, model: LatentModel, x: Tensor, plan: Annealing, progress: Progress | None = None) -> None:
        self.model, self.x, self.plan, self.progress = model, x, plan, progress
        self.q, self.prior = model.posterior(x), model.prior()
        self.start: Distribution = self.q if plan.start == "encoder" else self.prior

    def draw(self, chains: int) -> Tensor:
        """z ~ p_0 for each image, shape (chains, B, M)."""
        if self.start is self.q:
            return self.q.rsample(torch.Size((chains,)))
        return self.prior.sample(torch.Size((chains, len(self.x))))

    def at(self, z: Tensor) -> State:
        """Densities and gradients at z: one forward and one backward pass through the decoder."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_start, log_joint = self.start.log_prob(z), self.model.log_joint(self.x, z)
            (start_slope,) = torch.autograd.grad(log_start.sum(), z)
            (joint_slope,) = torch.autograd.grad(log_joint.sum(), z)
        return State(z.detach(), log_start.detach(), log_joint.detach(), start_slope, joint_slope)

    @cached_property
    def _precisions(self) -> tuple[Tensor, Tensor]:
        """1 / variance of each latent under p_0 and under q, shape (B, M)."""
        at_start = self.draw(WIDTH_DRAWS).var(0).reciprocal()
        return at_start, self.q.rsample(torch.Size((WIDTH_DRAWS,))).var(0).reciprocal()

    def widths(self, b: float) -> Tensor:
        """Approximate standard deviation of f_b in each latent, shape (B, M). It is the unit of the step sizes.

        Exact if p_0 and q are normal and q is the posterior.
        """
        at_start, at_end = self._precisions
        return torch.lerp(at_start, at_end, b).rsqrt()

    def leapfrog(self, state: State, momentum: Tensor, b: float, stride: Tensor) -> tuple[State, Tensor]:
        """A leapfrog trajectory for log f_b with step size `stride`, shape (B, M)."""
        return leapfrog(state, momentum, stride, self.plan.leapfrogs, self.at, lambda one: one.slope(b))

    def move(self, state: State, b: float, size: Tensor) -> tuple[State, Tensor]:
        """One Hamiltonian transition, reversible with respect to f_b, and its acceptance probabilities, shape (C, B).

        Args:      size: step size in units of `widths`, shape (B,).
        """
        momentum = torch.randn_like(state.z)
        proposed, after = self.leapfrog(state, momentum, b, size[:, None] * self.widths(b))
        gain = proposed.log_density(b) - state.log_density(b)
        gain = gain + 0.5 * (momentum.square() - after.square()).sum(-1)
        accepted = torch.rand_like(gain).log() < gain  # a trajectory that diverged to NaN is rejected

        def chosen(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(accepted if new.dim() == 2 else accepted[..., None], new, old)

        return State(*map(chosen, proposed, state)), gain.clamp(max=0).exp().nan_to_num(0)

    def tuned(self) -> list[Tensor]:
        """Step sizes for b_1, ..., b_(T-1), each of shape (B,), from a preliminary run whose samples are discarded.

        log e_(t+1) = log e_t + GAIN (mean acceptance at b_t - ACCEPTANCE)
        """
        inner = self.plan.ladder[1:-1]
        if not inner:
            return []
        state = self.at(self.draw(TUNERS))
        size = torch.full_like(state.log_joint[0], FIRST_SIZE)
        sizes: list[Tensor] = []
        for b in [inner[0]] * WARMING + inner:
            state, acceptance = self.move(state, b, size)
            size = size * (GAIN * (acceptance.mean(0) - ACCEPTANCE)).exp()
            sizes.append(size)
            if self.progress and len(sizes) > WARMING:
                self.progress(len(self.x))
        return sizes[WARMING:]

    def forward(self, sizes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """log w of chains from p_0 to the posterior, shape (C, B), float64, nats, and acceptance rates (B,)."""
        return self._along(self.draw(self.plan.chains), self.plan.ladder, sizes)

    def backward(self, z: Tensor, sizes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """log w of chains from samples z of the posterior, shape (C, B, M), back to p_0."""
        return self._along(z, self.plan.ladder[::-1], sizes[::-1])

    def _along(self, z: Tensor, ladder: Sequence[float], sizes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        state = self.at(z)
        log_w, rates = state.log_joint.double() * 0, torch.zeros_like(state.log_joint[0])
        for t, (b, following) in enumerate(pairwise(ladder)):
            log_w = log_w + abs(following - b) * (state.log_joint - state.log_start).double()
            if t < len(sizes):  # the end of the path adds no weight, so no transition is needed
                state, acceptance = self.move(state, following, sizes[t])
                rates = rates + acceptance.mean(0) / len(sizes)
                if self.progress:
                    self.progress(len(self.x))
        return log_w, rates

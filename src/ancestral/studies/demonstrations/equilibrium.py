"""The GAN game in one dimension with the optimal critic: its value, and the gradients of the generator losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import logsigmoid

from ancestral.families.gan.step import LOSSES
from ancestral.families.gan.vanishing_gradient import COMPARED
from ancestral.figures.curves import small_multiples
from ancestral.figures.series import Curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure


DISTANCES = tuple(0.25 * i for i in range(41))
TAIL, SPACING = 12.0, 0.01  # of the quadrature, in standard deviations; its error is below rounding errors


@dataclass(frozen=True)
class Game:
    """The game between data N(0, 1) and samples N(m, 1) with the optimal critic; lists by distance m.

    Args:      values: E log D(x) + E log(1 - D(G(z))), nats. divergences: Jensen-Shannon, nats.
               real_prob, fake_prob: mean of D on data and on samples. gradients: derivative of each generator loss
               with respect to m.
    """

    distances: list[float]
    values: list[float]
    divergences: list[float]
    real_prob: list[float]
    fake_prob: list[float]
    gradients: dict[str, list[float]]


def equilibrium(distances: Sequence[float] = DISTANCES, scale: float = 1.0, shift: float = 0.0) -> Game:
    """The game with a critic whose score is scale (log p - log q) + shift; scale 1 and shift 0 are optimal.

        max_D E_p log D + E_q log(1 - D)   is reached at   D = p / (p + q),   where it is -2 log 2 + 2 JS(p, q)

    So if samples are distributed as the data, D = 1/2 everywhere and the value is -2 log 2 = -1.386, its minimum.

    Args:      distances: values of m. scale, shift: of the critic's score.
    Reference: Goodfellow et al., 2014, proposition 1 and theorem 1, arXiv 1406.2661.
    """
    game = Game(list(map(float, distances)), [], [], [], [], {name: [] for name in COMPARED})
    for distance in game.distances:
        p, q = Normal(0.0, 1.0), Normal(distance, 1.0)
        x = torch.arange(-TAIL, TAIL + distance, SPACING, dtype=torch.float64)
        log_p, log_q = p.log_prob(x), q.log_prob(x)
        on_data, on_draws = log_p.exp() * SPACING, log_q.exp() * SPACING  # weights of the quadrature

        def score(x: Tensor, p: Normal = p, q: Normal = q) -> Tensor:
            return scale * (p.log_prob(x) - q.log_prob(x)) + shift

        s = score(x)
        log_middle = torch.logaddexp(log_p, log_q) - math.log(2)
        game.values.append((on_data @ logsigmoid(s) + on_draws @ logsigmoid(-s)).item())
        game.divergences.append(((on_data @ (log_p - log_middle) + on_draws @ (log_q - log_middle)) / 2).item())
        game.real_prob.append((on_data @ s.sigmoid()).item())
        game.fake_prob.append((on_draws @ s.sigmoid()).item())
        for name in COMPARED:
            moved = x.clone().requires_grad_()  # samples move with m; the critic is fixed
            (gradient,) = torch.autograd.grad(on_draws @ LOSSES[name].generator(score(moved)), moved)
            game.gradients[name].append(gradient.sum().item())
    return game


def equilibrium_figure(game: Game) -> Figure:
    """Value of the game and gradients of both losses, against the distance of the samples from the data."""
    away = [i for i, distance in enumerate(game.distances) if distance > 0]  # at 0 both gradients vanish
    ends = [game.distances[0], game.distances[-1]]
    far = [game.distances[i] for i in away]
    return small_multiples(
        [
            (
                "value of the game, nats",
                [
                    Curve("value", game.distances, game.values),
                    Curve("-2 log 2", ends, [-2 * math.log(2)] * 2, style="dashed"),
                ],
            ),
            (
                "log10 gradient of the generator",
                [Curve(name, far, [math.log10(game.gradients[name][i]) for i in away]) for name in COMPARED],
            ),
        ],
        xlabel="distance of samples from data, standard deviations",
        ylim=None,
    )

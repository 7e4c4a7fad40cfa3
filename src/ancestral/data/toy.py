"""Two-dimensional densities for models of points, with samples, exact log-probability and entropy.

All densities can be computed, so the best possible score is known: it is minus the entropy of the density.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ancestral.core.errors import refusal
from ancestral.core.maths import bits_per_dimension
from ancestral.core.random import seed_for
from ancestral.data.datasets import DatasetStatus, Split
from ancestral.data.readers import PART_NAMES

TRAIN_SIZE, VALID_SIZE = 10_000, 2_000
TEST_SIZE = 50_000  # the standard error of a score is then about 0.003 bits per dimension
TEST_SEED = 0  # the test points are the same for all runs, so that scores are comparable
EXTENT = 6.0  # the mass outside of this square is too small to change the entropy
SPACING = 0.05  # of the quadrature; the narrowest noise is 0.08, so the error is below rounding
ROWS = 4096  # points per block


class Density:
    """A density p(x) for x in the plane."""

    def points(self, u: Tensor) -> Tensor:
        """Samples from uniform numbers. u: (n, 4), float64 in (0, 1); returns (n, 2)."""
        raise NotImplementedError

    def _log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """`n` samples, shape (n, 2), float32: a pure function of the seed, on every machine."""
        # NumPy guarantees that the raw stream of PCG64 never changes; torch guarantees this for no generator
        raw = np.random.PCG64(seed).random_raw(4 * n) >> np.uint64(11)
        u = (torch.from_numpy(raw.astype(np.int64)).double() + 0.5) * 2.0**-53
        return self.points(u.unflatten(0, (n, 4))).float()

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact. x: (n, 2); returns (n,), float64, nats."""
        return torch.cat([self._log_prob(rows) for rows in x.double().split(ROWS)])

    @cached_property
    def entropy(self) -> float:
        """-E[log p(x)], nats, by the midpoint rule. The expected score of a model is at most minus this value."""
        axis = torch.arange(-EXTENT + SPACING / 2, EXTENT, SPACING, dtype=torch.float64)
        log_p = self.log_prob(torch.cartesian_prod(axis, axis))
        return -(log_p.exp() * log_p.clamp_min(-1e3)).sum().item() * SPACING**2


class TwoGaussians(Density):
    """1/2 N(x; (1, 1), 0.3^2 I) + 1/2 N(x; (-1, -1), 0.3^2 I).

    Reference: `uva2020`, part 3.
    """

    noise = 0.3

    def points(self, u: Tensor) -> Tensor:
        return torch.where(u[:, :1] < 0.5, 1.0, -1.0) + self.noise * _normals(u)

    def _log_prob(self, x: Tensor) -> Tensor:
        centres = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=x.dtype)
        return _log_mean_kernel(x, centres, self.noise)


class Ribbon(Density):
    """Gaussian noise around a curve c, p(x) = integral over 0 < t < 1 of w(t) N(x; c(t), noise^2 I), twice.

    Half of the mass is around the curve, half around its partner. The integral is a Gauss-Legendre sum. The distance of
    its nodes is smaller than the noise, so the error is below 1e-9 nats wherever there is mass.

    Args:      curve: maps t, shape (n,), to points (n, 2). partner: maps points of the curve to the second curve.
               noise: standard deviation. nodes: number of nodes of the sum, for each curve.
               power: t = u^(1/power) for uniform u, so that w(t) = power t^(power - 1).
    """

    def __init__(
        self,
        curve: Callable[[Tensor], Tensor],
        partner: Callable[[Tensor], Tensor],
        noise: float,
        nodes: int,
        power: int = 1,
    ) -> None:
        self.curve, self.partner, self.noise, self.nodes, self.power = curve, partner, noise, nodes, power

    def points(self, u: Tensor) -> Tensor:
        c = self.curve(u[:, 1] ** (1 / self.power))
        return torch.where(u[:, :1] < 0.5, c, self.partner(c)) + self.noise * _normals(u)

    def _log_prob(self, x: Tensor) -> Tensor:
        places, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(self.nodes))
        t = (places + 1) / 2
        w = weights / 2 * self.power * t ** (self.power - 1)
        c = self.curve(t)
        both, log_weights = torch.cat([c, self.partner(c)]), (w / 2).log().repeat(2)
        return _log_mean_kernel(x, both, self.noise, log_weights)


class Rings(Density):
    """Gaussian noise around four circles with equal probability.

        p(x) = mean over R of exp(-(r - R)^2 / 2 s^2) I0e(r R / s^2) / (2 pi s^2),    r = |x|

    I0e is the exponentially scaled Bessel function, from the integral over the circle.
    """

    noise = 0.08
    radii = (0.75, 1.5, 2.25, 3.0)

    def points(self, u: Tensor) -> Tensor:
        radius = torch.tensor(self.radii, dtype=u.dtype)[(u[:, 0] * len(self.radii)).long()]
        return radius[:, None] * _direction(2 * math.pi * u[:, 1]) + self.noise * _normals(u)

    def _log_prob(self, x: Tensor) -> Tensor:
        r = x.norm(dim=1, keepdim=True)
        radii, variance = torch.tensor(self.radii, dtype=x.dtype), self.noise**2
        log_parts = torch.special.i0e(r * radii / variance).log() - (r - radii).square() / (2 * variance)
        return log_parts.logsumexp(1) - math.log(2 * math.pi * variance * len(self.radii))


class Pinwheel(Density):
    """Five long Gaussians around the origin, each point rotated about it by an angle that increases with its radius.

    The rotation preserves areas, so the density is that of the mixture at the point before the rotation.

    Deviation: usually the angle depends on the coordinate along the arm; this map is not invertible, so the density has
               no closed form. With the radius, the samples look the same.
    Reference: Johnson et al., 2016, arXiv 1603.06277.
    """

    arms = 5
    centre, along, across = 2.0, 0.6, 0.2
    rate = 0.25

    def points(self, u: Tensor) -> Tensor:
        n = _normals(u)
        arm = torch.stack([self.centre + self.along * n[:, 0], self.across * n[:, 1]], 1)
        k = (u[:, 0] * self.arms).floor()
        return _turned(arm, 2 * math.pi / self.arms * k + self._twist(arm))

    def _log_prob(self, x: Tensor) -> Tensor:
        parts = []
        for k in range(self.arms):
            along, across = _turned(x, -2 * math.pi / self.arms * k - self._twist(x)).unbind(1)
            parts.append(((along - self.centre) / self.along).square() + (across / self.across).square())
        log_kernels = torch.stack(parts, 1) / -2
        return log_kernels.logsumexp(1) - math.log(2 * math.pi * self.along * self.across * self.arms)

    def _twist(self, x: Tensor) -> Tensor:
        return self.rate * (x.norm(dim=1) / 2).exp()


class Checkerboard(Density):
    """Uniform on every second square of a 4x4 board; squares have side 2."""

    def points(self, u: Tensor) -> Tensor:
        row = (u[:, 1] * 4).floor()
        column = 2 * (u[:, 0] * 2).floor() + row % 2
        # float32 represents this grid exactly, so no point is rounded out of its square
        within = ((u[:, 2:] * 2**20).floor() + 0.5) / 2**20
        return 2 * (torch.stack([column, row], 1) - 2 + within)

    def _log_prob(self, x: Tensor) -> Tensor:
        black = ((x / 2).floor().sum(1) % 2 == 0) & (x.abs() < 4).all(1)
        return torch.where(black, -math.log(32), torch.full_like(x[:, 0], -math.inf))


def _normals(u: Tensor) -> Tensor:
    """Two independent standard normal numbers from the last two uniform ones of each row (Box and Muller, 1958)."""
    return (-2 * u[:, 2:3].log()).sqrt() * _direction(2 * math.pi * u[:, 3])


def _direction(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


def _turned(x: Tensor, angle: Tensor) -> Tensor:
    """Each row, rotated about the origin by its angle."""
    (first, second), (cos, sin) = x.unbind(1), _direction(angle).unbind(1)
    return torch.stack([cos * first - sin * second, sin * first + cos * second], 1)


def _log_mean_kernel(x: Tensor, nodes: Tensor, noise: float, log_weights: Tensor | None = None) -> Tensor:
    """log sum_j w_j N(x; node_j, noise^2 I). Default: equal weights."""
    if log_weights is None:
        log_weights = torch.full_like(nodes[:, 0], -math.log(len(nodes)))
    # |x - node|^2 is expanded: one matrix product and one addition for each pair
    log_parts = torch.addmm(log_weights - nodes.square().sum(1) / (2 * noise**2), x, nodes.T, alpha=noise**-2)
    return log_parts.logsumexp(1) - x.square().sum(1) / (2 * noise**2) - math.log(2 * math.pi * noise**2)


def _half_circle(t: Tensor) -> Tensor:
    return 2 * _direction(math.pi * t) - torch.tensor([1.0, 0.5], dtype=t.dtype)


def _spiral(t: Tensor) -> Tensor:
    angle = 3 * math.pi * t
    return angle[:, None] / 3 * _direction(math.pi - angle)


# moons and spirals are point-symmetric: the second curve is the first, rotated by 180 degrees
DENSITIES: dict[str, Density] = {
    "two-gaussians": TwoGaussians(),
    "moons": Ribbon(_half_circle, torch.neg, noise=0.2, nodes=80),
    "rings": Rings(),
    "pinwheel": Pinwheel(),
    "spirals": Ribbon(_spiral, torch.neg, noise=0.1, nodes=400, power=2),
    "checkerboard": Checkerboard(),
}


def density_of(name: str) -> Density:
    """The density with this name.

    Raises:    InputError: an unknown name.
    Example:
        >>> round(density_of("two-gaussians").entropy / (2 * math.log(2)), 3)
        0.81
    """
    if name not in DENSITIES:
        raise refusal(f"density {name!r}", "unknown", f"choose one of {', '.join(DENSITIES)}")
    return DENSITIES[name]


def points_status(name: str) -> DatasetStatus:
    """Status of a named density, in the form of the status of a named image set.

    Raises:    InputError: an unknown name.
    """
    entropy = density_of(name).entropy
    detail = f"entropy {entropy:.4f} nats = {bits_per_dimension(-entropy, 2):.4f} bits/dim"
    counts: dict[str, int] = dict(zip(PART_NAMES, (TRAIN_SIZE, VALID_SIZE, TEST_SIZE), strict=True))
    return DatasetStatus(name, "points, sampled", "ready", detail, counts)


@dataclass(frozen=True, eq=False)
class PointDataset:
    """Samples of one density for training, validation and test; the counterpart of `Dataset`.

    Args:
        name: name of the density.
        train, valid, test: the splits; their `images` are float32 points, shape (N, 2).
        sha256: hash of all points, in hexadecimal.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    sha256: str
    levels: int = 0
    event_shape: tuple[int, ...] = (2,)

    @property
    def density(self) -> Density:
        """The true density of the points."""
        return DENSITIES[self.name]

    @property
    def extent(self) -> float:
        """Half the side of a square around the origin that contains the training points, with a margin."""
        return 1.1 * self.train.images.abs().max().item()

    def split(self, name: str) -> Split:
        """The split with this name: "train", "valid" or "test"; InputError for other names."""
        if name not in PART_NAMES:
            raise refusal(f"split {name!r}", "unknown", f"choose one of {', '.join(PART_NAMES)}")
        return getattr(self, name)


def load_points(
    name: str, *, train_size: int | None = None, valid_size: int | None = None, split_seed: int | None = None
) -> PointDataset:
    """Sample the points of a named density in three independent splits.

    Args:
        name: a key of `DENSITIES`.
        train_size: number of training points; default 10,000.
        valid_size: number of validation points; default 2,000.
        split_seed: random seed of the training and validation points; default 0. The 50,000 test points are the same
            for all runs.

    Returns: the points. A smaller training set is the beginning of a larger one.
    Raises: InputError for an unknown name.
    Example:
        >>> data = load_points("moons", train_size=500)
        >>> data.event_shape, len(data.train), len(data.valid), len(data.test)
        ((2,), 500, 2000, 50000)
    """
    density, seed = density_of(name), split_seed or 0
    draws = {
        "train": (TRAIN_SIZE if train_size is None else train_size, seed),
        "valid": (VALID_SIZE if valid_size is None else valid_size, seed),
        "test": (TEST_SIZE, TEST_SEED),
    }
    points = {part: density.sample(n, seed_for("points", name, part, s)) for part, (n, s) in draws.items()}
    total = hashlib.sha256()
    for part, x in points.items():
        total.update(f"{part} {tuple(x.shape)};".encode() + x.numpy().astype("<f4").tobytes())
    train, valid, test = (Split(points[part], None) for part in PART_NAMES)
    return PointDataset(name, train, valid, test, total.hexdigest())

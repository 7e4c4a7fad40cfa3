"""An exact autoregressive model from a user's own network, which is tested for causality first."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.serialization import registered
from ancestral.distributions.outputs import pixel_output
from ancestral.families.family import DataSpec
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.particles import Particles
from ancestral.networks.own import OwnNetwork, given_network

BY_PIXEL, BY_CHANNEL = "pixel", "channel"
TESTED_AT_ONCE = 64  # pairs of images
ROUNDS = 2  # an inactive unit may hide a dependence for one pair of images
NOISE = 0.1  # added to the parameters of the tested copy: a last layer of zeros would hide every dependence
TOLERANCE = 1e-4  # relative to the largest parameter; the summation order of a convolution may depend on the batch


@registered
class NetworkAutoregressive(AutoregressiveModel):
    """Autoregressive model whose conditionals have their parameters from a user's own network.

        log p(x) = sum_d log p(x_d | x_<d)

    Args:      network: pixels in [-1, 1], shape (B, C, H, W), to S parameters for each value, shape (B, C S, H, W) or
               flat; the first S channels belong to the first colour.
               event_shape: (C, H, W). output: bernoulli, categorical or logistic. levels: of a pixel.
               components: of a logistic output. order: `pixel`, all colours of a pixel before the next pixel, or
               `channel`, all pixels of a colour before the next colour; pixels are in reading order.
    """

    def __init__(
        self,
        network: OwnNetwork,
        event_shape: Sequence[int],
        output: str = "bernoulli",
        levels: int = 2,
        components: int = 10,
        order: str = BY_PIXEL,
    ) -> None:
        super().__init__()
        self.network, self.event_shape = network, tuple(event_shape)
        self.output = pixel_output(output, levels, components)
        if order not in (BY_PIXEL, BY_CHANNEL):
            raise ValueError(f"unknown order {order!r}: choose {BY_PIXEL} or {BY_CHANNEL}")
        self.by_pixel = order == BY_PIXEL

    @property
    def order(self) -> Tensor:
        channels, height, width = self.event_shape
        places = torch.arange(channels * height * width)
        return places.view(channels, -1).T.flatten() if self.by_pixel else places

    def predict(self, x: Tensor) -> Tensor:
        return self.network(self.centred(x)).unflatten(1, (self.event_shape[0], -1)).movedim(2, -1)

    @torch.no_grad()
    def draw(self, noise: Tensor, particles: Particles | None = None) -> Tensor:
        """See `AutoregressiveModel.draw`. The network is called once per value, because its structure is unknown."""
        noise = self.output.noise(noise).flatten(1)
        x = torch.zeros_like(noise)
        for d in self.order.tolist():
            parameters = self.predict(x.view(-1, *self.event_shape)).flatten(1, 3)[:, d]
            drawn = self.output.draw(parameters, noise[:, d])
            if particles is not None:
                drawn = particles.clamp(d, self.output, parameters, drawn)
            x[:, d] = drawn
            if particles is not None and (ancestors := particles.ancestors()) is not None:
                x = x[ancestors]
        return x.view(-1, *self.event_shape)


def given_autoregressive(
    spec: DataSpec, output: str, levels: int, components: int, conditional: bool = False
) -> NetworkAutoregressive | None:
    """The model of the user's own network; None if the user gave none.

    Raises:    InputError: the data are not images; the network is not causal in either order; a conditional model; or
               as `given_network`.
    """
    if "network" not in spec.networks:
        return None
    if conditional:
        raise InputError("your own network gets images only, not classes: leave out --conditional")
    if len(spec.event_shape) != 3:
        raise InputError(
            f"your own network for an autoregressive model needs images, not arrays of shape {spec.event_shape}"
        )
    channels, *sides = spec.event_shape
    shape = [channels * pixel_output(output, levels, components).size, *sides]
    network = given_network(spec.networks, "network", spec.event_shape, shape)
    assert network is not None
    orders = [BY_PIXEL, BY_CHANNEL] if channels > 1 else [BY_PIXEL]
    leaks = []
    for order in orders:
        model = NetworkAutoregressive(network, list(spec.event_shape), output, levels, components, order)
        leak = find_leak(model)
        if leak is None:
            return model
        leaks.append(leak)
    (pixel, changed), shape = leaks[0], spec.event_shape
    raise InputError(
        f"the network is not autoregressive: its parameters of {_place(pixel, shape)} depend on "
        f"{'that pixel itself' if pixel == changed else _place(changed, shape)} or later ones in reading order: mask "
        "the network, so that the parameters of a pixel depend on earlier pixels only"
    )


def _place(index: int, event_shape: Sequence[int]) -> str:
    channel, row, column = (int(part) for part in torch.unravel_index(torch.tensor(index), tuple(event_shape)))
    return f"pixel ({row}, {column})" + (f" of channel {channel}" if event_shape[0] > 1 else "")


@torch.no_grad()
def find_leak(model: NetworkAutoregressive) -> tuple[int, int] | None:
    """A pixel whose parameters depend on itself or on a later pixel, and that pixel, as indices of the flat image.

    For each place d of the order, the pixels from d on are replaced by other values: the parameters up to d must not
    change. A copy of the network is tested, in evaluation mode, with noise added to its parameters.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tried = _perturbed_copy(model)
        for _ in range(ROUNDS):
            if leak := _leak_of(tried):
                return leak
    return None


def _leak_of(tried: NetworkAutoregressive) -> tuple[int, int] | None:
    """As `find_leak`, for one random pair of images that differ in every pixel."""
    order, levels = tried.order, tried.levels
    turn = order.argsort()
    first = torch.randint(levels, (1, len(order)))
    second = (first + torch.randint(1, levels, first.shape)) % levels
    for turns in torch.arange(len(order)).split(TESTED_AT_ONCE):
        before = first.expand(len(turns), -1)
        after = torch.where(turn < turns[:, None], first, second)  # (T, D): earlier pixels are kept
        images = torch.cat([before, after]).to(tried.dtype).view(-1, *tried.event_shape)
        one, other = tried.predict(images).flatten(1, 3).chunk(2)  # (T, D, S)
        changed = (one - other).abs().amax(2) > TOLERANCE * one.abs().amax()
        wrong = (changed & (turn <= turns[:, None])).nonzero()
        if len(wrong):
            at, pixel = wrong[0].tolist()
            return pixel, int(order[turns[at]])
    return None


def _perturbed_copy(model: NetworkAutoregressive) -> NetworkAutoregressive:
    """A copy with noise added to its parameters, on the CPU, in evaluation mode.

    Raises:    InputError: the network cannot be copied.
    """
    try:
        tried = copy.deepcopy(model).cpu().eval()
    except Exception as error:  # the network may have any attributes
        raise InputError(f"the network cannot be copied, so its causality cannot be tested: {error}") from error
    for parameter in tried.parameters():
        if parameter.is_floating_point():
            nn.init.normal_(noise := torch.empty_like(parameter), std=NOISE)
            parameter.add_(noise)
    return tried

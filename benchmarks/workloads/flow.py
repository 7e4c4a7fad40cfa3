"""Training steps of flows: affine couplings of points, and of images."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.harness.declarations import Contestant, Repetition, Workload, usual
from benchmarks.harness.replay import linear_products
from benchmarks.harness.training import Ours, adam, binary_images, limit_of, plain_loop, points

DEPTH, WIDTH, BATCH, STEPS = 6, 64, 128, 40
LIMIT = 3.0  # of the log-scales


def sizes(tiny: bool) -> tuple[int, int]:
    return (4, 2) if tiny else (BATCH, STEPS)


def ours(tiny: bool, compile: bool = False) -> Ours:
    batch, steps = sizes(tiny)
    layers = {"layers": "affine", "depth": DEPTH, "hidden": (WIDTH, WIDTH), "activation": "relu", "actnorm": False}
    return Ours("flow", points(batch * steps), batch, "points", compile=compile, **layers)


def ours_compiled(tiny: bool) -> Ours:
    """Ours with `--compile`; the first repetition compiles. Not at tiny sizes: it takes half a minute."""
    return ours(tiny, not tiny).begun()


class PlainFlow(nn.Module):
    """RealNVP in two dimensions, written for this case only. The order of the weights is that of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(1, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
            for _ in range(DEPTH)
        )
        for network in self.networks:
            assert isinstance(network, nn.Sequential)
            for weights in network[4].parameters():
                nn.init.zeros_(weights)

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-density, nats."""
        parts, total = list(x.split(1, 1)), torch.zeros(())
        for number, network in enumerate(self.networks):
            changed = 1 - number % 2
            raw, shift = network(parts[1 - changed]).split(1, 1)
            log_scale = LIMIT * (raw / LIMIT).tanh()
            parts[changed] = (parts[changed] + shift) * log_scale.exp()
            total = total + log_scale
        square = parts[0].square() + parts[1].square()
        return (0.5 * square + math.log(2 * math.pi) - total).mean()


def plain(tiny: bool) -> Repetition:
    batch, steps = sizes(tiny)
    network = PlainFlow()
    return plain_loop(points(batch * steps), batch, network, network.loss)


def zuko(tiny: bool) -> Repetition:
    """A RealNVP of zuko in the loop that its README shows."""
    from zuko.flows import RealNVP

    batch, steps = sizes(tiny)
    flow = RealNVP(2, transforms=DEPTH, hidden_features=(WIDTH, WIDTH))
    return plain_loop(points(batch * steps), batch, flow, lambda x: -flow().log_prob(x).mean())


def normflows(tiny: bool) -> Repetition:
    """Affine couplings of normflows in the loop that its README shows."""
    import normflows as nf  # pyright: ignore[reportMissingImports]

    batch, steps = sizes(tiny)
    layers: list[nn.Module] = []
    for _ in range(DEPTH):
        layers.append(nf.flows.AffineCouplingBlock(nf.nets.MLP([1, WIDTH, WIDTH, 2], init_zeros=True)))
        layers.append(nf.flows.Permute(2, mode="swap"))
    model = nf.NormalizingFlow(nf.distributions.base.DiagGaussian(2), layers)
    return plain_loop(points(batch * steps), batch, model, model.forward_kld)


def compiled(tiny: bool) -> Repetition:
    """The plain flow with value and gradient as one graph of `torch.compile`."""
    batch, steps = sizes(tiny)
    network = PlainFlow()
    if tiny:  # compiling takes half a minute
        return plain_loop(points(batch * steps), batch, network, network.loss)
    return plain_loop(points(batch * steps), batch, network, torch.compile(network.loss))


def limit(tiny: bool) -> Repetition:
    """Six networks; the input of the first needs no gradient, those of the others do."""
    batch, steps = sizes(tiny)
    layers = [(1, WIDTH), (WIDTH, WIDTH), (WIDTH, 2)]
    return linear_products(layers * DEPTH, batch, steps)


def ours_images(tiny: bool) -> Ours:
    batch, steps = (4, 1) if tiny else (32, 2)
    return Ours("flow", binary_images(batch * steps), batch, pixels="levels", layers="affine")


def plain_images(tiny: bool) -> Repetition:
    """A plain loop over the model of ours: fused Adam on its log-density of dequantised pixels."""
    made = ours_images(tiny)
    optimizer, objective = adam(made.model), made.step.objective

    def repetition() -> None:
        for batch in made.train.shuffled(0, made.batch):
            value = objective(made.model, batch)["loss"].mean()
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return repetition


WORKLOADS = (
    Workload(
        "flow-points",
        "flow of points",
        f"{STEPS} training steps of {BATCH} points, {DEPTH} affine couplings, networks {WIDTH}-{WIDTH}",
        usual(
            ours,
            plain,
            limit,
            Contestant("--compile", "option", ours_compiled),
            Contestant("PyTorch, compiled", "plain", compiled),
            Contestant("zuko", "peer", zuko, ("zuko",)),
            Contestant("normflows", "peer", normflows, ("normflows",)),
        ),
    ),
    Workload(
        "flow-images",
        "flow of images",
        "2 training steps of 32 images 28 x 28 with 256 levels, affine couplings",
        usual(ours_images, plain_images, partial(limit_of, ours_images)),
    ),
)

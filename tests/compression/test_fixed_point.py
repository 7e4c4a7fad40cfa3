"""Exact arithmetic: the same numbers for any batch, thread number and order, near those of PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import ZOO

from ancestral.compression import functions
from ancestral.compression.fixed_point import FixedPoint
from ancestral.compression.grid import NotExact, on_grid
from ancestral.compression.in_order import InOrder
from ancestral.models.autoregressive import AutoregressiveModel

X = torch.linspace(-30, 30, 20_001, dtype=torch.float64)
POSITIVE = X.exp()


@pytest.mark.parametrize(
    "ours, theirs, x",
    [
        (functions.exp, torch.exp, X),
        (functions.log, torch.log, POSITIVE),
        (functions.sigmoid, torch.sigmoid, X),
        (functions.tanh, torch.tanh, X),
        (functions.softplus, lambda x: F.softplus(x, threshold=40), X),
        (functions.normal_cdf, torch.distributions.Normal(0.0, 1.0).cdf, X),
    ],
)
def test_functions_are_accurate(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], x: Tensor
) -> None:
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-14, atol=1e-8 if ours is functions.normal_cdf else 1e-14)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(12, 5),
    "relu": lambda: nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 5)),
    "tanh": lambda: nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 5), nn.Sigmoid()),
    "gelu": lambda: nn.Sequential(nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 5), nn.SiLU()),
    "elu": lambda: nn.Sequential(nn.Linear(12, 8), nn.ELU(), nn.Linear(8, 5), nn.LeakyReLU()),
    "softmax": lambda: nn.Sequential(nn.Linear(12, 8), nn.Softmax(1), nn.Linear(8, 5), nn.LogSoftmax(1)),
    "softplus": lambda: nn.Sequential(nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, 5), nn.LogSigmoid()),
    "layer norm": lambda: nn.Sequential(nn.Linear(12, 8), nn.LayerNorm(8), nn.Linear(8, 5)),
    "batch norm": lambda: nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Hardtanh()),
    "convolution": lambda: nn.Sequential(nn.Unflatten(1, (3, 2, 2)), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
    "transposed": lambda: nn.Sequential(nn.Unflatten(1, (3, 2, 2)), nn.ConvTranspose2d(3, 4, 3, stride=2), nn.GLU(1)),
}


@pytest.mark.parametrize("name", MODULES)
def test_networks_are_exact_and_near_pytorch(name: str) -> None:
    torch.manual_seed(0)
    module = MODULES[name]().double().eval()
    for values in module.parameters():
        values.data = on_grid(values.data)
    x = on_grid(torch.randn(40, 12))
    with torch.no_grad(), FixedPoint(20.0):
        whole = module(x)
        parts = torch.cat([module(part) for part in x.split(7)])
    assert torch.equal(whole, parts)
    assert torch.equal(whole, on_grid(whole))
    torch.testing.assert_close(whole, module(x).detach(), atol=2e-4, rtol=0)


def test_rounding_commutes_with_adding_multiples_of_the_grid() -> None:
    halves = (torch.arange(-2000, 2000, dtype=torch.float64) + 0.5) / (1 << 16)
    for shift in (1.0, 3 / (1 << 16), -5 / (1 << 16)):
        assert torch.equal(on_grid(halves + shift), on_grid(halves) + shift)


def test_a_sum_of_layers_is_the_same_together_and_term_by_term() -> None:
    torch.manual_seed(0)
    a, b, x, y = (on_grid(torch.randn(50, 50)) for _ in range(4))
    with torch.no_grad(), FixedPoint(10.0):
        together = torch.addmm(torch.mm(a, x), b, y)
        apart = torch.mm(a, x) + torch.mm(b, y)
    assert torch.equal(together, apart)


def test_unknown_operations_and_large_sums_are_refused() -> None:
    x = torch.ones(3, 4, dtype=torch.float64)
    with torch.no_grad(), FixedPoint(), pytest.raises(NotExact, match="sin"):
        torch.sin(x)
    with torch.no_grad(), FixedPoint(3e5), pytest.raises(NotExact, match="too large"):
        torch.mm(x * 3e5, x.T * 3e5)


def test_constants_are_put_on_the_grid() -> None:
    with torch.no_grad(), FixedPoint():
        found = torch.full((3,), 0.1, dtype=torch.float64) + torch.tensor(0.3, dtype=torch.float64)
    assert torch.equal(found, on_grid(found))


AUTOREGRESSIVE = sorted(name for name, make in ZOO.items() if isinstance(make(), AutoregressiveModel))


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_parallel_and_sequential_parameters_are_equal(name: str) -> None:
    """The parameters of all pixels at once, and those that the sampler computes pixel by pixel."""
    torch.manual_seed(0)
    whole, seen = ZOO[name](), list[Tensor]()
    assert isinstance(whole, AutoregressiveModel)
    code = InOrder(whole.given(1) if whole.sums_classes else whole)  # a network with classes needs one
    model = code.model
    x = torch.randint(code.levels, (30, *model.event_shape)).double()
    order, inner = model.orders[0], model.output

    class Recording(type(inner)):  # type: ignore[misc]
        def __init__(self) -> None:
            self.__dict__.update(inner.__dict__)

        def noise(self, uniform: Tensor) -> Tensor:
            return uniform

        def draw(self, parameters: Tensor, noise: Tensor) -> Tensor:
            seen.append(parameters.clone())
            return x.flatten(1)[:, order[len(seen) - 1]]

    model.output = Recording()
    with code.exact():
        model.draw_under(torch.zeros_like(x), 0)
        at_once = model.predict_under(x, torch.zeros(1, dtype=torch.long)).flatten(1, -2)
    assert torch.equal(torch.stack(seen, 1), at_once[:, order])

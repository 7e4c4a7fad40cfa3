"""Round trips of all models, and the length of what they write."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution
from zoo import VAE, ZOO

from ancestral.compression.codes import ByConditionals, Code, InOrder, code_of, pop_images, push_images
from ancestral.compression.stack import Stack
from ancestral.core.errors import NotComputable
from ancestral.distributions.outputs import PixelOutput
from ancestral.families.autoregressive.made import MADE
from ancestral.models.base import ExactModel, HasStates, ImplicitModel, LatentModel, Model


def codes() -> list[str]:
    """The tiny models that can compress."""
    found = []
    for name, make in ZOO.items():
        try:
            code_of(make())
        except NotComputable:
            continue
        found.append(name)
    return found


CODES = codes()
EXACT = [name for name in CODES if isinstance(ZOO[name](), ExactModel)]


def with_slow_ones(names: list[str]) -> list[Any]:
    """A conditional model costs as much as one model for each class; the plain ones are quick."""
    long = ("conditional", "by class")
    return [pytest.param(n, marks=pytest.mark.slow if any(word in n for word in long) else ()) for n in names]


def read_again(code: Code, stack: Stack, n: int) -> Tensor:
    return pop_images(code, [Stack.from_content(stack.content(), stack.lowest, stack.borrowed)], [n])


def all_images(model: Model, most: int) -> Tensor:
    """Every possible image, or a random sample of them."""
    size, levels = math.prod(model.event_shape), model.levels
    assert levels is not None
    if levels**size <= 512:
        found = torch.tensor(list(itertools.product(range(levels), repeat=size)))
    else:
        found = torch.randint(levels, (most, size), generator=torch.Generator().manual_seed(0))
    return found.view(-1, *model.event_shape)


def test_every_family_with_a_likelihood_of_pixels_can_compress() -> None:
    without = {name for name in ZOO if name not in CODES}
    for name in without:
        model = ZOO[name]()
        if isinstance(model, VAE) and model.sums_classes and model.levels is not None:
            assert code_of(model.given(0)).portable  # the class is no latent of the code, but one class can compress
            continue
        flow = type(model).__name__ in ("NormalizingFlow", "ImageFlow")
        assert flow or model.levels is None or isinstance(model, ImplicitModel) or name == "autoencoder", name


@pytest.mark.parametrize("name", with_slow_ones(CODES))
def test_images_come_back(name: str) -> None:
    model = ZOO[name]().eval()
    code, x = code_of(model), all_images(model, 100)
    assert code.portable
    extreme = torch.stack([torch.zeros_like(x[0]), torch.full_like(x[0], code.levels - 1)])
    images = torch.cat([x, extreme.repeat(20, *[1] * (x.dim() - 1))])
    assert torch.equal(read_again(code, push_images(code, images), len(images)).long(), images)


def log_prob(model: Model, x: Tensor) -> Tensor:
    assert isinstance(model, ExactModel)
    return model.log_prob(x.to(model.dtype)).double()


def every_image_or_some() -> list[Any]:
    """Models and numbers of images: all of them (None), which is slow for models whose codes take long, or 40."""
    long = ("circuit", "made, three orderings", "made, logistic")
    some = [pytest.param(name, 40, id=f"{name}, 40 images") for name in EXACT if name.startswith(long)]
    every = [(parameter.values[0], parameter.marks) for parameter in with_slow_ones(EXACT)]
    return some + [
        pytest.param(name, None, marks=pytest.mark.slow if name.startswith(long) else marks, id=name)
        for name, marks in every
    ]


@pytest.mark.parametrize(("name", "count"), every_image_or_some())
def test_the_file_of_every_image_has_the_length_that_its_probability_says(name: str, count: int | None) -> None:
    """The bits of each image alone, from the change of the stack, and the sum of Kraft over all images."""
    model = ZOO[name]().eval()
    code, images = code_of(model), all_images(model, 60)
    if count is not None:
        images = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(1))[:count]]
    with torch.no_grad():
        claimed = -log_prob(model, images) / math.log(2)
    paid = torch.tensor([_bits(code, image[None]) for image in images])
    tolerance = 0.02 + 2e-3 * claimed
    likely = claimed < 20  # frequencies cannot express probabilities below 2^-23
    assert ((paid - claimed).abs() <= tolerance)[likely].all(), (paid - claimed)[likely].abs().max()
    if len(images) == code.levels ** math.prod(model.event_shape):
        kraft = (-paid).exp2().sum().item()
        # logits are rounded to 2^-8; with latents, those of p and q are rounded each
        assert 0.98 < kraft <= 1 + (3e-3 if code.chained else 1e-3)


def _bits(code: Code, x: Tensor) -> float:
    """The bits that one image adds to a stack. With an exact posterior they are the same for every latent."""
    stack = Stack(100)
    before = _size(stack)
    code.push(stack, x.double())
    return _size(stack) - before


def _size(stack: Stack) -> float:
    """Bits of a stack, with the fraction of the last word."""
    words = stack._coder.get_compressed()
    top = int(words[-1]) << 32 | int(words[-2])
    return 32 * (len(words) - 2) + math.log2(top)


LATENT = [name for name in CODES if isinstance(ZOO[name](), LatentModel) and not name.startswith("any-order")]


@pytest.mark.parametrize("name", LATENT)
def test_bits_back_costs_the_negative_elbo(name: str) -> None:
    """On samples of the model, the mean cost of a chain of images; a flow prior costs more, by its linear map."""
    torch.manual_seed(0)
    model = ZOO[name]().eval()
    assert isinstance(model, LatentModel)
    code = code_of(model)
    with torch.no_grad():
        x = model.sample(1000).round().clamp(0, code.levels - 1)
        elbo = -torch.stack([model.elbo(x) for _ in range(20)]) / math.log(2)
    spread = elbo.std(0).square().mean().sqrt().item() / math.sqrt(len(x))  # of one sample of the latents an image
    stack = push_images(code, x)
    paid = 32 * (len(stack.content()) - stack.borrowed + stack.lowest) / len(x)
    least = 0.9 * elbo.mean().item() - 4 * spread
    if elbo.mean() < 30:  # unlikely images cost less than their ELBO says, because frequencies have a least value
        assert paid > least
    most = elbo.mean().item() + 4 * spread + 0.02 * elbo.mean().item() + 0.2
    assert paid < most + (0.5 if name == "vae, flow prior" else 0)


def test_states_are_paid_back() -> None:
    """Coding the state without bits-back costs more than the exact probability of the image."""
    torch.manual_seed(0)
    model = ZOO["mixture"]().eval()
    assert isinstance(model, HasStates)
    with torch.no_grad():
        x = model.sample(3000)
        exact = -log_prob(model, x).mean().item() / math.log(2)
    paid = 32 * len(push_images(code_of(model), x).content()) / len(x)
    assert paid == pytest.approx(exact, rel=0.01)


class Chain(ExactModel):
    """A plug-in with `conditionals` only: each pixel depends on the one before it."""

    spaces = ("levels",)
    levels: int

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels, self.event_shape = levels, (1, 2, 3)
        self.table = torch.nn.Parameter(torch.linspace(-1, 1, (levels + 1) * levels).sin().view(levels + 1, levels) * 2)

    def conditionals(self, x: Tensor) -> Distribution:
        rows = x.flatten(1).long()
        before = torch.cat([torch.full_like(rows[:, :1], self.levels), rows[:, :-1]], 1)
        logits = self.table[before].view(*x.shape, self.levels)
        return Bernoulli(logits=logits[..., 1] - logits[..., 0]) if self.levels == 2 else Categorical(logits=logits)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.conditionals(x).log_prob(x).flatten(1).sum(1)


@pytest.mark.parametrize("levels", [2, 5])
def test_a_model_with_conditionals_only_can_compress(levels: int) -> None:
    model = Chain(levels).eval()
    code, x = code_of(model), all_images(model, 200)
    assert type(code) is ByConditionals
    stack = push_images(code, x)
    assert torch.equal(read_again(code, stack, len(x)).long(), x)
    claimed = -model.log_prob(x.float()).sum().item() / math.log(2)
    assert 32 * len(stack.content()) == pytest.approx(claimed, rel=0.03, abs=64)


def test_a_network_with_unknown_operations_has_a_weaker_guarantee() -> None:
    class Wave(torch.nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return h.sin()

    model = ZOO["made"]().eval()
    model.activation = Wave()  # type: ignore[assignment]
    code = code_of(model)
    assert not code.portable and code.guarantee == "the machine that wrote the file"
    x = all_images(model, 100)
    assert torch.equal(read_again(code, push_images(code, x), len(x)).long(), x)


@pytest.mark.parametrize("name", ["gan", "autoencoder"])
def test_models_without_a_likelihood_are_refused(name: str) -> None:
    with pytest.raises(NotComputable, match="no likelihood"):
        code_of(ZOO[name]())


def test_densities_are_refused() -> None:
    with pytest.raises(NotComputable, match="density"):
        code_of(ZOO["vae, Gaussian"]())


def test_the_file_does_not_depend_on_how_many_images_are_evaluated_at_once() -> None:
    model = ZOO["pixelcnn"]().eval()
    code, x = InOrder(model), all_images(model, 20).double()[:20]
    together = push_images(code, x).content()
    code.numbers = 1 << 24
    assert code.together == 1
    assert np.array_equal(push_images(code, x).content(), together)


@pytest.mark.parametrize("make", [{"orderings": 2}, {"classes": 2}])
def test_orders_and_classes_of_models_with_a_flag_are_exact(make: dict[str, int]) -> None:
    """p(class, order | x) needs log p(x), with operations that the conditionals do not need."""
    torch.manual_seed(0)
    model = MADE([1, 2, 2], "zero-flag", 3, (4,), **make).eval()
    code, images = code_of(model), all_images(model, 100)
    assert code.portable and torch.equal(read_again(code, push_images(code, images), len(images)).long(), images)


class OnlyItsScoreIsInexact(PixelOutput):
    """Bits whose log-probability has an operation without an exact version; its conditionals have none."""

    levels, size, spaces = 2, 1, None

    def distribution(self, parameters: Tensor) -> Distribution:
        return Bernoulli(logits=parameters[..., 0], validate_args=False)

    def log_prob(self, parameters: Tensor, x: Tensor) -> Tensor:
        return super().log_prob(parameters, x) + 0 * parameters[..., 0].sin()


def test_an_inexact_operation_of_the_posterior_is_found_before_a_file_is_written() -> None:
    torch.manual_seed(0)
    model = MADE([1, 2, 2], hidden=(4,), orderings=2).eval()
    model.output = OnlyItsScoreIsInexact()  # type: ignore[assignment]
    assert not code_of(model).portable


def test_numbers_that_are_too_large_for_the_grid_are_computed_in_double_precision() -> None:
    """The error comes from an operator of tensors here, which would replace a TypeError."""
    model = ZOO["mixture"]().eval()
    with torch.no_grad():
        dict(model.named_parameters())["w"].fill_(-1e30)
    assert not code_of(model).portable


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_numbers_are_refused(value: float) -> None:
    model = ZOO["made"]()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = value
    with pytest.raises(NotComputable, match="NaN or infinite"):
        code_of(model)

"""Autoregressive models: who sees whom, one image for one noise however drawn, orderings mixed as probabilities."""

from __future__ import annotations

import math

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.maths import bits_per_dimension
from ancestral.data.pixels import Batch
from ancestral.distributions.outputs import BernoulliOutput, CategoricalOutput, LogisticMixtureOutput, PixelOutput
from ancestral.evaluation.enumeration import all_images
from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.objectives import objective_for, order_agnostic
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.autoregressive.settings import MADESettings, PixelCNNSettings
from ancestral.models.autoregressive import AutoregressiveModel, output_name
from ancestral.networks.masked import MaskedLinear

AUTOREGRESSIVE = [name for name, make in zoo.ZOO.items() if isinstance(zoo.seeded(make), AutoregressiveModel)]


def model_of(name: str) -> AutoregressiveModel:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, AutoregressiveModel)
    return model


def given_one(model: AutoregressiveModel) -> AutoregressiveModel:
    """The model given one class, if it has classes."""
    return model.given(1) if model.classes else model


def continuous_view(model: AutoregressiveModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a network of one-hot inputs take real pixels, so that its Jacobian can be asked for."""
    if isinstance(model, MADE) and model.inputs > 1:
        powers = torch.arange(1, model.inputs + 1, dtype=model.dtype)
        monkeypatch.setattr(model, "seen", lambda x: (x[..., None] * powers).sin().flatten(1))


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_a_conditional_depends_only_on_earlier_pixels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = given_one(model_of(name))
    continuous_view(model, monkeypatch)
    pixels = math.prod(model.event_shape)
    x = torch.rand(1, *model.event_shape, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(model.predict, x)  # (1, *event, size, 1, *event)
    influence = jacobian.abs().reshape(pixels, -1, pixels).sum(1)  # type: ignore[union-attr]
    influence = influence[model.order][:, model.order]
    assert not influence.triu().any()  # exactly zero, not small
    assert (influence.tril(-1)[1:].sum(1) > 0).all()  # and each pixel but the first sees something
    if isinstance(model, MADE) and model.direct is not None:
        assert (influence.tril(-1) + torch.ones_like(influence).triu() > 0).all()


def test_a_wide_kernel_has_the_expected_receptive_field() -> None:
    """In the row above as far as the first kernel goes; nothing of the pixels after."""
    model = zoo.seeded(lambda: PixelCNN([1, 5, 7], channels=16, hidden=16, blocks=1, first_kernel=5))
    assert isinstance(model, PixelCNN)
    x = torch.rand(1, 1, 5, 7, dtype=torch.float64, requires_grad=True)
    model.predict(x)[0, 0, 2, 3].sum().backward()
    assert x.grad is not None
    seen = x.grad[0, 0] != 0
    # three columns to the right: two by the first kernel, one by the block
    assert seen[1].tolist() == [True] * 6 + [False]
    assert seen[2].tolist() == [True] * 3 + [False] * 4
    assert not seen[3:].any()


def naive_draw(model: AutoregressiveModel, noise: Tensor, ordering: int = 0) -> Tensor:
    """One full pass of the network for every pixel."""
    prepared = model.output.noise(noise).flatten(1)
    order = model.positions[ordering].argsort() if isinstance(model, MADE) else model.order
    x = torch.zeros_like(noise)
    for d in order.tolist():
        parameters = model.predict_under(x, torch.tensor([ordering])) if isinstance(model, MADE) else model.predict(x)
        x.flatten(1)[:, d] = model.output.draw(parameters.flatten(1, -2)[:, d], prepared[:, d])
    return x


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@torch.no_grad()
def test_cached_sampling_equals_full_passes_and_computes_only_new_rows(name: str) -> None:
    model = given_one(model_of(name))
    noise = torch.rand(50, *model.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for ordering in range(len(model.positions)) if isinstance(model, MADE) else [0]:
        drawn = model.draw_under(noise, ordering) if isinstance(model, MADE) else model.draw(noise)
        assert torch.equal(drawn, naive_draw(model, noise, ordering))


@torch.no_grad()
def test_cached_sampling_equals_full_passes_on_large_images() -> None:
    noise = torch.rand(4, 1, 10, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    deep = zoo.seeded(lambda: zoo.with_larger_weights(MADE([1, 10, 9], hidden=[70, 40, 130])))
    wide = zoo.seeded(
        lambda: zoo.with_larger_weights(PixelCNN([1, 10, 9], channels=8, hidden=4, blocks=3, first_kernel=7))
    )
    for model in (deep, wide):
        assert isinstance(model, AutoregressiveModel)
        x = model.draw(noise)
        assert torch.equal(x, naive_draw(model, noise))
        assert 0.05 < x.mean() < 0.95


@pytest.mark.parametrize("name", AUTOREGRESSIVE)
@torch.no_grad()
def test_conditionals_multiply_to_the_probability(name: str) -> None:
    model = model_of(name)
    x = all_images(model)[::11]
    conditionals = model.conditionals(x)
    assert conditionals.batch_shape == x.shape
    product = conditionals.log_prob(x).flatten(1).sum(1)
    first = torch.zeros(1, dtype=torch.long)
    whole = model.log_prob_under(x, first) if isinstance(model, MADE) else model.log_prob(x)
    assert torch.allclose(product, whole, atol=1e-12)


@torch.no_grad()
def test_orderings_are_averaged_as_probabilities() -> None:
    model = model_of("made, three orderings")
    assert isinstance(model, MADE)
    assert len({tuple(row.tolist()) for row in model.positions}) == 3
    x = all_images(model)
    each = torch.stack([model.log_prob_under(x, torch.tensor([j])) for j in range(3)])
    assert torch.allclose(each.exp().sum(1), torch.ones(3).double(), atol=1e-12)  # each is a distribution
    assert torch.allclose(model.log_prob(x).exp(), each.exp().mean(0), atol=1e-14)
    assert (each[0] - each[1]).abs().max() > 0.1  # and they differ, so that averaging was tested


@torch.no_grad()
def test_order_agnostic_loss_is_the_mean_over_orderings_and_at_least_the_negative_log_likelihood() -> None:
    model = model_of("made, three orderings")
    assert isinstance(model, MADE)
    x = all_images(model)[::5]
    torch.manual_seed(0)
    losses = torch.stack([order_agnostic(model, Batch(x))["loss"] for _ in range(300)])
    each = torch.stack([-model.log_prob_under(x, torch.tensor([j])) for j in range(3)])
    assert all(any(torch.equal(row, one) for one in each) for row in losses)
    share = torch.stack([(losses == one).all(1).double().mean() for one in each])
    assert (share - 1 / 3).abs().max() < 0.14  # five standard errors of 300 draws
    assert (each.mean(0) >= -model.log_prob(x)).all()


def test_several_orderings_use_the_order_agnostic_loss_and_one_the_likelihood() -> None:
    assert objective_for(MADESettings(), MADE([1, 2, 2])) is None  # the kind's own
    assert objective_for(MADESettings(orderings=2), MADE([1, 2, 2], orderings=2)) is order_agnostic


def test_orderings_and_degrees_never_change_for_a_seed() -> None:
    """Runs of years ago must load: these numbers are for ever."""
    model = MADE([1, 2, 3], hidden=[4], orderings=2)
    assert model.positions.tolist() == [[1, 3, 5, 4, 6, 2], [6, 3, 5, 1, 2, 4]]
    assert MADE([1, 2, 3], hidden=[4]).positions.tolist() == [[1, 2, 3, 4, 5, 6]]


@pytest.mark.parametrize("orderings", [1, 2])
def test_masked_weights_get_no_gradient_and_change_no_other_weight(orderings: int) -> None:
    model = MADE([1, 3, 3], hidden=[16, 16], orderings=orderings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.log_prob(torch.ones(2, 1, 3, 3)).sum().backward()
    kept = {f"{name}.weight": layer.kept for name, layer in model.named_modules() if isinstance(layer, MaskedLinear)}
    for name, p in model.named_parameters():  # with one ordering, a training sets masked weights to zero
        mask = kept.get(name)
        assert torch.equal(before[name] if mask is None else before[name] * mask, p)
    assert model.direct is not None and model.direct.weight.grad is not None
    later = model.positions[:, None, :] >= model.positions[:, :, None]  # in all orderings, these inputs come too late
    assert not model.direct.weight.grad[later.all(0)].any()


def test_without_hidden_layers_it_is_a_logistic_regression_on_the_pixels_before() -> None:
    model = zoo.seeded(zoo.ZOO["fully visible belief net"])
    assert isinstance(model, MADE) and model.direct is not None
    x = all_images(model)
    rows, weight = 2 * x.flatten(1) - 1, model.direct.weight.detach().tril(-1)
    logits = rows @ weight.T + model.direct.bias.detach()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.flatten(1)).sum(1)
    assert torch.allclose(model.log_prob(x), expected, atol=1e-12)


def test_a_uniform_model_of_256_levels_scores_eight_bits() -> None:
    model = PixelCNN([1, 4, 4], "categorical", 256, channels=4, hidden=2, blocks=1, first_kernel=3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        x = torch.randint(0, 256, (5, 1, 4, 4)).float()
        assert bits_per_dimension(model.log_prob(x).mean().item(), 16) == pytest.approx(8.0, abs=1e-5)


OUTPUTS: list[PixelOutput] = [BernoulliOutput(), CategoricalOutput(5), LogisticMixtureOutput(7, 3)]


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: type(output).__name__)
@pytest.mark.parametrize("scale", [0.1, 3.0, 30.0])
def test_probabilities_of_a_pixels_levels_sum_to_one(output: PixelOutput, scale: float) -> None:
    parameters = scale * torch.randn(200, output.size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    levels = torch.arange(output.levels, dtype=torch.float64)[:, None].expand(-1, 200)
    log_p = output.log_prob(parameters, levels)
    assert torch.allclose(log_p.exp().sum(0), torch.ones(200).double(), atol=1e-10)
    assert torch.allclose(log_p, output.distribution(parameters).log_prob(levels), atol=1e-10)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: type(output).__name__)
def test_sampling_inverts_the_distribution_function(output: PixelOutput) -> None:
    """A fine grid of noise gives each level its share of the unit interval."""
    parameters = torch.randn(output.size, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    u = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    drawn = output.draw(parameters.expand(len(u), -1), output.noise(u))
    share = torch.bincount(drawn.long(), minlength=output.levels) / len(u)
    p = output.log_prob(parameters, torch.arange(output.levels).double()).exp()
    assert (drawn.diff() >= 0).all()
    assert (share - p).abs().max() < 2e-5


@pytest.mark.parametrize("name", ["made", "pixelcnn", "made, categorical"])
def test_scoring_refuses_values_that_are_not_levels(name: str) -> None:
    model = model_of(name)
    with pytest.raises(InputError, match="whole pixel levels"):
        model.log_prob(torch.full((2, *model.event_shape), 0.5, dtype=torch.float64))
    with pytest.raises(InputError, match="whole pixel levels"):
        model.log_prob(torch.full((2, *model.event_shape), 7.0, dtype=torch.float64))


def test_an_output_distribution_that_does_not_fit_the_pixels_is_refused() -> None:
    assert output_name("auto", 17, "threshold") == ("bernoulli", 2)
    assert output_name("auto", 17, "levels") == ("categorical", 17)
    assert output_name("auto", 256, "levels") == ("logistic", 256)
    assert output_name("categorical", 256, "levels") == ("categorical", 256)
    for wanted, space in (("bernoulli", "levels"), ("logistic", "binary"), ("auto", "unit"), ("auto", "points")):
        with pytest.raises(InputError):
            output_name(wanted, 256, space)
    with pytest.raises(InputError, match="--kernel"):
        PixelCNNSettings(kernel=4)
    with pytest.raises(InputError, match="the pixels are not connected"):
        MADESettings(hidden=(), direct=False)

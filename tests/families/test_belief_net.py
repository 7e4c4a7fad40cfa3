"""Sigmoid belief nets: exact sums against naive ones, posteriors against Bayes, deep nets against enumeration."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import zoo
from helpers import assert_bounds_in_order
from torch import Tensor
from torch.distributions import Bernoulli
from torch.nn import functional as F

from ancestral import fit
from ancestral.core.errors import InputError
from ancestral.evaluation.enumeration import all_images
from ancestral.families.belief_net import exact as belief_net
from ancestral.families.belief_net.exact import SigmoidBeliefNet, all_states, sum_of_softplus
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.run_settings import settings_for


def naive_joint(model: SigmoidBeliefNet, x: Tensor) -> Tensor:
    """log p(x, z) of every state as the definition says it, shape (B, 2^M)."""
    z = model.states
    log_p_z = Bernoulli(logits=model.b).log_prob(z).sum(1)
    log_p_x = Bernoulli(logits=z @ model.w + model.c).log_prob(x.flatten(1)[:, None]).sum(2)
    return log_p_z + log_p_x


def net(latents: int = 5, scale: float = 1.0, shape: tuple[int, ...] = (1, 3, 7), seed: int = 0) -> SigmoidBeliefNet:
    """A net of random weights and biases in double precision, its number of pixels not even."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SigmoidBeliefNet(shape, latents, scale).double()
        for parameter in (model.b, model.c):
            torch.nn.init.normal_(parameter)
    return model


def binary_images(model: SigmoidBeliefNet, count: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(count, *model.event_shape, generator=generator) < 0.4).to(model.dtype)


def value_and_gradients(value: Tensor, model: SigmoidBeliefNet) -> list[Tensor]:
    weights = torch.linspace(0.5, 2, len(value), dtype=value.dtype)  # images that count differently
    return [value, *torch.autograd.grad(value @ weights, list(model.parameters()))]


@pytest.mark.parametrize("block", [1, belief_net.BLOCK])  # two halves, and all in the second
@pytest.mark.parametrize("latents", [1, 2, 5])
@pytest.mark.parametrize("scale", [0.01, 1, 30, 200])
def test_equals_the_naive_sum_over_states(
    latents: int, scale: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Value and gradient to 1e-10 in double precision, however large the logits; a few images at a time."""
    monkeypatch.setattr(belief_net, "BLOCK", block)
    monkeypatch.setattr(belief_net, "TERMS", 5 << latents)
    model = net(latents, scale)
    x = binary_images(model)
    found = value_and_gradients(model.log_prob(x), model)
    expected = value_and_gradients(naive_joint(model, x).logsumexp(1), model)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [0.01, 1, 30, 200])
def test_single_precision_is_accurate_to_its_last_digits(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(belief_net, "BLOCK", 1)
    model = net(7, scale, (1, 9, 11))
    x = binary_images(model)
    expected = value_and_gradients(naive_joint(model, x).logsumexp(1), model)
    model.float()
    found = value_and_gradients(model.log_prob(x.float()), model)
    assert torch.allclose(found[0].double(), expected[0], rtol=1e-5)
    size = max(gradient.abs().max().item() for gradient in expected[1:])
    for ours, theirs in zip(found[1:], expected[1:], strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * max(size, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [0.01, 1, 30, 80, 200, 1000])
def test_sum_of_softplus_neither_overflows_nor_loses_digits(size: float, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    a, b = (size * torch.randn(count, 50, dtype=dtype) for count in (6, 5))
    b += a.new_tensor([-1, 1]).repeat(25) * size  # not centred: the factors must be balanced
    a.requires_grad_(), b.requires_grad_()
    table = sum_of_softplus(a, b)
    weights = torch.randn_like(table)
    wide_a, wide_b = (t.detach().double().requires_grad_() for t in (a, b))
    expected = F.softplus(wide_a[:, None] + wide_b, threshold=40).sum(2)
    precision = 1e-5 if dtype == torch.float32 else 1e-12
    assert torch.allclose(table.double(), expected, rtol=precision)
    found = torch.autograd.grad(table, (a, b), weights)
    for ours, theirs in zip(found, torch.autograd.grad(expected, (wide_a, wide_b), weights.double()), strict=True):
        assert torch.allclose(ours.double(), theirs, rtol=precision, atol=10 * precision)


def test_gradients_against_differences() -> None:
    torch.manual_seed(3)
    a, b = (torch.randn(count, 6, dtype=torch.float64, requires_grad=True) for count in (4, 2))
    assert torch.autograd.gradcheck(sum_of_softplus, (a, b))
    terms = tuple(torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((3, 4), (3, 2), (4, 2)))
    assert torch.autograd.gradcheck(belief_net._LogSumOverPairs.apply, terms)


def test_posterior_is_bayes_rule_over_all_states() -> None:
    model = net()
    x = binary_images(model)
    joint = naive_joint(model, x)
    by_hand = (joint - joint.logsumexp(1, keepdim=True)).exp()
    assert torch.allclose(model.posterior(x).probs, by_hand, atol=1e-12)
    assert torch.allclose(model.encode(x), by_hand @ model.states, atol=1e-12)
    with torch.no_grad():  # p(x, z) = p(x) p(z | x), so the sum over z is the model's own
        assert torch.allclose(joint, model.log_prob(x)[:, None] + model.posterior(x).logits, atol=1e-10)


def test_states_count_up_in_binary() -> None:
    assert all_states(2).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert all_states(0).shape == (1, 0)


def test_more_latents_than_can_be_summed_are_refused() -> None:
    assert SigmoidBeliefNet([1, 2, 2], latents=20).log_prob(torch.zeros(1, 1, 2, 2)).isfinite().all()
    with pytest.raises(InputError, match="vimco, score or wake-sleep"):
        SigmoidBeliefNet([1, 2, 2], latents=21)


def test_mixed_precision_does_not_change_the_sum_over_states() -> None:
    model = net().float()
    x = binary_images(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.log_prob(x)
    assert torch.equal(mixed, model.log_prob(x))


@pytest.mark.parametrize("name", ["belief net", "Helmholtz machine"])
def test_grey_pixels_are_refused(name: str) -> None:
    model = zoo.seeded(zoo.ZOO[name])
    grey = torch.full((2, 1, 3, 3), 0.5, dtype=torch.float64)
    with pytest.raises(ValueError):
        model.log_prob(grey) if isinstance(model, SigmoidBeliefNet) else model.log_weights(grey, 3)


def helmholtz(*latents: int) -> HelmholtzMachine:
    model = zoo.seeded(lambda: zoo.tiny_helmholtz(*latents))
    assert isinstance(model, HelmholtzMachine)
    return model


def enumerated_joint(model: HelmholtzMachine, x: Tensor) -> Tensor:
    """log p(x, z) of every z, shape (2^M, B)."""
    z = all_states(sum(model.latents)).to(x)
    return model.log_joint(x, z[:, None].expand(-1, len(x), -1))


@pytest.mark.parametrize("latents", [(3,), (2, 2), (3, 2, 2)])
def test_bounds_of_a_deep_net_rise_with_samples_and_stay_below_log_p(latents: tuple[int, ...]) -> None:
    model = helmholtz(*latents)
    x = all_images(model)[::23]
    torch.manual_seed(1)
    with torch.no_grad():
        truth = enumerated_joint(model, x).logsumexp(0)
        log_w = model.log_weights(x, 40_000)
    assert_bounds_in_order(log_w, truth, gap=0.05)


@pytest.mark.parametrize("latents", [(3,), (3, 2, 2)])
def test_probabilities_of_a_deep_net_sum_to_one_by_enumeration(latents: tuple[int, ...]) -> None:
    model = helmholtz(*latents)
    x = all_images(model)
    with torch.no_grad():
        assert enumerated_joint(model, x).exp().sum().item() == pytest.approx(1, abs=1e-10)
        z = all_states(sum(latents)).to(x)
        recognised = model.posterior(x[:5]).log_prob(z[:, None].expand(-1, 5, -1)).exp().sum(0)
        assert torch.allclose(recognised, torch.ones_like(recognised), atol=1e-10)


@pytest.mark.parametrize("of", ["prior", "posterior"])
def test_samples_of_a_deep_net_have_its_probabilities(of: str) -> None:
    """Counts of all states of 5 latents in three layers against their probabilities."""
    model = helmholtz(2, 2, 1)
    draws = 20_000
    torch.manual_seed(4)
    with torch.no_grad():
        chain = model.prior() if of == "prior" else model.posterior(all_images(model)[77:78])
        z = chain.sample(torch.Size((draws,))).reshape(draws, 5)
        p = chain.log_prob(all_states(5).to(z)[:, None] if of == "posterior" else all_states(5).to(z)).exp().flatten()
    counts = torch.bincount((z @ torch.tensor([16.0, 8, 4, 2, 1]).double()).long(), minlength=32)
    # 32 cells, each within 5 standard deviations
    assert ((counts - draws * p).abs() <= 5 * (draws * p * (1 - p)).sqrt()).all()


def test_one_layer_is_the_exact_net_of_the_same_weights() -> None:
    deep = helmholtz(4)
    exact = SigmoidBeliefNet(deep.event_shape, 4).double()
    last = [module for module in deep.likelihood.modules() if isinstance(module, torch.nn.Linear)][-1]
    x = all_images(deep)
    with torch.no_grad():
        exact.b.copy_(deep.prior_logits)
        exact.w.copy_(2 * last.weight.T)  # units -1 and 1 there, 0 and 1 here
        exact.c.copy_(last.bias - last.weight.sum(1))
        assert torch.allclose(exact.log_prob(x), enumerated_joint(deep, x).logsumexp(0), atol=1e-10)
        assert torch.allclose(exact.decode(all_states(4).double()), deep.decode(all_states(4).double()))


def test_only_the_first_layer_depends_on_the_image() -> None:
    model = helmholtz(3, 2)
    z = all_states(5).double()
    assert torch.equal(model.decode(z), model.decode(z[:, :3]))
    x = all_images(model)[:40]
    torch.manual_seed(5)
    draws = model.posterior(x).sample(torch.Size((4000,)))
    assert (draws[..., :3].mean(0) - model.encode(x)).abs().max() < 0.05


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"latents": (21,)}, "--latents 21.*vimco"),
        ({"latents": (4, 4)}, "--latents 4 4.*vimco"),
        ({"latents": ()}, "at least one layer"),
        ({"latents": (0,)}, "--latents 0"),
        ({"hidden": (5,)}, "--hidden 5"),
        ({"method": "vimco", "particles": 1}, "--particles 1"),
        ({"method": "em"}, "--method em"),
    ],
)
def test_impossible_settings_of_a_net_are_refused_in_one_line(flags: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        settings_for("belief-net", **flags)


def test_one_layer_can_be_given_as_a_number() -> None:
    assert settings_for("belief-net", latents=8).model.latents == (8,)


@pytest.mark.parametrize("method", ["exact", "vimco", "score", "wake-sleep"])
def test_every_method_trains_a_run(method: str, tmp_path: Path) -> None:
    flags: dict[str, object] = {"latents": (4,)} if method == "exact" else {"latents": (8, 4), "hidden": (6,)}
    run = fit("belief-net", tmp_path, method=method, **flags, epochs=2, train_size=600, learning_rate=5e-3)
    model = run.load()
    assert type(model) is (SigmoidBeliefNet if method == "exact" else HelmholtzMachine)
    held_out = [line.value for line in run.log() if line.split == "valid"]
    assert held_out[-1] < held_out[0]
    names = {line.name for line in run.log() if line.split == "train"}
    assert names == ({"loss", "negative_elbo"} if method == "score" else {"loss"})

"""Objectives: their values against the bounds they name, their gradients against each other."""

from __future__ import annotations

import math

import pytest
import torch
import zoo

from ancestral.data.pixels import Batch
from ancestral.evaluation.enumeration import all_images
from ancestral.families.family import DataSpec
from ancestral.families.vae.objectives import objective_for
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import VAE, build_vae
from ancestral.training.objectives import dreg, elbo, iwae, nll


def vae(name: str = "vae") -> VAE:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, VAE)
    return model.train()


X = all_images(zoo.seeded(zoo.ZOO["vae"]))[::43]


def test_negative_elbo_is_reconstruction_plus_divergence_summed_not_averaged() -> None:
    model = vae()
    torch.manual_seed(0)
    terms = elbo(model, Batch(X))
    assert torch.equal(terms["loss"], terms["negative_elbo"])
    assert torch.allclose(terms["negative_elbo"], terms["reconstruction"] + terms["kl"])
    torch.manual_seed(0)
    q = model.posterior(X)
    z = q.rsample()
    logits = model.likelihood.network(z)
    by_hand = torch.nn.functional.binary_cross_entropy_with_logits(logits, X, reduction="none").sum((1, 2, 3))
    mean, variance = q.mean, q.variance
    kl = 0.5 * (variance + mean**2 - 1 - variance.log()).sum(1)
    assert torch.allclose(terms["reconstruction"], by_hand)
    assert torch.allclose(terms["kl"], kl)


def test_beta_and_free_bits_change_the_loss_and_never_the_bound() -> None:
    model = vae()
    plain, weighted, free = ({}, {"beta": 3.0}, {"free_bits": 5.0})
    terms = []
    for options in (plain, weighted, free):
        torch.manual_seed(0)
        terms.append(elbo(model, Batch(X), **options))
    assert torch.equal(terms[0]["negative_elbo"], terms[1]["negative_elbo"])
    assert torch.equal(terms[0]["negative_elbo"], terms[2]["negative_elbo"])
    assert torch.allclose(terms[1]["loss"], terms[0]["reconstruction"] + 3 * terms[0]["kl"])
    free = torch.tensor([5.0 * 2]).double()  # two latents whose divergence is below 5 nats each
    assert torch.allclose(terms[2]["loss"], terms[0]["reconstruction"] + free)


@pytest.mark.parametrize("name", ["vae", "vae, mixture prior"])
def test_the_divergence_has_no_gradient_below_the_free_bits(name: str) -> None:
    model = vae(name)
    torch.manual_seed(0)
    terms = elbo(model, Batch(X), free_bits=1000.0)
    (terms["loss"] - terms["reconstruction"]).sum().backward()
    assert all(p.grad is None or not p.grad.abs().any() for p in model.encoder.parameters())


def test_importance_weighted_loss_is_not_logged_as_the_bound() -> None:
    assert set(iwae(vae(), Batch(X), k=3)) == {"loss"}
    assert set(dreg(vae(), Batch(X), k=3)) == {"loss"}


def test_importance_weighted_bound_of_one_draw_is_the_elbo_and_more_draws_are_tighter() -> None:
    model = vae()
    torch.manual_seed(0)
    with torch.no_grad():
        values = {k: torch.stack([iwae(model, Batch(X), k)["loss"] for _ in range(2000)]).mean() for k in (1, 10)}
        bound = torch.stack([elbo(model, Batch(X))["loss"] for _ in range(2000)]).mean()
    assert values[1] == pytest.approx(bound.item(), abs=0.05)
    assert values[10] < values[1] - 0.1


def test_equal_weights_give_log_p_for_every_k() -> None:
    """With the exact posterior all weights are p(x), so a missing log K would show as exactly log K."""
    model = zoo.seeded(lambda: build_vae(VAESettings(latents=2, hidden=()), DataSpec((1, 2, 2), 2, "threshold")))
    assert isinstance(model, VAE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()  # decoder ignores z, encoder is the prior
    x = torch.ones(3, 1, 2, 2, dtype=torch.float64)
    for k in (1, 7, 50):
        assert torch.allclose(iwae(model, Batch(x), k)["loss"], torch.full((3,), 4 * math.log(2)).double())


def gradients(objective, model: VAE, k: int, draws: int) -> dict[str, torch.Tensor]:
    """One gradient per draw and parameter, shape (draws, ...)."""
    found: dict[str, list[torch.Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for _ in range(draws):
        model.zero_grad()
        objective(model, Batch(X), k)["loss"].mean().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            found[name].append(parameter.grad.clone())
    return {name: torch.stack(values) for name, values in found.items()}


@pytest.mark.parametrize("name", ["vae", pytest.param("vae, mixture prior", marks=pytest.mark.slow)])
def test_doubly_reparameterised_gradient_has_the_same_mean_and_less_noise(name: str) -> None:
    model = vae(name)
    torch.manual_seed(3)
    draws = 1500
    plain, double = (gradients(objective, model, 5, draws) for objective in (iwae, dreg))
    for parameter, values in plain.items():
        difference = values.mean(0) - double[parameter].mean(0)
        error = ((values.var(0) + double[parameter].var(0)) / draws).sqrt()
        assert (difference.abs() <= 5 * error + 1e-12).all(), parameter
    noise = [sum(g[p].var(0).sum() for p in g if p.startswith("encoder")) for g in (plain, double)]
    assert noise[1] < noise[0]


def test_dreg_reports_the_value_of_the_bound() -> None:
    model = vae()
    torch.manual_seed(0)
    first = iwae(model, Batch(X), 4)["loss"]
    torch.manual_seed(0)
    assert torch.allclose(dreg(model, Batch(X), 4)["loss"], first)


def test_nll_of_the_mixture_gradient_against_differences() -> None:
    model = zoo.seeded(zoo.ZOO["mixture"]).train()
    loss = nll(model, Batch(X))["loss"].sum()  # type: ignore[arg-type]
    loss.backward()
    step = 1e-6
    with torch.no_grad():
        before = model.w[1, 4].item()  # type: ignore[union-attr, index]
        values = []
        for sign in (1, -1):
            model.w[1, 4] = before + sign * step  # type: ignore[union-attr, index]
            values.append(nll(model, Batch(X))["loss"].sum().item())  # type: ignore[arg-type]
    assert model.w.grad[1, 4].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-6)  # type: ignore[union-attr, index]


def test_each_objective_flag_names_its_function() -> None:
    model = vae()
    names = {"elbo": elbo, "iwae": iwae, "dreg": dreg}
    for flag, function in names.items():
        chosen = objective_for(VAESettings(objective=flag), model)  # type: ignore[arg-type]
        assert chosen.func is function  # type: ignore[attr-defined]

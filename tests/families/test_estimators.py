"""Gradient estimators of discrete latents: means over many draws against gradients enumerated exactly.

Every |z| below is held under 5 for at most some 60 entries at fixed seeds: a false alarm in 30,000 at worst.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import zoo
from torch import Tensor

from ancestral.core.maths import log_mean_exp
from ancestral.data.pixels import Batch
from ancestral.evaluation.enumeration import all_images
from ancestral.families.belief_net import objectives as estimators
from ancestral.families.belief_net.exact import all_states
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.belief_net.objectives import ScoreFunction, objective_for, vimco, wake_sleep
from ancestral.families.belief_net.settings import BeliefNetSettings
from ancestral.models.base import ImportanceSample
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import PlainEngine
from ancestral.training.objectives import Objective
from ancestral.training.steps import GradientStep

BATCHES, COPIES = 100, 400
Gradients = dict[str, Tensor]


def machine(*latents: int) -> HelmholtzMachine:
    """A net of 2 x 2 pixels whose recognition network is far from the posterior."""
    model = zoo.seeded(lambda: zoo.tiny_helmholtz(*latents, side=2))
    assert isinstance(model, HelmholtzMachine)
    with torch.no_grad():
        for parameter in model.recognition.parameters():
            parameter.mul_(2)
    return model.train()


X = all_images(machine(2))[[1, 6, 11, 13]]


def gradients_of(value: Tensor, model: HelmholtzMachine) -> Gradients:
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def drawn_gradients(objective: Objective, model: HelmholtzMachine) -> Gradients:
    """One gradient of the mean loss per batch of copies of X, shape (BATCHES, ...)."""
    torch.manual_seed(6)
    x = X.repeat(COPIES, 1, 1, 1)
    draws = [gradients_of(objective(model, Batch(x))["loss"].mean(), model) for _ in range(BATCHES)]
    return {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}


def worst_z(found: Gradients, truth: Gradients) -> float:
    """The largest distance of a mean from the truth, in standard errors (plus rounding)."""
    scores = [
        ((found[name].mean(0) - truth[name]).abs() / (found[name].std(0) / math.sqrt(BATCHES) + 1e-9)).max().item()
        for name in truth
    ]
    return max(scores)


def enumerate_draws(model: HelmholtzMachine, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Every tuple of k latents: log p(x, z_i) and log q(z_i | x), shapes (T, k, B), and the tuple's log q, (T, B)."""
    z = all_states(sum(model.latents)).to(X)[:, None].expand(-1, len(X), -1)
    log_joint, log_q = model.log_joint(X, z), model.posterior(X).log_prob(z)
    tuples = torch.tensor(list(itertools.product(range(len(z)), repeat=k)))
    return log_joint[tuples], log_q[tuples], log_q[tuples].sum(1)


def enumerated_bound(model: HelmholtzMachine, k: int) -> Gradients:
    """Gradient of -E[log (1/k) sum_i w_i], by the chain rule through the probability of every tuple."""
    log_joint, log_q, log_tuple = enumerate_draws(model, k)
    expected = (log_tuple.exp() * log_mean_exp(log_joint - log_q, 1)).sum(0)
    return gradients_of(-expected.mean(), model)


def enumerated_wake_sleep(model: HelmholtzMachine, k: int, phase: str) -> Gradients:
    """Expectation of the self-normalised gradients, and of log q(z' | x') under every (x', z') of the model."""
    log_joint, log_q, log_tuple = enumerate_draws(model, k)
    shares = (log_joint - log_q).softmax(1) * log_tuple.exp()[:, None]
    of_p, wake = ((shares.detach() * log).sum((0, 1)).mean() for log in (log_joint, log_q))
    x = all_images(model)
    z = all_states(sum(model.latents)).to(x)[:, None].expand(-1, len(x), -1)
    sleep = (model.log_joint(x, z).detach().exp() * model.posterior(x).log_prob(z)).sum()
    of_q = {"wake": wake, "sleep": sleep, "both": (wake + sleep) / 2}[phase]
    return gradients_of(-of_p - of_q, model)


@pytest.mark.parametrize(("latents", "k"), [((2,), 2), ((2,), 3), ((2, 1), 2)])
def test_vimco_has_the_gradient_of_the_bound_of_k_draws(latents: tuple[int, ...], k: int) -> None:
    model = machine(*latents)
    assert worst_z(drawn_gradients(partial(vimco, k=k), model), enumerated_bound(model, k)) < 5


def plain(model: HelmholtzMachine, batch: Batch, k: int) -> dict[str, Tensor]:
    """The score function's estimator of the same bound, with nothing against its noise."""
    _, log_joint, log_q = estimators.importance_sample_fixed(model, batch.x, k)
    bound = log_mean_exp(log_joint - log_q, 0)
    return {"loss": estimators.with_gradient_of(-bound - (bound.detach() * log_q).sum(0), -bound)}


def test_vimco_is_less_noisy_than_the_plain_score_function() -> None:
    model = machine(2, 1)
    plainly, ours = (drawn_gradients(partial(estimate, k=3), model) for estimate in (plain, vimco))
    assert worst_z(plainly, enumerated_bound(model, 3)) < 5
    noise = [sum(g[n].var(0).sum() for n in g if n.startswith("recognition")) for g in (plainly, ours)]
    assert noise[1] < 0.5 * noise[0]


def with_baselines(model: HelmholtzMachine) -> ScoreFunction:
    """The score function after some training: baselines and scale that are anything but nought."""
    objective = ScoreFunction(model).eval()
    torch.manual_seed(8)
    for parameter in objective.parameters():
        torch.nn.init.normal_(parameter)
    objective.mean, objective.variance, objective.started = (torch.tensor(v).double() for v in (-2.5, 4.0, 1.0))
    return objective


def test_the_state_of_an_older_checkpoint_is_read() -> None:
    objective = with_baselines(machine(2))
    older = {name.replace("started", "begun"): value for name, value in objective.state_dict().items()}
    read = ScoreFunction(machine(2))
    read.load_state_dict(older)
    assert read.started == 1 and read.variance == 4


@pytest.mark.parametrize("latents", [(2,), (2, 1)])
def test_score_function_has_the_gradient_of_the_elbo_whatever_its_baseline(latents: tuple[int, ...]) -> None:
    """Half of it for q, whose signal is divided by the standard deviation of 2."""
    model = machine(*latents)
    truth = enumerated_bound(model, 1)
    scaled = {name: value / 2 if name.startswith("recognition") else value for name, value in truth.items()}
    assert worst_z(drawn_gradients(with_baselines(model), model), scaled) < 5


def test_score_function_scales_by_statistics_of_earlier_batches_only() -> None:
    model = machine(2)
    objective = ScoreFunction(model)
    torch.manual_seed(9)
    first = objective(model, Batch(X))
    silent = gradients_of(first["loss"].mean(), model)
    assert not any(gradient.any() for name, gradient in silent.items() if name.startswith("recognition"))
    assert objective.mean.item() == pytest.approx(-first["loss"].mean().item())
    second = objective(model, Batch(X))
    assert objective.mean.item() == pytest.approx(-(0.8 * first["loss"] + 0.2 * second["loss"]).mean().item())
    assert torch.equal(second["loss"], second["negative_elbo"])


def test_the_learned_baseline_reduces_the_variance_of_the_gradient() -> None:
    model = machine(2)
    objective = ScoreFunction(model)
    optimizer = torch.optim.Adam(objective.parameters(), 0.02)
    torch.manual_seed(10)
    x = X.repeat(50, 1, 1, 1)
    for _ in range(150):
        optimizer.zero_grad()
        objective(model, Batch(x))["loss"].mean().backward()
        optimizer.step()
    objective.eval()
    untaught = ScoreFunction(model).eval()
    untaught.mean, untaught.variance, untaught.started = torch.zeros(()), objective.variance, torch.ones(())
    noise = [
        sum(g.var(0).sum() for name, g in drawn_gradients(one, model).items() if name.startswith("recognition"))
        for one in (untaught, objective)
    ]
    assert noise[1] < 0.5 * noise[0]


@pytest.mark.parametrize("phase", ["wake", "sleep", "both"])
def test_wake_sleep_has_the_gradients_of_its_phases(phase: str) -> None:
    model = machine(2, 1)
    found = drawn_gradients(partial(wake_sleep, k=2, phase=phase), model)
    assert worst_z(found, enumerated_wake_sleep(model, 2, phase)) < 5


@pytest.mark.parametrize("estimate", [vimco, wake_sleep])
def test_the_loss_is_the_bound_of_k_samples(estimate: Objective) -> None:
    model = machine(2, 1)
    torch.manual_seed(11)
    expected = -log_mean_exp(model.log_weights(X, 4), 1)
    torch.manual_seed(11)
    terms = estimate(model, Batch(X), k=4)  # type: ignore[call-arg]
    assert set(terms) == {"loss"}
    assert torch.allclose(terms["loss"], expected)


def own_sample_in_the_baseline(patch: pytest.MonkeyPatch) -> None:
    """log w_i replaced by the mean of all log-weights, its own among them."""

    def bounds(log_w: Tensor) -> Tensor:
        itself = torch.eye(len(log_w), dtype=torch.bool)[:, :, None]
        return log_mean_exp(torch.where(itself, log_w.mean(0), log_w), 1)

    patch.setattr(estimators, "bounds_without_each", bounds)


def gradient_through_the_signal(patch: pytest.MonkeyPatch) -> None:
    """The signal not held fixed."""
    patch.setattr(estimators.torch, "no_grad", contextlib.nullcontext)


def wrong_sign_of_log_q(patch: pytest.MonkeyPatch) -> None:
    """q pushed away from what explains x."""
    original = estimators.importance_sample_fixed

    def importance_sample(model: HelmholtzMachine, x: Tensor, k: int) -> ImportanceSample:
        z, log_joint, log_q = original(model, x, k)
        return ImportanceSample(z, log_joint, 2 * log_q.detach() - log_q)  # its value, and its gradient turned round

    patch.setattr(estimators, "importance_sample_fixed", importance_sample)


def forgotten_log_q(patch: pytest.MonkeyPatch) -> None:
    """log p(x, z) alone called a log weight."""
    original = estimators.importance_sample_fixed

    def importance_sample(model: HelmholtzMachine, x: Tensor, k: int) -> ImportanceSample:
        z, log_joint, log_q = original(model, x, k)
        return ImportanceSample(z, log_joint, log_q - log_q.detach())

    patch.setattr(estimators, "importance_sample_fixed", importance_sample)


def of_bound(model: HelmholtzMachine) -> float:
    return worst_z(drawn_gradients(partial(vimco, k=2), model), enumerated_bound(model, 2))


def of_wake(model: HelmholtzMachine) -> float:
    return worst_z(drawn_gradients(partial(wake_sleep, k=2), model), enumerated_wake_sleep(model, 2, "wake"))


@pytest.mark.parametrize(
    ("make", "distance"),
    [
        (own_sample_in_the_baseline, of_bound),
        (gradient_through_the_signal, of_bound),
        (wrong_sign_of_log_q, of_bound),
        (forgotten_log_q, of_bound),
        (wrong_sign_of_log_q, of_wake),
        (forgotten_log_q, of_wake),
    ],
)
def test_a_wrong_gradient_is_detected(
    make: Callable[[pytest.MonkeyPatch], None],
    distance: Callable[[HelmholtzMachine], float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = machine(2)
    make(monkeypatch)
    assert distance(model) > 8


def test_a_missing_log_k_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal weights the bound of any k is log p(x); the sum taken for the mean is log k too good."""
    model = machine(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    expected = torch.full((len(X),), 4 * math.log(2)).double()
    for estimate in (vimco, wake_sleep):
        assert torch.allclose(estimate(model, Batch(X), 3)["loss"], expected)
    monkeypatch.setattr(estimators, "log_mean_exp", torch.logsumexp)
    for estimate in (vimco, wake_sleep):
        assert torch.allclose(estimate(model, Batch(X), 3)["loss"], expected - math.log(3))


def trained(model: HelmholtzMachine, step: GradientStep, first: int, last: int) -> list[Tensor]:
    losses = []
    for number in range(first, last):
        torch.manual_seed(number)
        losses.append(step(Batch(X), number)["loss"])
    return losses


def test_a_resumed_baseline_is_bit_identical() -> None:
    settings = TrainingSettings(learning_rate=0.01, clip_norm=5.0)
    engine = PlainEngine()

    def fresh() -> tuple[HelmholtzMachine, GradientStep]:
        model = machine(2, 1)
        return model, GradientStep(engine, model, ScoreFunction(model), settings, 20)

    model, step = fresh()
    trained(model, step, 0, 5)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {name: tensor.clone() for name, tensor in step.state().items()}
    assert {"objective.mean", "objective.variance", "objective.baseline.network.layers.0.weight"} <= set(state)
    expected = trained(model, step, 5, 10)
    again, resumed = fresh()
    again.load_state_dict(weights)
    resumed.restore(state)
    assert all(torch.equal(*pair) for pair in zip(trained(again, resumed, 5, 10), expected, strict=True))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, resumed.state()[name]) for name, tensor in step.state().items())


def test_the_baseline_is_not_saved_with_the_model() -> None:
    model = machine(2)
    before = set(model.state_dict())
    objective = objective_for(BeliefNetSettings(latents=(2,), method="score"), model)
    assert isinstance(objective, ScoreFunction)
    assert set(model.state_dict()) == before


def test_each_method_names_its_objective() -> None:
    model = machine(2)
    for method, function in {"vimco": vimco, "wake-sleep": wake_sleep}.items():
        settings = BeliefNetSettings(latents=(2,), method=method, particles=7, phase="both")  # type: ignore[arg-type]
        chosen = objective_for(settings, model)
        assert isinstance(chosen, partial)
        assert (chosen.func, chosen.keywords["k"]) == (function, 7)
    assert chosen.keywords["phase"] == "both"

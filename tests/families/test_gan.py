"""The adversarial game: its value and optima, its gradients, its penalties, and that a step is the textbook's."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Captured, printed, run, train_without_page
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from ancestral import fit
from ancestral.core.errors import InputError, NotComputable, TrainingDiverged
from ancestral.core.maths import arcs
from ancestral.data.datasets import load_dataset
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.evaluation import sample_readings as looks
from ancestral.evaluation.diversity import (
    brightness_shift,
    covered_share,
    dimension_ratio,
    effective_dimensions,
    spread_ratio,
)
from ancestral.evaluation.recogniser import Recognition
from ancestral.families.family import DataSpec
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import (
    LOSSES,
    R1_EVERY,
    AdversarialStep,
    build_critic,
    cross_entropy,
    gradient_penalty,
    r1_penalty,
)
from ancestral.families.gan.vanishing_gradient import measure_gradients
from ancestral.settings.training import TrainingSettings
from ancestral.training.engine import PlainEngine

SHAPE = (1, 4, 4)
TINY: dict[str, Any] = {"latents": 3, "hidden": (8,), "critic_hidden": (8,), "dropout": 0.0, "critic_dropout": 0.0}


def game(seed: int = 0, optimizer: str = "sgd", **settings: Any) -> AdversarialStep:
    """A tiny game in double precision, deterministic but for the latents and what the settings ask for."""
    torch.manual_seed(seed)
    chosen = GANSettings(**{**TINY, **settings})
    model = build_gan(chosen, DataSpec(SHAPE, 0, "unit")).double()
    critic = build_critic(chosen, SHAPE).double()
    training = TrainingSettings(learning_rate=0.1, optimizer=optimizer)  # type: ignore[arg-type]
    return AdversarialStep(PlainEngine(), model, critic, chosen, training, 100)


def images(n: int = 6, seed: int = 1) -> Tensor:
    return torch.rand(n, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def changed(before: list[Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))


# --- the value of the game, over a space of five images


P = Categorical(torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1], dtype=torch.float64))
Q = Categorical(torch.tensor([0.1, 0.1, 0.2, 0.3, 0.3], dtype=torch.float64))


def expected(loss: str, score: Tensor) -> Tensor:
    """The critic's expected loss where images come from P and draws from Q, with a score for each image."""
    real, fake = score[:, None].expand(5, 5), score[None, :].expand(5, 5)
    return (P.probs[:, None] * Q.probs[None, :] * LOSSES[loss].critic(real, fake)).sum()


def minimised(loss: str) -> Tensor:
    score = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([score], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        search.zero_grad()
        value = expected(loss, score)
        value.backward()
        return value

    search.step(evaluate)  # type: ignore[arg-type]
    return score.detach()


def test_the_optimal_critic_gives_the_density_ratio_and_the_value_the_divergence() -> None:
    """D* = p / (p + q), value = 2 JSD(p, q) - 2 log 2 (Goodfellow et al., 2014, theorem 1)."""
    score = minimised("non-saturating")
    assert torch.allclose(score, P.logits - Q.logits, atol=1e-3)  # flat at its optimum: the value is far closer
    middle = Categorical((P.probs + Q.probs) / 2)
    twice_jsd = kl_divergence(P, middle) + kl_divergence(Q, middle)
    assert -expected("non-saturating", score) == pytest.approx((twice_jsd - 2 * math.log(2)).item(), abs=1e-9)


def test_at_the_equilibrium_the_value_is_minus_two_log_two() -> None:
    nothing = torch.zeros(3)
    assert torch.allclose(-cross_entropy(nothing, nothing), torch.full((3,), -2 * math.log(2)))


def test_the_optimal_hinge_critic_is_the_sign_of_the_density_difference() -> None:
    """Sum of the losses at sign(p - q) is 2 sum min(p, q), the least there is."""
    best = (P.probs - Q.probs).sign()
    least = 2 * torch.minimum(P.probs, Q.probs).sum()
    assert expected("hinge", best) == pytest.approx(least.item(), abs=1e-12)
    for shift in torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64):
        assert expected("hinge", best + shift) >= least - 1e-12


@pytest.mark.parametrize("loss", ["non-saturating", "saturating", "hinge", "wasserstein"])
def test_every_generator_loss_decreases_in_the_score(loss: str) -> None:
    score = torch.linspace(-3, 3, 7, requires_grad=True)
    LOSSES[loss].generator(score).sum().backward()
    assert score.grad is not None and bool((score.grad < 0).all())


def test_the_gradient_of_the_saturating_loss_vanishes_for_a_strong_critic() -> None:
    """d/ds log(1 - sigmoid(s)) = -sigmoid(s) -> 0 as s -> -inf, where d/ds -log sigmoid(s) -> -1."""
    for name, gradient in (("saturating", lambda s: -s.sigmoid()), ("non-saturating", lambda s: s.sigmoid() - 1)):
        score = torch.linspace(-12, 12, 9, dtype=torch.float64, requires_grad=True)
        LOSSES[name].generator(score).sum().backward()
        assert score.grad is not None and torch.allclose(score.grad, gradient(score.detach()), atol=1e-12)


# --- a step is the algorithm of the paper


def by_hand(step: AdversarialStep, x: Tensor, rate: float) -> tuple[list[Tensor], list[Tensor]]:
    """Algorithm 1 with plain gradient descent and torch's own binary cross-entropy, on copies of both networks."""
    model, critic = copy.deepcopy(step.model), copy.deepcopy(step.critic_module)

    def descend(loss: Tensor, module: nn.Module) -> None:
        parameters = list(module.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.data -= rate * gradient

    fake = (1 + model.generator(model.codes(len(x))).tanh()) / 2
    one, nought = torch.ones(len(x)).double(), torch.zeros(len(x)).double()
    real_loss = binary_cross_entropy_with_logits(critic.network(2 * x - 1)[:, 0], one)
    fake_loss = binary_cross_entropy_with_logits(critic.network(2 * fake.detach() - 1)[:, 0], nought)
    descend(real_loss + fake_loss, critic)
    descend(binary_cross_entropy_with_logits(critic.network(2 * fake - 1)[:, 0], one), model.generator)
    return weights(critic), weights(model)


def test_a_step_is_algorithm_1() -> None:
    step, x = game(), images()
    torch.manual_seed(5)
    critic, generator = by_hand(step, x, rate=0.1)
    torch.manual_seed(5)
    terms = step(Batch(x), 0)
    for after, by in ((weights(step.critic_module), critic), (weights(step.model), generator)):
        assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(after, by, strict=True))
    assert all(term.shape == (len(x),) for term in terms.values())
    assert torch.allclose(terms["value"], -terms["critic_loss"])
    assert torch.allclose(terms["real_prob"].logit(), terms["real_score"])


def test_the_logged_gradient_norm_is_that_of_the_generator() -> None:
    step, x = game(), images()
    before = weights(step.model)
    terms = step(Batch(x), 0)
    moved = torch.cat([(old - new).flatten() for old, new in zip(before, step.model.parameters(), strict=True)])
    assert terms["generator_gradient"][0] == pytest.approx(moved.norm().item() / 0.1)


def test_the_critic_can_have_several_updates_per_step() -> None:
    step, x = game(critic_steps=3), images()
    generator = weights(step.model)
    for number in range(2):
        critic = weights(step.critic_module)
        step(Batch(x), number)
        assert changed(critic, step.critic_module) and not changed(generator, step.model)
    step(Batch(x), 2)
    assert changed(generator, step.model)


def test_the_averaged_weights_are_kept() -> None:
    step, x = game(average=0.9), images()
    for number in range(200):
        average, newest = weights(step.model), weights(step.trained)
        step(Batch(x), number)
    assert changed(newest, step.trained)
    for old, new, trained in zip(average, step.model.parameters(), step.trained.parameters(), strict=True):
        assert torch.allclose(new, 0.9 * old + 0.1 * trained)


def test_a_loss_that_is_not_finite_stops_before_any_update() -> None:
    step, x = game(), images()
    before = weights(step.critic_module)
    with pytest.raises(TrainingDiverged):
        step(Batch(x * math.inf), 0)
    assert not changed(before, step.critic_module)


@pytest.mark.parametrize(
    "settings",
    [{}, {"average": 0.9}, {"spectral_norm": True}, {"critic_steps": 2, "loss": "wasserstein"}, {"r1": 0.3}],
    ids=str,
)
def test_a_restored_step_continues_bit_identically(settings: dict[str, Any]) -> None:
    def play(step: AdversarialStep, first: int, last: int) -> Tensor:
        losses = []
        for number in range(first, last):
            torch.manual_seed(number)
            losses.append(step(Batch(images(seed=number)), number)["loss"])
        return torch.stack(losses)

    whole = game(optimizer="adam", **settings)
    play(whole, 0, 3)
    other = game(seed=9, optimizer="adam", **settings)
    other.model.load_state_dict(whole.model.state_dict())
    other.restore({name: tensor.clone() for name, tensor in whole.state().items()})
    assert torch.equal(play(whole, 3, 6), play(other, 3, 6))


# --- penalties and norms


class Plane(nn.Module):
    """The score w.x."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return x.flatten(1) @ self.w


def test_the_penalties_of_a_linear_critic_depend_on_its_slope() -> None:
    critic, x = Plane(torch.tensor([3.0, 4.0]).double()), torch.randn(5, 2).double()
    assert torch.allclose(r1_penalty(critic, x, None), torch.full((5,), 12.5).double())
    assert torch.allclose(gradient_penalty(critic, x, -x, None), torch.full((5,), 16.0).double())
    r1_penalty(critic, x, None).mean().backward()
    assert critic.w.grad is not None and torch.allclose(critic.w.grad, critic.w.detach())


def test_the_gradient_penalty_uses_points_between_images_and_samples() -> None:
    class Recorder(Plane):
        def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
            self.seen = x.detach()
            return super().forward(x)

    critic = Recorder(torch.ones(2))
    real, fake = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(200, 1), torch.tensor([[2.0, 4.0]]).repeat(400, 1)
    gradient_penalty(critic, real, fake, None)
    weight = (critic.seen - real) / (fake - real)
    assert torch.allclose(weight[:, 0], weight[:, 1], atol=1e-6)  # one weight an image
    assert weight.min() >= 0 and weight.max() <= 1 and weight[:, 0].std() == pytest.approx(12**-0.5, abs=0.05)


def test_lazy_r1_has_the_same_mean_strength_as_r1_in_every_step() -> None:
    x = images()
    plain, penal = game(), game(r1=0.5)
    for step in (plain, penal):
        torch.manual_seed(3)
        step(Batch(x), 1)
    assert not changed(weights(plain.critic_module), penal.critic_module)
    plain, penal = game(), game(r1=0.5)
    start = weights(plain.critic_module)
    slope = torch.autograd.grad(
        r1_penalty(plain.critic_module, x, None).mean(), list(plain.critic_module.parameters()), allow_unused=True
    )
    for step in (plain, penal):
        torch.manual_seed(3)
        step(Batch(x), 0)
    assert len(start) == len(slope)
    for without, withit, gradient in zip(
        weights(plain.critic_module), weights(penal.critic_module), slope, strict=True
    ):
        expected_move = 0 if gradient is None else 0.1 * R1_EVERY * 0.5 * gradient
        assert torch.allclose(without - withit, torch.as_tensor(expected_move).double().expand_as(without), atol=1e-10)


def test_spectral_normalisation_limits_the_norm_of_weights_to_one() -> None:
    critic = build_critic(GANSettings(spectral_norm=True, **TINY), SHAPE)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(7)
    for _ in range(200):
        critic(torch.rand(2, *SHAPE))
    largest = [
        torch.linalg.matrix_norm(layer.weight, 2).item() for layer in critic.modules() if isinstance(layer, nn.Linear)
    ]
    assert largest == pytest.approx([1.0] * len(largest), abs=1e-3)


# --- what is left to learn from a critic that wins


def test_a_strong_critic_makes_only_the_saturating_gradient_vanish() -> None:
    torch.manual_seed(0)
    settings = GANSettings(**TINY)
    model, critic = build_gan(settings, DataSpec(SHAPE, 0, "unit")).eval(), build_critic(settings, SHAPE)
    before = weights(model)
    real = PixelBatches(torch.full((256, *SHAPE), 255, dtype=torch.uint8), PixelSpace("unit", 256))
    found = measure_gradients(model, critic, real, steps=150, rate=1e-2, batch_size=64)
    assert found.fake_prob[-1] < 0.01 and not changed(before, model)
    assert found.ratio < 0.02  # sigmoid(s) against 1 - sigmoid(s)
    healthy, vanishing_gradients = (found.gradients[name] for name in ("non-saturating", "saturating"))
    assert healthy[0] == pytest.approx(vanishing_gradients[0], rel=0.5), "they begin alike, at D = 1/2"
    assert vanishing_gradients[-1] < 0.2 * vanishing_gradients[0] and healthy[-1] > healthy[0]


# --- the model


def test_samples_are_pixels_and_a_likelihood_raises_not_computable() -> None:
    model = build_gan(GANSettings(**TINY), DataSpec(SHAPE, 0, "unit"))
    x = model.sample(50)
    assert x.shape == (50, *SHAPE) and x.min() >= 0 and x.max() <= 1
    with pytest.raises(NotComputable):
        model.log_prob(x)
    with pytest.raises(InputError, match="real numbers"):
        build_gan(GANSettings(), DataSpec(SHAPE, 2, "threshold"))
    with pytest.raises(InputError, match="cnn needs images"):
        build_gan(GANSettings(network="cnn"), DataSpec((2,), 0, "points"))


def test_generator_and_critic_of_a_conditional_gan_use_the_class() -> None:
    settings = GANSettings(**TINY, classes=3)
    model, critic = build_gan(settings, DataSpec(SHAPE, 0, "unit")), build_critic(settings, SHAPE)
    codes = model.codes(300)
    assert codes.shape == (300, 6) and torch.equal(codes[:, 3:].sum(1), torch.ones(300))
    assert codes[:, 3:].mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.1)
    labels = torch.tensor([2, 0, 1])
    assert torch.equal(model.codes(3, labels)[:, 3:].argmax(1), labels)
    assert model.sample_classes(labels).shape == (3, *SHAPE)
    x = torch.rand(3, *SHAPE)
    assert torch.equal(critic(x, labels), critic.network(2 * x - 1)[range(3), labels])
    for wrong in (-1, 3):
        with pytest.raises(InputError, match="0 to 2"):
            model.sample_classes(torch.tensor([wrong]))
    with pytest.raises(InputError, match="has no classes"):
        build_gan(GANSettings(**TINY), DataSpec(SHAPE, 0, "unit")).sample_classes(labels)


def test_dropout_is_only_active_in_training() -> None:
    model = build_gan(GANSettings(latents=3, hidden=(8,), dropout=0.5), DataSpec(SHAPE, 0, "unit"))
    z = model.codes(4)
    assert not torch.equal(model.train().decode(z), model.decode(z))
    assert torch.equal(model.eval().decode(z), model.decode(z))


def test_an_arc_keeps_the_norm_and_a_constant_angular_speed() -> None:
    a, b = torch.randn(2, 6, 20, generator=torch.Generator().manual_seed(0)).double()
    b = b * (a.norm(dim=1) / b.norm(dim=1))[:, None]
    path = arcs(a, b, torch.linspace(0, 1, 7).double())
    assert torch.allclose(path[:, 0], a) and torch.allclose(path[:, -1], b)
    assert torch.allclose(path.norm(dim=2), a.norm(dim=1)[:, None].expand(6, 7))
    turned = torch.cosine_similarity(path[:, 1:], path[:, :-1], dim=2)
    assert torch.allclose(turned, turned[:, :1].expand_as(turned))
    same = arcs(a, a, torch.tensor([0.3]).double())
    assert torch.allclose(same[:, 0], a)


# --- looks


def test_readings_of_samples_separate_collapse_from_healthy_training() -> None:
    data = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))
    fresh = torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    assert spread_ratio(fresh, data) == pytest.approx(1, abs=0.05)
    assert covered_share(fresh, data) > 0.9
    alike = data[:1] + 0.01 * fresh
    assert spread_ratio(alike, data) < 0.02 and covered_share(alike, data) < 0.03
    assert dimension_ratio(fresh, data) == pytest.approx(1, abs=0.05)
    faint_and_bold = data[:1] * fresh[:, :1]  # one image at many strengths
    assert dimension_ratio(faint_and_bold, data) == pytest.approx(1 / 6, abs=0.02) and spread_ratio(alike, data) < 1
    assert brightness_shift(data + data.std(), data) == pytest.approx(1, abs=1e-4)


def test_effective_dimensions_are_those_of_the_eigenvalues() -> None:
    x = torch.randn(50, 7).double() * torch.tensor([5.0, 3, 1, 1, 0.5, 0.1, 0])
    eigenvalues = torch.linalg.eigvalsh(x.T.cov())
    assert effective_dimensions(x) == pytest.approx((eigenvalues.sum() ** 2 / eigenvalues.square().sum()).item())


def test_coverage_is_that_of_a_plain_loop() -> None:
    data, draws = torch.randn(60, 3), torch.randn(25, 3)
    covered = 0
    for i, x in enumerate(data):
        others = sorted((x - y).norm().item() for j, y in enumerate(data) if j != i)
        covered += min((x - y).norm().item() for y in draws) <= others[4] + 1e-6
    assert covered_share(draws, data) == pytest.approx(covered / 60)


# --- end to end


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "hinge", "spectral_norm": True},
        {"loss": "wasserstein", "critic_steps": 2},
        {"loss": "saturating", "clip_norm": 1.0},
        {"network": "cnn", "channels": (8, 4), "critic_channels": (4, 8), "batch_norm": True, "average": 0.99},
        {"classes": 10, "r1": 0.1},
        {"data": "moons"},
    ],
    ids=lambda settings: " ".join(map(str, settings)),
)
def test_every_kind_trains_and_keeps_the_last_weights(settings: dict[str, Any], tmp_path: Path) -> None:
    common = {"epochs": 2, "batch_size": 256, "train_size": 512, "log_every": 1}
    made = fit("gan", tmp_path / "run", **{**common, **settings})
    assert isinstance(made.load(), GAN) and made.outcome["best_value"] is None
    names = {(line.split, line.name) for line in made.log()}
    assert {("train", "generator_gradient"), ("samples", "diversity"), ("samples", "coverage")} <= names
    assert (("train", "value") in names) == (settings.get("loss") in (None, "saturating"))
    assert (("samples", "brightness") in names) == ("data" not in settings)


def test_few_images_are_enough_to_train(tmp_path: Path) -> None:
    for name, sizes in {"few held out": {"train_size": 200, "valid_size": 4}, "few": {"train_size": 4}}.items():
        made = fit("gan", tmp_path / name, epochs=1, **sizes)
        seen = {line.name: line.value for line in made.log() if line.split == "samples"}
        assert 0 <= seen["coverage"] <= 1 and seen["diversity"] > 0


def test_readings_omit_classes_if_the_images_lack_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load_dataset("digits")

    class Seer:
        """Sees the first class everywhere."""

        def __call__(self, x: Tensor) -> Recognition:
            return Recognition(torch.zeros(len(x), 2), torch.tensor([[1.0] + [0.0] * 9]).expand(len(x), 10))

    monkeypatch.setattr(looks, "shipped_for", lambda dataset: Seer())
    x = PixelBatches(dataset.train.images, PixelSpace("unit", 17)).first(200)
    model = build_gan(GANSettings(**TINY), DataSpec(dataset.event_shape, 17, "unit"))
    names = {reading.name for reading in looks.SampleReadings(x, dataset, seed=0)(model)}
    assert names == {"diversity", "coverage", "dimension", "brightness"}


def test_from_the_command_line(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "gan"
    train_without_page("gan", "--classes", 10, "--epochs", 1, "--train-size", 300, "--tolerate", "--out", out)
    assert not capsys.readouterr().out, "there is no score to show"
    printed(capsys, "sample", out, "--label", 3, "-n", 5, "--out", tmp_path / "three.npy")
    refusals = {
        ("evaluate", str(out)): "no likelihood",
        ("sample", str(out), "--label", "10", "--out", str(tmp_path / "x.npy")): "0 to 9",
        ("train", "gan", "--classes", "7", "--out", str(tmp_path / "y")): "the largest label is 9",
        ("train", "gan", "--data", "moons", "--classes", "2", "--out", str(tmp_path / "y")): "needs labels",
        ("train", "gan", "--pixels", "levels", "--out", str(tmp_path / "y")): "real numbers",
        ("train", "gan", "--dropout", "1", "--out", str(tmp_path / "y")): "below 1",
        ("train", "gan", "--beta1", "1", "--out", str(tmp_path / "y")): "below 1",
    }
    for words, message in refusals.items():
        assert run(*words) == 2
        complaint = capsys.readouterr().err
        assert message in complaint and complaint.count("\n") == 1, complaint
    assert not (tmp_path / "y").exists()

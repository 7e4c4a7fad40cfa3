"""Models with classes: p(x | y) by enumeration, labels in training, p(y | x), and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from helpers import assert_bounds_in_order, printed, refused, run
from scipy import stats
from torch import Tensor

import ancestral
from ancestral.core.errors import NotComputable
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch
from ancestral.distributions.by_class import ClassAndLatents
from ancestral.evaluation.class_scores import by_bayes, calibration_error, class_scores
from ancestral.evaluation.enumeration import all_images
from ancestral.families.autoregressive.made import MADE
from ancestral.families.circuit.em_step import EMStep as CircuitStep
from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.conditional import joint_of_labels
from ancestral.families.mixture.em_step import EMStep
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.score_parts import score_parts
from ancestral.families.vae.vae import VAE
from ancestral.models.base import ExactModel, LatentModel
from ancestral.models.classes import ClassConditional, ScoresClasses, log_joint_of_classes
from ancestral.runs.sample import labels_of
from ancestral.training.objectives import elbo, nll, terms_of_labels

CONDITIONAL = [
    name for name, make in zoo.ZOO.items() if getattr(zoo.seeded(make), "classes", 0) and not name.startswith("gan")
]
EXACT = [name for name in CONDITIONAL if zoo.seeded(zoo.ZOO[name]).kind == "exact"]
BRIEF = {"data": "digits", "epochs": 1, "train_size": 300, "valid_size": 50}


def model_of(name: str) -> ClassConditional:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, ClassConditional)
    return model


def test_every_family_with_labels_has_a_conditional_tiny_model() -> None:
    families = {name.partition(",")[0].partition(" ")[0] for name in CONDITIONAL}
    assert families == {"made", "pixelcnn", "vae", "flow", "mixture", "circuit", "any-order"}


def log_prob_on_grid(model: LatentModel, x: Tensor) -> Tensor:
    """log p(x) as the sum of p(x, z) over a fine grid of two latents."""
    axis = torch.linspace(-16, 16, 161, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        joint = model.log_joint(x, z[:, None].expand(-1, len(x), -1))
    return joint.logsumexp(0) + 2 * math.log(0.2)


@pytest.mark.parametrize(
    "name",
    ["vae, conditional", pytest.param("vae, conditional, VampPrior, convolutional", marks=pytest.mark.slow)],
)
def test_bounds_of_a_vae_are_below_the_exact_values_given_the_class_and_summed_over_it(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, VAE)
    x = all_images(model)
    given = [model.given(label) for label in range(2)]
    truth = torch.stack([log_prob_on_grid(one, x) for one in given], 1)
    torch.manual_seed(1)
    with torch.no_grad():
        for label, one in enumerate(given):
            assert truth[:, label].exp().sum().item() == pytest.approx(1, abs=1e-6)
            assert_bounds_in_order(one.log_weights(x, 4000), truth[:, label], gap=0.01)
        joint = truth + model.log_class_probs()
        assert_bounds_in_order(model.log_weights(x, 4000), joint.logsumexp(1), gap=0.01)
        parts = torch.stack([model.elbo(x) for _ in range(500)])
        assert (parts.mean(0) <= joint.logsumexp(1) + 5 * parts.std(0) / math.sqrt(500)).all()
        found = log_joint_of_classes(model, x, 4000)
    assert (found.softmax(1) - joint.softmax(1)).abs().max() < 0.03
    assert (model.class_posterior(x, 4000).probs - joint.softmax(1)).abs().max() < 0.03


@pytest.mark.parametrize("name", [name for name in EXACT if name != "flow, spline, conditional"])
def test_the_class_posterior_is_bayes_rule(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, ScoresClasses) and isinstance(model, ExactModel)
    x, log_prior = model.sample(12), model.log_class_probs()
    joint = []
    for label in range(model.classes):
        given = model.given(torch.full((12,), label))
        assert isinstance(given, ExactModel)
        joint.append(given.log_prob(x) + log_prior[label])
    expected = torch.stack(joint, 1)
    assert torch.allclose(model.log_joint_classes(x), expected, atol=1e-8)
    assert torch.allclose(model.class_posterior(x).probs, expected.softmax(1), atol=1e-8)
    assert log_prior.exp().unique().numel() > 1 or name.startswith("flow")  # equal classes would hide a missing p(y)


@pytest.mark.parametrize("name", ["made, conditional", "pixelcnn, conditional", "mixture, conditional"])
def test_missing_pixels_are_scored_by_the_mixture_over_classes(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, ExactModel)
    x = all_images(model)
    observed = torch.zeros_like(x, dtype=torch.bool).flatten(1)
    observed[:, :4] = True
    observed = observed.view_as(x)
    with torch.no_grad():
        log_p = model.log_prob(x)
        same = (x.flatten(1)[:, None, :4] == x.flatten(1)[None, :, :4]).all(2)
        total = torch.where(same, log_p, -torch.inf).logsumexp(1)
        assert torch.allclose(model.log_prob_missing(x, observed), log_p - total, atol=1e-9)  # type: ignore[operator]
        start = x[37:38].expand(4000, *x.shape[1:])
        drawn = model.complete(start, observed[:1].expand_as(start))  # type: ignore[operator]
    shares = torch.bincount((drawn.flatten(1) @ 2 ** torch.arange(8.0, -1, -1).double()).long(), minlength=512) / 4000
    expected = torch.where(same[37], log_p - total[37], -torch.inf).exp()
    likely = expected * 4000 >= 5
    statistic = (4000 * (shares - expected)[likely].square() / expected[likely]).sum().item()
    assert stats.chi2.sf(statistic, int(likely.sum()) - 1) > 1e-4


def labelled_batch(model: ClassConditional, labels: list[int]) -> Batch:
    torch.manual_seed(0)
    return Batch(model.sample(len(labels)), torch.tensor(labels))


@pytest.mark.parametrize("name", ["made, conditional", "mixture, conditional", "circuit by class"])
def test_the_loss_is_that_of_image_and_label_and_unknown_labels_are_summed_out(name: str) -> None:
    model = model_of(name)
    assert isinstance(model, ScoresClasses) and isinstance(model, ExactModel)
    batch = labelled_batch(model, [0, -1, 1, 1, -1])
    loss = terms_of_labels(model, nll, batch)["loss"]
    joint, known = model.log_joint_classes(batch.x), torch.tensor([0, 2, 3])
    assert batch.labels is not None
    assert torch.allclose(loss[known], -joint[known, batch.labels[known]])
    assert torch.allclose(loss[[1, 4]], -model.log_prob(batch.x[[1, 4]]))
    unlabelled = terms_of_labels(model, nll, batch._replace(labels=torch.full((5,), -1)))
    assert torch.equal(unlabelled["loss"], -model.log_prob(batch.x))


def test_a_batch_with_all_labels_gives_the_supervised_terms_to_the_bit() -> None:
    model = model_of("vae, conditional")
    batch = labelled_batch(model, [0, 1, 1, 0])
    assert batch.labels is not None
    torch.manual_seed(3)
    found = terms_of_labels(model, elbo, batch)
    torch.manual_seed(3)
    supervised = elbo(model.given(batch.labels), batch)  # type: ignore[arg-type]
    assert torch.equal(found["loss"], supervised["loss"] - model.log_class_probs()[batch.labels])
    assert torch.equal(found["kl"], supervised["kl"])


def test_training_on_separable_data_finds_the_classes() -> None:
    """Class 0 is dark, class 1 is light; 8 of 200 images have a label."""
    torch.manual_seed(0)
    labels = torch.arange(200) % 2
    x = (torch.rand(200, 1, 3, 3) < torch.where(labels == 1, 0.9, 0.1).view(-1, 1, 1, 1)).float()
    model = MADE([1, 3, 3], hidden=[8], classes=2)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    partly = torch.where(torch.arange(200) < 8, labels, -1)
    for _ in range(80):
        optimiser.zero_grad()
        terms_of_labels(model, nll, Batch(x, partly))["loss"].mean().backward()
        optimiser.step()
    model.eval()
    assert (model.class_posterior(x).probs.argmax(1) == labels).float().mean() > 0.95
    assert model.sample_classes(torch.tensor([0] * 50 + [1] * 50)).flatten(1).mean(1).split(50)[0].mean() < 0.3
    assert model.given(1).sample(50).mean() > 0.7


def test_em_uses_the_labels_and_the_posterior_of_unlabelled_images() -> None:
    joint = torch.log(torch.tensor([[0.1, 0.2, 0.3, 0.4]] * 3))
    found = joint_of_labels(joint, torch.tensor([1, 0, -1]), 2).softmax(1)
    assert torch.allclose(found, torch.tensor([[0, 0, 3 / 7, 4 / 7], [1 / 3, 2 / 3, 0, 0], [0.1, 0.2, 0.3, 0.4]]))
    torch.manual_seed(0)
    model = MixtureOfBernoullis([1, 3, 3], components=4, classes=2, weight_scale=0.5)
    labels = torch.tensor([0] * 30 + [1] * 10)
    x = (torch.rand(40, 1, 3, 3) < torch.where(labels == 1, 0.9, 0.1).view(-1, 1, 1, 1)).float()
    step = EMStep(model, 0.01)
    for _ in range(3):
        terms = step(Batch(x, labels), 0)
        expected = model.log_joint_classes(x)[torch.arange(40), labels]
        assert torch.allclose(terms["loss"], -expected, atol=1e-5)
        step.end_epoch()
    assert model.log_class_probs().exp().tolist() == pytest.approx([0.75, 0.25], abs=1e-3)
    means = model.component_images.flatten(1).mean(1)
    assert (means[:2] < 0.3).all() and (means[2:] > 0.7).all()


def test_em_of_a_circuit_sums_over_the_class_of_an_unlabelled_image() -> None:
    model = zoo.seeded(zoo.ZOO["circuit by class"])
    settings = CircuitSettings(conditional=True, components=2, method="em")
    step = CircuitStep(model, settings, 1, 6, torch.zeros(2, 9).double())  # type: ignore[arg-type]
    x = model.sample(6)
    joint = model.log_joint_classes(x)  # type: ignore[operator]
    loss = step(Batch(x, torch.tensor([0, -1, 1, -1, -1, 0])), 0)["loss"]
    assert torch.allclose(loss[[1, 3, 4]], -joint[[1, 3, 4]].logsumexp(1))
    assert (loss[[0, 2, 5]] > -joint[[0, 2, 5], [0, 1, 0]]).all()  # of one tree of the class
    assert step.shares.sum().item() == pytest.approx(6)


def test_scores_of_classes_by_hand() -> None:
    posterior = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.5, 0.5]]).double()
    log_prior = torch.tensor([0.9, 0.1]).double().log()
    joint = posterior.log() + torch.tensor([-3.0, -4.0, -5.0, -6.0]).double()[:, None]
    labels = torch.tensor([0, 1, 1, -1])
    estimates = by_bayes(joint, log_prior, labels, exact=True, samples=0)
    found = class_scores(estimates, labels, space="s", split="test")
    given = [joint[0, 0] - log_prior[0], joint[1, 1] - log_prior[1], joint[2, 1] - log_prior[1]]
    assert found.nats == pytest.approx(sum(map(float, given)) / 3) and found.count == 3
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.label_nll == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.7)) / 3)
    assert found.calibration_error == pytest.approx((0.2 + 0.6 + 0.3) / 3)
    assert calibration_error(torch.full((10,), 0.7), torch.tensor([1.0] * 7 + [0.0] * 3)) == pytest.approx(0, abs=1e-6)
    refused(lambda: class_scores(estimates, labels * 0 - 1, space="", split="test"), "no")


def test_wrong_labels_are_refused() -> None:
    model = model_of("made, conditional")
    refused(lambda: model.given(3), "no class 3", "0 to 2")
    refused(lambda: model.given(torch.tensor([0, -1])), "no class -1")
    refused(lambda: model.given(torch.tensor([0.5])), "whole numbers")
    refused(lambda: model.given(torch.tensor([0, 1])).sample(3), "labels were given for 2 images")
    refused(lambda: zoo.seeded(zoo.ZOO["made"]).given(0), "no classes", "--conditional")  # type: ignore[operator]
    refused(lambda: model.predict(model.sample(1)), "needs a class", kind=NotComputable)  # type: ignore[operator]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    folder = tmp_path_factory.mktemp("classes") / "made"
    return ancestral.fit("made", folder, conditional=True, hidden=(30,), **BRIEF)


def test_a_run_stores_the_scores_of_its_classes(trained: ancestral.Run, capsys: pytest.CaptureFixture[str]) -> None:
    score = ancestral.evaluate(trained, count=200)
    (found,) = [one for one in trained.class_scores() if one.count == 200]
    model, images = trained.load(), trained.data.held("test", 200)
    joint = model.log_joint_classes(images.first(200)).detach()
    labels = trained.data.stored("test").labels[:200]
    assert score.nats == pytest.approx(joint.logsumexp(1).mean().item(), abs=1e-4)
    assert found.accuracy == pytest.approx((joint.argmax(1) == labels).double().mean().item())
    assert found.nats > score.nats - 3 and found.exact
    shares = model.log_class_probs().exp()
    counts = trained.data.dataset.train.labels.bincount(minlength=10)
    assert torch.allclose(shares, counts / counts.sum(), atol=1e-6)  # the proportions, without the data
    assert run("evaluate", trained.path, "--count", 200) == 0
    assert "calibration error" in "".join(capsys.readouterr())
    assert "<h2" in trained.page.read_text() and "log p(x | class)" in trained.page.read_text()


def test_samples_completions_and_inferences_of_a_run_know_the_classes(trained: ancestral.Run, tmp_path: Path) -> None:
    assert ancestral.sample(trained, 6, label=[3, 7]).shape == (6, 1, 8, 8)
    assert labels_of([3, 7, 1], 5).tolist() == [3, 3, 7, 7, 1] and labels_of(4, 2).tolist() == [4, 4]
    refused(lambda: ancestral.sample(trained, 2, label=[1, 2, 3]), "--n 2")
    assert run("sample", trained.path, "--label", 3, 5, "--n", 4) == 0
    found = ancestral.infer(trained, count=20)
    assert found.class_probs is not None and found.class_probs.shape == (20, 10)
    assert torch.allclose(found.class_probs.sum(1), torch.ones(20), atol=1e-5) and "z" not in found.arrays()
    done = ancestral.complete(trained, "bottom", count=2, draws=1, label=3)
    assert done.score is None and done.drawn.shape == (1, 2, 1, 8, 8)
    assert ancestral.complete(trained, "bottom", count=2, draws=1).score is not None
    assert run("sample", trained.path, "--label", 3, 5, "--n", 4, "--out", tmp_path / "x.npy") == 0
    for words in (("sample", trained.path, "--label", "3.5"), ("sample", trained.path, "--label", "12")):
        assert run(*words) == 2
    assert run("complete", trained.path, "--label", "12") == 2


def test_a_label_or_a_conditional_model_without_classes_is_refused(tmp_path: Path) -> None:
    plain = ancestral.fit("mixture", tmp_path / "plain", components=2, **BRIEF)
    assert run("sample", plain.path, "--label", 3) == 2 and run("complete", plain.path, "--label", 3) == 2
    assert plain.class_scores() == []
    path = tmp_path / "images.npz"
    np.savez(path, images=(np.random.default_rng(0).random((40, 6, 6)) > 0.5).astype(np.uint8))
    for family in ("made", "mixture", "vae", "circuit", "pixelcnn"):
        refused(
            lambda family=family: ancestral.fit(family, tmp_path / family, data=str(path), conditional=True, epochs=1),
            "labelled",
        )
    refused(lambda: ancestral.fit("gan", tmp_path / "gan", data=str(path), conditional=True, epochs=1), "labelled")


def test_other_names_and_the_number_of_classes(tmp_path: Path) -> None:
    circuit = ancestral.fit("circuit", tmp_path / "circuit", states=2, by_class=True, **BRIEF)
    assert circuit.settings.model.conditional and circuit.load().classes == 10
    gan = ancestral.fit("gan", tmp_path / "gan", hidden=(8,), critic_hidden=(8,), latents=2, conditional=True, **BRIEF)
    assert gan.settings.model.classes == 10 and ancestral.sample(gan, 3, label=4).shape == (3, 1, 8, 8)


def test_unlabelled_images_of_a_run_are_used(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(200) % 2
    images = (rng.random((200, 6, 6)) < np.where(labels == 1, 0.8, 0.2)[:, None, None]).astype(np.uint8)
    partly = np.where(np.arange(200) < 10, labels, -1)
    np.savez(tmp_path / "partly.npz", train_images=images, train_labels=partly, test_images=images, test_labels=labels)
    found = ancestral.fit(
        "mixture",
        tmp_path / "run",
        data=str(tmp_path / "partly.npz"),
        conditional=True,
        components=1,
        method="em",
        epochs=8,
    )
    ancestral.evaluate(found)
    assert found.class_scores()[-1].accuracy > 0.9 and found.class_scores()[-1].count == 200


def test_the_divergence_of_the_class_is_not_that_of_a_latent() -> None:
    """In the terms of the score, the number of active latents and the free bits."""
    model = zoo.seeded(zoo.ZOO["vae, conditional"])
    assert isinstance(model, VAE) and model.sums_classes
    x = all_images(model)
    with torch.no_grad(), seeded_noise(0):
        found = score_parts(model, x)
        q = model.posterior(x)
    assert found.names == ["log p(x | z, y)", "-KL(q(z | x, y) || p(z))", "-KL(q(y | x) || p(y))"]
    assert isinstance(q, ClassAndLatents) and found.divergences.shape == (len(x), q.latents)
    of_class = (q.log_probs.exp() * (q.log_probs - model.log_class_probs())).sum(1)
    assert torch.allclose(found.values[:, 2], -of_class)
    assert torch.allclose(found.values[:, 1], -found.divergences.sum(1))
    with torch.no_grad(), seeded_noise(0):
        many = elbo(model, Batch(x), free_bits=1000.0)
    charged = many["loss"] - many["reconstruction"]
    assert torch.allclose(charged, 1000.0 * q.latents + of_class)


def test_proportions_of_classes_count_the_weights(tmp_path: Path) -> None:
    """Weight 2 is the same as including an image twice."""
    images = (np.random.default_rng(0).random((40, 1, 2, 2)) < 0.5).astype(np.uint8)
    labels, weights = np.arange(40) % 2, np.where(np.arange(40) % 2, 3.0, 1.0)
    data = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    options: dict[str, Any] = {"conditional": True, "hidden": (2,), "epochs": 1, "pixels": "threshold"}
    np.savez(tmp_path / "data.npz", **data, weights=weights)
    model = ancestral.fit("made", tmp_path / "run", data=tmp_path / "data.npz", **options).load()
    assert torch.allclose(model.log_class_probs().exp(), torch.tensor([0.25, 0.75]), atol=0.02)


def test_a_class_without_training_images_is_sampled_with_a_notice(tmp_path: Path, capsys: Any) -> None:
    images = (np.random.default_rng(0).random((60, 1, 2, 2)) < 0.5).astype(np.uint8)
    np.savez(tmp_path / "gap.npz", images=images, labels=np.arange(60) % 2 * 2)  # classes 0 and 2
    options: dict[str, Any] = {"conditional": True, "hidden": (2,), "epochs": 1, "report": False}
    ancestral.fit("made", tmp_path / "run", data=tmp_path / "gap.npz", **options)
    for label, notices in ((0, 0), (1, 1)):
        _, said = printed(capsys, "sample", tmp_path / "run", "-n", 2, "--label", label)
        assert said.count(f"no training image has the class {label}") == notices
    for wrong in ("2.5", "--5", "seven", "9" * 30):
        refused(lambda label=wrong: ancestral.sample(tmp_path / "run", 2, label=label), "give a whole number")

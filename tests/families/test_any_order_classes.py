"""Any-order models with classes: the class as one more variable of the order, observed or hidden."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zoo
from helpers import printed, refused, run
from test_any_order import all_masks, exact_bound
from torch import Tensor, nn

import ancestral
from ancestral.core.random import seeded_noise
from ancestral.data.pixels import Batch
from ancestral.evaluation.enumeration import all_images
from ancestral.families.any_order import model as any_order
from ancestral.families.any_order.model import AnyOrderModel
from ancestral.families.any_order.objective import AnyOrderObjective
from ancestral.training.objectives import terms_of_labels

NAMES = ["any-order, conditional", "any-order, unet, conditional"]


def model_of(name: str = NAMES[0]) -> AnyOrderModel:
    model = zoo.seeded(zoo.ZOO[name])
    assert isinstance(model, AnyOrderModel) and model.classes == 2
    return model


@pytest.mark.parametrize("name", NAMES)
def test_pixels_and_class_sum_to_one_wherever_the_class_comes_in_the_order(name: str) -> None:
    model = model_of(name)
    x = all_images(model)
    none, log_p = torch.zeros_like(x, dtype=torch.bool), model.log_prob_in_order(x, "raster")
    for place in range(model.dimensions + 1):
        before = (torch.arange(model.dimensions) < place).view(1, *model.event_shape).expand_as(x)
        with torch.no_grad():
            first = log_p - model.log_prob_missing(x, before, "raster")
            each = [model.given(label).log_prob_missing(x, before, "raster") for label in range(2)]
            joint = first[:, None] + model.log_class_posterior(x, before) + torch.stack(each, 1)
        assert joint.exp().sum().item() == pytest.approx(1, abs=1e-10)
    with torch.no_grad():
        assert torch.allclose(joint.logsumexp(1), log_p)  # the class comes last: its sum is p(x)
        assert torch.allclose(model.class_posterior(x).logits, joint.log_softmax(1))
        parts = [model.given(label).log_prob_missing(x, none, "raster").exp() for label in range(2)]
    assert all(part.sum().item() == pytest.approx(1, abs=1e-10) for part in parts)
    assert (parts[0] - parts[1]).abs().sum() > 0.01  # otherwise the model ignores the class
    assert min((part - log_p.exp()).abs().sum() for part in parts) > 0.001  # or it does not hide the class


def test_a_class_that_is_absent_from_the_training_data_has_no_probability() -> None:
    model = model_of()
    model.set_classes(2, [0.0, 1.0])
    x = all_images(model)
    assert torch.equal(model.class_posterior(x).probs[:, 0], torch.zeros(len(x), dtype=x.dtype))


@pytest.mark.parametrize("rows", [4, 256])
def test_labels_stay_with_their_images(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the number of masked images in one evaluation of the network."""
    model = model_of()
    x, labels = all_images(model)[2:12], torch.arange(10) % 3 // 2
    seen = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    calls = {
        "elbo": lambda given: given.elbo(x),
        "in steps": lambda given: given.bound_in_steps(x, 2),
        "raster": lambda given: given.log_prob_in_order(x, "raster"),
        "confidence": lambda given: given.log_prob_missing(x, seen, "confidence"),
        "weights": lambda given: given.log_weights(x, 2),
        "conditional": lambda given: given.conditional(x, 2).log_prob(x.flatten(1)[:, 2]),
    }
    for name, call in calls.items():
        monkeypatch.setattr(any_order, "ROWS", 1000)
        with torch.no_grad():
            with seeded_noise(1):
                both = [call(model.given(0))]
            with seeded_noise(1):
                both.append(call(model.given(1)))
            monkeypatch.setattr(any_order, "ROWS", rows)
            with seeded_noise(1):
                found = call(model.given(labels))
        assert not torch.allclose(both[0], both[1]), name
        each = torch.arange(10)
        torch.testing.assert_close(found, torch.stack(both)[labels, each], msg=name)


@pytest.mark.parametrize("rows", [3, 4000])
def test_samples_and_completions_have_the_class_of_their_label(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(any_order, "ROWS", rows)
    model, count = model_of(), 60 if rows == 3 else 4000
    with torch.no_grad():  # pixels that tell the class: all 0, or all 1
        model.bias.zero_()
        for parameter in model.network.parameters():
            parameter.zero_()
        last: Any = [layer for layer in model.network.modules() if isinstance(layer, nn.Linear)]
        last[0].weight[0, -2:] = torch.tensor([-9.0, 9.0], dtype=torch.float64)
        last[-1].weight[:, 0], last[-1].bias[:] = 9.0, -40.0
    labels = torch.arange(count) % 2
    given = model.given(labels)
    x = torch.zeros(count, *model.event_shape, dtype=torch.float64)
    seen = torch.zeros_like(x, dtype=torch.bool)
    for drawn in (given.sample(count), given.sample_in_steps(count, 2), given.complete(x, seen)):
        assert torch.equal(drawn.flatten(1), labels[:, None].expand(-1, 4).double())
    refused(lambda: given.sample(count + 1), f"labels were given for {count} images")


@pytest.mark.parametrize("uniform", [False, True])
def test_the_loss_of_a_labelled_image_is_the_mean_of_both_places_of_its_class(uniform: bool) -> None:
    """By a sum over all masks; the loss of an image without a label is that of p(x).

    With uniform pixels, only the class has random errors, so its term is tested more sharply.
    """
    model = model_of()
    if uniform:
        with torch.no_grad():
            for parameter in (model.bias, *model.network.parameters()):
                parameter.zero_()
    x = all_images(model)[[1, 6, 11, 13]]
    labels = torch.tensor([0, 1, 1, -1])
    known = labels.clamp_min(0)
    objective = AnyOrderObjective(0.0, 0.0)
    with torch.no_grad():
        of_x, of_given = exact_bound(model, x), exact_bound(model.given(known), x)
        prior = model.log_class_probs()[known]
        of_class = torch.zeros(4, dtype=torch.float64)
        for mask in all_masks(model)[:-1]:
            share = 1 / (4 * math.comb(4, int(mask.sum())))
            of_class += share * model.log_class_posterior(x, mask.expand_as(x)).gather(1, known[:, None])[:, 0]
        truth = -torch.where(labels >= 0, (of_given + prior + of_x + of_class) / 2, of_x)
        with seeded_noise(3):
            many, of_many = x.repeat(50, 1, 1, 1), labels.repeat(50)
            found = [_loss(model, objective, many, of_many).view(50, 4).mean(0) for _ in range(60)]
    losses = torch.stack(found)
    error = losses.std(0) / len(losses) ** 0.5
    assert ((losses.mean(0) - truth).abs() <= 4.5 * error + 1e-9).all()
    assert (error < (0.006 if uniform else 0.1)).all()
    difference = (of_class - prior).abs()[:3] / 2  # of a mistake that the errors would hide
    assert not uniform or (difference > 6 * error[:3]).any()


def _loss(model: AnyOrderModel, objective: AnyOrderObjective, x: Tensor, labels: Tensor) -> Tensor:
    return terms_of_labels(model, objective, Batch(x, labels))["loss"]


@pytest.mark.parametrize("count", [1, 3])
def test_the_logged_bound_of_a_small_batch_has_no_bias(count: int) -> None:
    """Half of the images are given their class, and the bound is that of the others: in some batches, of none."""
    model, objective = model_of(), AnyOrderObjective(0.3, 0.3)
    x = all_images(model)[[6]].expand(count, -1, -1, -1)
    batch = Batch(x, torch.zeros(count, dtype=torch.long))
    with torch.no_grad(), seeded_noise(0):
        found = [terms_of_labels(model, objective, batch)["negative_elbo"].mean() for _ in range(500)]
        truth = -exact_bound(model, x[:1]).item()
    values = torch.stack(found)
    assert abs(values.mean().item() - truth) < 4 * values.std().item() / len(found) ** 0.5
    assert values.std().item() / len(found) ** 0.5 < truth / 10


@pytest.mark.parametrize("labels", [2, 20])
def test_another_number_of_labels_than_of_images_is_refused(labels: int) -> None:
    model = model_of()
    given, x = model.given(torch.zeros(labels, dtype=torch.long)), all_images(model)
    hidden = torch.zeros_like(x, dtype=torch.bool)
    for use in (
        lambda: given.log_prob_in_order(x, "raster"),
        lambda: given.log_prob_in_order(x, "confidence"),
        lambda: given.complete(x, hidden),
        lambda: given.conditional(x, 1),
        lambda: given.elbo(x),
    ):
        refused(use, f"labels were given for {labels} images, but there are 16")


def bright_and_dark(path: Path, labelled: int) -> Path:
    """Images of two classes, with 0.85 and 0.15 of the pixels on, of which some training images have a label."""
    rng, labels = np.random.default_rng(0), np.arange(300) % 2
    images = (rng.random((300, 5, 4)) < np.where(labels == 1, 0.85, 0.15)[:, None, None]).astype(np.uint8)
    partly = np.where(np.arange(300) < labelled, labels, -1)
    np.savez(path, train_images=images, train_labels=partly, test_images=images[:120], test_labels=labels[:120])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    folder = tmp_path_factory.mktemp("classes")
    data = bright_and_dark(folder / "data.npz", 150)
    options: dict[str, Any] = {"network": "mlp", "hidden": (24,), "learning_rate": 0.02, "epochs": 30}
    return ancestral.fit("any-order", folder / "run", data=data, conditional=True, **options)


def test_a_run_learns_the_classes_with_half_of_the_labels(
    trained: ancestral.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained.load()
    dark, bright = (ancestral.sample(trained, 60, label=label).mean().item() for label in (0, 1))
    assert dark < 0.3 and bright > 0.7
    said = "".join(printed(capsys, "evaluate", trained.path))
    assert "p(class | x) by a network has the accuracy" in said and "lower bound, ELBO" in said
    score, (found,) = ancestral.evaluate(trained), trained.class_scores()[-1:]
    assert found.accuracy > 0.95 and found.predicted and found.samples == 0 and found.count == 120
    assert 0 < found.nats - score.nats < 1.5  # a class is worth at most log 2, up to random errors and other weights
    probs = ancestral.infer(trained, count=50).class_probs
    assert probs is not None and probs.shape == (50, 2)
    images = trained.data.held("test", 50).first(50)
    expected = model.class_posterior(images).probs  # type: ignore[operator]
    torch.testing.assert_close(probs, expected.detach(), atol=1e-5, rtol=0)


def test_commands_take_the_class(trained: ancestral.Run, tmp_path: Path) -> None:
    assert run("sample", trained.path, "--label", 0, 1, "-n", 8, "--out", tmp_path / "s.npy") == 0
    x = np.load(tmp_path / "s.npy")
    assert x[:4].mean() < x[4:].mean()
    assert run("sample", trained.path, "--label", 0, 1, "-n", 60, "--steps", 4, "--out", tmp_path / "t.npy") == 0
    x = np.load(tmp_path / "t.npy")
    assert x[:30].mean() < 0.4 < 0.6 < x[30:].mean()
    done = ancestral.complete(trained, "bottom", count=4, draws=2, label=1)
    assert done.drawn.shape == (2, 4, 1, 5, 4)
    for words in (("sample", trained.path, "--label", "2"), ("complete", trained.path, "--label", "2")):
        assert run(*words) == 2


def test_shards_without_any_label_have_the_form_of_those_with_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ancestral.training import steps

    put, seen = steps.put_gradients, []
    monkeypatch.setattr(steps, "put_gradients", lambda weights, found: (seen.extend(found), put(weights, found)))
    data = bright_and_dark(tmp_path / "data.npz", 0)
    options: dict[str, Any] = {"network": "mlp", "hidden": (4,), "batch_size": 20, "epochs": 1, "report": False}
    ancestral.fit("any-order", tmp_path / "a", data=data, conditional=True, shards=2, train_size=40, **options)
    assert seen and all(one is not None for one in seen)


def test_a_folder_of_samples_in_steps_names_their_classes(trained: ancestral.Run, tmp_path: Path) -> None:
    words = ("--label", "1", "0", "--n", "3", "--steps", "4", "--out")
    assert (
        run("sample", trained.path, *words, tmp_path / "a")
        == run("sample", trained.path, *words, tmp_path / "a.npy")
        == 0
    )
    assert (tmp_path / "a" / "labels.csv").read_text().split()[1:] == ["0.png,1", "1.png,1", "2.png,0"]
    from PIL import Image

    for number, image in enumerate(np.load(tmp_path / "a.npy")):
        assert (np.asarray(Image.open(tmp_path / "a" / f"{number}.png")) == image[0] * 255).all()


def test_an_own_network_gets_a_channel_for_each_class(tmp_path: Path) -> None:
    data = bright_and_dark(tmp_path / "data.npz", 300)
    network = nn.Conv2d(4, 1, 3, padding=1)
    run = ancestral.fit("any-order", tmp_path / "run", data=data, conditional=True, predictor=network, epochs=1)
    assert run.load().given(1).sample(2).shape == (2, 1, 5, 4)  # type: ignore[operator]
    with pytest.raises(ancestral.InputError):
        wrong = nn.Conv2d(2, 1, 3, padding=1)
        ancestral.fit("any-order", tmp_path / "no", data=data, conditional=True, predictor=wrong, epochs=1)

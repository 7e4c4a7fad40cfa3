"""The classifier that measures sample quality: part of the package or trained once, and never used if damaged."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
import torch
from helpers import refused
from torch import Tensor

from ancestral.data.datasets import Dataset, Split, dataset_status, load_dataset
from ancestral.evaluation import recogniser as module
from ancestral.evaluation import recogniser_training
from ancestral.evaluation.recogniser import (
    Recogniser,
    read_recogniser,
    recogniser_for,
    shipped_recogniser,
    train_recogniser,
)
from ancestral.evaluation.recogniser_training import SPACES_SEEN, pixels_as, showing_nothing
from ancestral.networks.classifier import classifier_for

WEIGHTS = resources.files("ancestral").joinpath("weights")


@pytest.fixture(autouse=True)
def quick_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own, and a training that is soon over."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(recogniser_training, "IMAGES_SEEN", 2000)
    monkeypatch.setattr(recogniser_training, "EPOCHS", 1)
    yield


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits", valid_size=0)


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    if dataset_status("mnist").state != "ready":
        pytest.skip("MNIST is not on this machine: set ANCESTRAL_DATA")
    return load_dataset("mnist", valid_size=0)


# ---- what is shipped


def test_the_shipped_weights_are_those_recorded_beside_them() -> None:
    content = WEIGHTS.joinpath("mnist.safetensors").read_bytes()
    record = json.loads(WEIGHTS.joinpath("mnist.json").read_text())
    assert hashlib.sha256(content).hexdigest() == record["sha256"]
    assert len(content) == record["bytes"] < 300_000
    found = shipped_recogniser()
    assert found.sha256 == record["sha256"] and record["recipe"] == recogniser_training.RECIPE
    assert sum(p.numel() for p in found.network.parameters()) == record["parameters"]
    assert found.facts.accuracy == record["accuracy"] and record["accuracy"]["grey"] >= 0.992
    for share in record["accuracy"].values():
        assert f"{share:.2%}" in found.describe()
    assert not found.network.training and not any(p.requires_grad for p in found.network.parameters())


def test_damaged_shipped_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    content = bytearray(WEIGHTS.joinpath("mnist.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "mnist.safetensors").write_bytes(content)
    (tmp_path / "mnist.json").write_text(WEIGHTS.joinpath("mnist.json").read_text())
    monkeypatch.setattr(module, "_weights", lambda: tmp_path)
    refused(shipped_recogniser, "damaged")


def test_the_shipped_recogniser_recognises_mnist(mnist: Dataset) -> None:
    """2,000 images, each space: within 4 standard errors (at most 1 %) of what is recorded."""
    found = recogniser_for(mnist)
    assert found.name == "mnist recogniser 1"
    x = mnist.test.images[::5].float() / 255
    for space, share in found.facts.accuracy.items():
        seen = found(pixels_as(space, x, torch.Generator().manual_seed(1)))
        assert (seen.classes == mnist.test.labels[::5]).double().mean().item() == pytest.approx(share, abs=0.01)
        assert (seen.confidence >= 0.9).double().mean() > 0.93


def test_the_recogniser_of_the_package_is_not_confident_for_images_without_content(mnist: Dataset) -> None:
    """Black, white and grey images, noise, shuffled pixels and patches, pixels drawn one by one from the mean image."""
    found = shipped_recogniser()
    x = mnist.test.images[:1600].float() / 255
    generator = torch.Generator().manual_seed(0)
    nothing = {
        "black": torch.zeros(1, 1, 28, 28),
        "white": torch.ones(1, 1, 28, 28),
        "noise": torch.rand(500, 1, 28, 28, generator=generator),
        "dots": (torch.rand(500, 1, 28, 28, generator=generator) < 0.13).float(),
        "shuffled": x[:500].flatten(1)[:, torch.randperm(784, generator=generator)].view(-1, 1, 28, 28),
        "mean": (torch.rand(500, 1, 28, 28, generator=generator) < x.mean(0)).float(),
    }
    for name, images in nothing.items():
        assert (found(images).confidence >= 0.9).double().mean() < 0.02, name


def test_mnist_is_known_by_its_content_not_by_its_name(mnist: Dataset, digits: Dataset) -> None:
    assert recogniser_for(replace(mnist, name="renamed")).sha256 == shipped_recogniser().sha256
    assert recogniser_for(replace(digits, name="mnist")).network.in_shape == (1, 8, 8)


# ---- what is trained


def test_a_recogniser_for_digits_is_trained_once(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = recogniser_for(digits)
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 1
    monkeypatch.setattr(module, "train_recogniser", lambda _: pytest.fail("it is trained already"))
    again = recogniser_for(digits)
    assert again.sha256 == first.sha256 and again.facts == first.facts
    x = digits.test.images.float() / 16
    assert torch.equal(first(x).logits, again(x).logits)
    assert set(first.facts.accuracy) == set(SPACES_SEEN) and first.facts.accuracy["grey"] > 0.5


def test_training_is_repeatable_without_side_effects(digits: Dataset) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = train_recogniser(digits)
        torch.set_num_threads(2)
        assert train_recogniser(digits) == one
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(before, torch.get_rng_state())


def test_other_images_labels_or_recipes_are_another_recogniser(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert digits.train.labels is not None
    first = recogniser_for(digits)
    relabelled = replace(digits, train=Split(digits.train.images, (digits.train.labels + 1) % 10))
    assert recogniser_for(relabelled).sha256 != first.sha256
    monkeypatch.setattr(module, "RECIPE", 1000)
    assert recogniser_for(digits).facts.recipe == 1000


def test_test_images_are_not_trained_on(digits: Dataset) -> None:
    """Other test images leave the weights as they are."""
    assert digits.test.labels is not None
    fewer = replace(digits, test=Split(digits.test.images[:50], digits.test.labels[:50]))
    states = [recogniser_for(data).network.state_dict() for data in (digits, fewer)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_damaged_file_in_the_cache_is_replaced(digits: Dataset, tmp_path: Path) -> None:
    first = recogniser_for(digits)
    (path,) = (tmp_path / "cache").rglob("*.safetensors")
    whole = path.read_bytes()
    for damaged in (b"", whole[:40], whole[:-100], b"\xff" * 8 + whole[8:], whole.replace(b"ImageClassifier", b"MLP")):
        path.write_bytes(damaged)
        refused(lambda: read_recogniser(path), "not a recogniser")
        assert recogniser_for(digits).sha256 == first.sha256
        assert path.read_bytes() == whole


def test_labels_need_not_be_counted_from_zero(digits: Dataset) -> None:
    assert digits.train.labels is not None and digits.test.labels is not None
    odd = replace(
        digits,
        train=Split(digits.train.images, 2 * digits.train.labels + 1),
        test=Split(digits.test.images, 2 * digits.test.labels + 1),
    )
    found = recogniser_for(odd)
    assert found.facts.classes == tuple(range(1, 20, 2)) and found.facts.accuracy["grey"] > 0.5


def test_data_that_cannot_be_learned_are_refused(digits: Dataset) -> None:
    assert digits.train.labels is not None
    images, labels = digits.train.images, digits.train.labels
    refused(lambda: recogniser_for(replace(digits, train=Split(images, None))), "digits has no labels")
    refused(lambda: recogniser_for(replace(digits, train=Split(images, 0 * labels))), "1 classes", "two classes")
    refused(lambda: recogniser_for(replace(digits, train=Split(images, torch.arange(len(images))))), "ten images each")


# ---- what it looks at


def test_images_of_other_shapes_or_values_raise() -> None:
    found = shipped_recogniser()
    grey = torch.rand(3, 1, 28, 28)
    assert found(grey).features.shape == (3, 64) and found(grey).logits.shape == (3, 10)
    assert found(grey).features.dtype == torch.float64 and bool((found(grey).features >= 0).all())
    for wrong in (grey[0], grey[:0], grey[..., :27], grey.expand(3, 3, 28, 28), torch.rand(3, 1, 32, 32)):
        refused(lambda wrong=wrong: found(wrong), "shape")
    for value in (-0.01, 1.01, 255.0, float("nan"), float("inf")):
        damaged = grey.clone()
        damaged[1, 0, 5, 5] = value
        refused(lambda damaged=damaged: found(damaged), "[0, 1]")


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 9, 20), (2, 5, 3)])
def test_the_classifier_fits_any_size(shape: tuple[int, int, int]) -> None:
    network = classifier_for(shape, 7).eval()
    x = torch.rand(5, *shape)
    assert network.features(x).shape == (5, network.num_features)
    assert torch.equal(network.logits(network.features(x)), network(x)) and network(x).shape == (5, 7)
    assert torch.allclose(network(x)[:2], network(x[:2]), atol=1e-5)  # an image's features are its own


def test_images_without_content_are_made_from_the_images(digits: Dataset) -> None:
    x: Tensor = (digits.train.images[:64].float() / 16 > 0.5).float()
    made = showing_nothing(x)
    assert made.shape == (8, 1, 8, 8) and made.min() >= 0 and made.max() <= 1
    assert showing_nothing(x[:1]).shape == (1, 1, 8, 8)


def test_a_recogniser_is_described_in_one_line(digits: Dataset) -> None:
    found: Recogniser = recogniser_for(digits)
    line = found.describe()
    assert "\n" not in line and found.sha256[:12] in line and "digits recogniser 1" in line and "447 images" in line

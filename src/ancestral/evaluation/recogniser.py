"""The fixed classifier in whose features samples are judged: shipped for MNIST, trained once for other labelled data.

All numbers of `quality.py` are relative to it, so it travels with them: name, SHA-256 of the weights, and how
well it recognises test images in each pixel space. It sees grey, thresholded and drawn pixels alike in training,
so that models of any of them can be judged.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.core.serialization import from_config, to_config
from ancestral.data.datasets import Dataset, Split
from ancestral.evaluation.recogniser_training import RECIPE, SPACES_SEEN, pixels_as, train_classifier
from ancestral.networks.classifier import ImageClassifier

ROWS = 1000  # images looked at together
MAX_BYTES = 64 << 20  # of a weights file
SHIPPED = "mnist"
LEAST_OF_A_CLASS = 10  # labelled training images, on average over the classes


class Recognition(NamedTuple):
    """What the network sees in images: features (N, F) and logits (N, classes), float64."""

    features: Tensor
    logits: Tensor

    @property
    def classes(self) -> Tensor:
        """The most probable class of each image, shape (N,)."""
        return self.logits.argmax(1)

    @property
    def confidence(self) -> Tensor:
        """The probability of that class, shape (N,)."""
        return self.logits.softmax(1).amax(1)


@dataclass(frozen=True)
class RecogniserFacts:
    """What is known of a recogniser, stored with its weights.

    Args:      name: of the data. data_sha256: of all images and labels of the data set as read. trained_on: SHA-256
               of the very images and labels it learned from and was tested on. recipe: version of the training.
               classes: the labels that the network's outputs stand for. accuracy: share of test images recognised,
               by what their pixels were. test_count: how many test images that was.
    """

    name: str
    data_sha256: str | None
    trained_on: str
    recipe: int
    classes: tuple[int, ...]
    accuracy: dict[str, float]
    test_count: int


@dataclass(frozen=True, eq=False)
class Recogniser:
    """A fixed classifier with what is known of it.

    Args:      network: in evaluation mode. facts: as stored. sha256: of its weights file, in hex.
    """

    network: ImageClassifier
    facts: RecogniserFacts
    sha256: str

    @property
    def name(self) -> str:
        return f"{self.facts.name} recogniser {self.facts.recipe}"

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self.network.in_shape

    @property
    def num_features(self) -> int:
        return self.network.num_features

    @property
    def accuracy(self) -> dict[str, float]:
        return self.facts.accuracy

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Recognition:
        """Look at images.

        Args:      images: grey values in [0, 1], shape (N, C, H, W) with the size that the network was made for.
        Raises:    InputError: another shape, no images, NaN, or values outside [0, 1].
        """
        check_images(images, self.in_shape, self.name)
        features = torch.cat([self.network.features(x.float()) for x in images.split(ROWS)])
        return Recognition(features.double(), self.network.logits(features).double())

    def describe(self) -> str:
        """One line: name, weights, size, and how well it recognises test images."""
        accuracy = ", ".join(f"{self.facts.accuracy[space]:.2%} {space}" for space in SPACES_SEEN)
        parameters = sum(p.numel() for p in self.network.parameters())
        return (
            f"{self.name} (SHA-256 {self.sha256[:12]}…, {self.network.num_features} features, {parameters:,} "
            f"parameters), test accuracy {accuracy} on {self.facts.test_count:,} images"
        )


def check_images(images: Tensor, in_shape: tuple[int, ...], name: str) -> None:
    """Raises:    InputError: another shape than (N, *in_shape), no images, NaN, or values outside [0, 1]."""
    if images.dim() != 4 or tuple(images.shape[1:]) != in_shape or not len(images):
        raise InputError(f"{name} needs images of shape (N, {in_shape}), not {tuple(images.shape)}")
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):  # a NaN is neither
        raise InputError(f"{name} needs grey values in [0, 1], got {low:.4g} to {high:.4g}")


def shipped_for(dataset: Dataset) -> Recogniser | None:
    """The shipped recogniser if these are its data, unpadded; else none."""
    if not is_shipped(dataset):
        return None
    shipped = shipped_recogniser()
    return shipped if dataset.event_shape == shipped.network.in_shape else None


def recogniser_for(dataset: Dataset) -> Recogniser:
    """The recogniser of a data set: the shipped one, one trained before, or one trained now.

    Training takes seconds for digits and minutes for tens of thousands of larger images, once: the result is kept
    in the user's cache, by what it learned from and by the version of the recipe. The weights do not depend on the
    number of threads.

    Args:      dataset: with labels; it learns from the labelled images of `train` alone and is tested on those of
               `test`. What is shipped, or was trained before, is found by content, whatever the name.
    Raises:    InputError: no labels, fewer than two classes, or too few images of each.
    """
    if is_shipped(dataset):
        return shipped_recogniser()
    if reason := why_not_learned(dataset):
        raise InputError(reason)
    dataset = replace(dataset, train=_labelled(dataset.train), test=_labelled(dataset.test))
    key = _digest(dataset.train, dataset.test)
    path = _cache_folder() / f"{key[:32]}-{RECIPE}.safetensors"
    with suppress(InputError, OSError):  # absent or damaged: it is trained anew
        found = read_recogniser(path)
        if (found.facts.trained_on, found.facts.recipe) == (key, RECIPE):
            return found
    content = train_recogniser(dataset)
    try:
        write_atomically(path, content)
    except OSError as error:
        warnings.warn(f"the recogniser cannot be kept in {path.parent}: {error.strerror}", stacklevel=2)
    return _from_bytes(content, path.name)


def is_shipped(dataset: Dataset) -> bool:
    """Whether these are the images and labels that the shipped recogniser learned from."""
    return dataset.sha256 == _shipped_record()["data_sha256"]


def shipped_recogniser() -> Recogniser:
    """The recogniser of MNIST's digits that comes with the package.

    Raises:    InputError: its file is not the one whose SHA-256 is recorded beside it.
    """
    content = _weights().joinpath(f"{SHIPPED}.safetensors").read_bytes()
    found = _from_bytes(content, f"{SHIPPED}.safetensors")
    if found.sha256 != _shipped_record()["sha256"]:
        raise InputError("the recogniser's weights that came with this package are damaged: install it anew")
    return found


def read_recogniser(path: Path) -> Recogniser:
    """A recogniser from its file.

    Raises:    InputError: missing, damaged, or not one of ours.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: not a recogniser of ours")
        return _from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def train_recogniser(dataset: Dataset) -> bytes:
    """Train a recogniser on `dataset.train`, test it on `dataset.test`; returns its file."""
    labels = dataset.train.labels
    assert labels is not None and dataset.test.labels is not None
    classes = labels.unique()
    network = train_classifier(dataset.train, torch.searchsorted(classes, labels), len(classes), dataset.levels)
    accuracy = {space: _accuracy(network, classes, dataset, space) for space in SPACES_SEEN}
    facts = RecogniserFacts(
        name=dataset.name,
        data_sha256=dataset.sha256,
        trained_on=_digest(dataset.train, dataset.test),
        recipe=RECIPE,
        classes=tuple(classes.tolist()),
        accuracy=accuracy,
        test_count=len(dataset.test),
    )
    described = json.dumps({"network": to_config(network), "facts": asdict(facts)}, sort_keys=True)
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return safetensors.torch.save(weights, {"recogniser": described})


def ship(dataset: Dataset, folder: Path) -> Recogniser:
    """Train the recogniser that the package brings and write it with its record into `folder`."""
    content = train_recogniser(dataset)
    found = _from_bytes(content, SHIPPED)
    record = {
        "sha256": found.sha256,
        "bytes": len(content),
        "parameters": sum(p.numel() for p in found.network.parameters()),
        "network": to_config(found.network),
        **asdict(found.facts),
    }
    write_atomically(folder / f"{SHIPPED}.safetensors", content)
    write_atomically(folder / f"{SHIPPED}.json", (json.dumps(record, indent=2) + "\n").encode())
    return found


def _from_bytes(content: bytes, name: str) -> Recogniser:
    """Raises:    InputError: not a recogniser, or weights that do not fit its description."""
    try:
        described = json.loads(_metadata(content)["recogniser"])
        with torch.device("meta"):  # the description is held against the weights before it gets any memory
            network = from_config(described["network"])
        if not isinstance(network, ImageClassifier):
            raise ValueError("it describes no classifier")
        facts = described["facts"]
        facts = RecogniserFacts(**{**facts, "classes": tuple(facts["classes"])})
        network.load_state_dict(safetensors.torch.load(content), assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{name} is not a recogniser: {str(error).splitlines()[0]}") from error
    return Recogniser(network.eval().requires_grad_(False), facts, hashlib.sha256(content).hexdigest())


def _metadata(content: bytes) -> dict[str, Any]:
    """The text that a safetensors file carries: its library reads it from files only, not from bytes."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError("its header is cut off")
    return json.loads(content[8 : 8 + length])["__metadata__"]


@torch.no_grad()
def _accuracy(network: ImageClassifier, classes: Tensor, dataset: Dataset, space: str) -> float:
    labels = dataset.test.labels
    assert labels is not None
    generator = torch.Generator().manual_seed(0)
    blocks = (pixels_as(space, x.float() / (dataset.levels - 1), generator) for x in dataset.test.blocks(ROWS))
    found = torch.cat([network(x).argmax(1) for x in blocks])
    return (classes[found] == labels).double().mean().item()


def why_not_learned(dataset: Dataset) -> str:
    """Why these labels cannot be learned by a recogniser, in one line; empty where they can."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None or not bool((train >= 0).any()):
        return (
            f"{dataset.name} has no labels: a recogniser learns classes, and needs labels of training and test images"
        )
    classes, counts = train[train >= 0].unique(return_counts=True)
    labelled = int(counts.sum())
    if len(classes) < 2 or labelled < LEAST_OF_A_CLASS * len(classes):
        return (
            f"{dataset.name} has {len(classes)} classes in {labelled} labelled training images "
            f"(at least {int(counts.min())} of each): a recogniser needs two classes or more, with ten images each"
        )
    return (
        ""
        if bool((test >= 0).any())
        else f"no test image of {dataset.name} has a label: a recogniser is tested on some"
    )


def _labelled(split: Split) -> Split:
    """The images that have a label."""
    assert split.labels is not None
    rows = (split.labels >= 0).nonzero()[:, 0]
    if len(rows) == len(split):
        return split
    return Split(split.stored, split.labels[rows], chosen=rows if split.chosen is None else split.chosen[rows])


def _digest(*splits: Split) -> str:
    """SHA-256 of images and labels in their order."""
    total = hashlib.sha256()
    for part in splits:
        assert part.labels is not None
        total.update(str((len(part), *part.stored.shape[1:])).encode())
        for block in part.blocks():
            total.update(block.contiguous().numpy().data)
        total.update(part.labels.numpy().astype("<i8").data)
    return total.hexdigest()


def _weights() -> Any:
    return resources.files("ancestral").joinpath("weights")


def _shipped_record() -> dict[str, Any]:
    return json.loads(_weights().joinpath(f"{SHIPPED}.json").read_text(encoding="utf-8"))


def _cache_folder() -> Path:
    import pooch

    return Path(pooch.os_cache("ancestral")) / "recognisers"


if __name__ == "__main__":
    from ancestral.data.datasets import load_dataset

    print(ship(load_dataset(SHIPPED, valid_size=0), Path(__file__).parents[1] / "weights").describe())

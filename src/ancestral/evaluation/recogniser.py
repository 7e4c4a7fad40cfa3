"""The fixed classifier (recogniser) whose features measure sample quality. The package has one for MNIST.

For other labelled data, one is trained once. All measures in `quality.py` depend on it, so their records have its name,
the SHA-256 of its weights, and its accuracy on test images in each pixel space. It is trained on grey, thresholded and
sampled pixels, so it can be used for models of any of these.
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

from ancestral.core.dividing import in_blocks
from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically
from ancestral.core.serialization import from_config, to_config
from ancestral.data.datasets import Dataset, Split
from ancestral.evaluation.recogniser_training import RECIPE, SPACES_SEEN, pixels_as, train_classifier
from ancestral.networks.classifier import ImageClassifier

ROWS = 1000  # images per batch
MAX_BYTES = 64 << 20  # largest weights file
SHIPPED = "mnist"
LEAST_OF_A_CLASS = 10  # smallest mean number of labelled training images per class


class Recognition(NamedTuple):
    """Output of the network for images: features (N, F) and logits (N, classes), float64."""

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
    """Description of a recogniser, stored with its weights.

    Args:      name: name of the data. data_sha256: hash of all images and labels of the data set as read. trained_on:
               hash of the images and labels that it was trained and tested on. recipe: version of the training.
               classes: the labels of the network's outputs. accuracy: share of test images that are classified
               correctly, by kind of pixels. test_count: number of these test images.
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
    """A fixed classifier with its description.

    Args:      network: in evaluation mode. facts: as stored. sha256: of its weights file, in hexadecimal.
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
        """Features and logits of images, computed in blocks, see `core.dividing`.

        Args:      images: grey values in [0, 1], shape (N, C, H, W), with the size of the training images.
        Raises:    InputError: another shape, no images, NaN, or values outside [0, 1].
        """
        check_images(images, self.in_shape, self.name)
        features = in_blocks(len(images), ROWS, lambda _, rows: self.network.features(images[rows].float()))
        return Recognition(features.double(), self.network.logits(features).double())

    def describe(self) -> str:
        """Name, weights, size and test accuracy, on one line."""
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
    if not (low >= 0 and high <= 1):  # also for NaN
        raise InputError(f"{name} needs grey values in [0, 1], not {low:.4g} to {high:.4g}")


def shipped_for(dataset: Dataset) -> Recogniser | None:
    """The recogniser of the package if these are its data, without padding; otherwise None."""
    if not is_shipped(dataset):
        return None
    shipped = shipped_recogniser()
    return shipped if dataset.event_shape == shipped.network.in_shape else None


def recogniser_for(dataset: Dataset) -> Recogniser:
    """The recogniser of a data set: that of the package, one from the cache, or a newly trained one.

    Training takes seconds for digits and minutes for tens of thousands of larger images. It is done once: the result is
    stored in the user's cache, by the hash of its data and the version of the training. The weights do not depend on
    the number of threads.

    Args:      dataset: data with labels. It is trained on the labelled images of `train` and tested on those of `test`.
               Existing recognisers are found by the content of the data, not by their name.
    Raises:    InputError: no labels, fewer than two classes, or too few images per class.
    """
    if is_shipped(dataset):
        return shipped_recogniser()
    if reason := why_not_learned(dataset):
        raise InputError(reason)
    dataset = replace(dataset, train=_labelled(dataset.train), test=_labelled(dataset.test))
    key = _digest(dataset.train, dataset.test)
    path = _cache_folder() / f"{key[:32]}-{RECIPE}.safetensors"
    with suppress(InputError, OSError):  # missing or damaged: train it again
        found = read_recogniser(path)
        if (found.facts.trained_on, found.facts.recipe) == (key, RECIPE):
            return found
    content = train_recogniser(dataset)
    try:
        write_atomically(path, content)
    except OSError as error:
        warnings.warn(f"the trained classifier cannot be stored in {path.parent}: {error.strerror}", stacklevel=2)
    return _from_bytes(content, path.name)


def is_shipped(dataset: Dataset) -> bool:
    """Whether these are the images and labels that the recogniser of the package was trained on."""
    return dataset.sha256 == _shipped_record()["data_sha256"]


def shipped_recogniser() -> Recogniser:
    """The recogniser for MNIST that is part of the package.

    Raises:    InputError: its file does not have the recorded SHA-256.
    """
    content = _weights().joinpath(f"{SHIPPED}.safetensors").read_bytes()
    found = _from_bytes(content, f"{SHIPPED}.safetensors")
    if found.sha256 != _shipped_record()["sha256"]:
        raise InputError("the classifier weights in this package are damaged: install the package again")
    return found


def read_recogniser(path: Path) -> Recogniser:
    """A recogniser from its file.

    Raises:    InputError: the file is missing, damaged, or not a recogniser.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES >> 20} MiB: it is not a recogniser")
        return _from_bytes(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def train_recogniser(dataset: Dataset) -> bytes:
    """Train a recogniser on `dataset.train` and test it on `dataset.test`. Returns the content of its file."""
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
    """Train the recogniser of the package and write it, with its record, into `folder`."""
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
        with torch.device("meta"):  # the description is checked against the weights before memory is allocated
            network = from_config(described["network"])
        if not isinstance(network, ImageClassifier):
            raise ValueError("its description is not that of a classifier")
        facts = described["facts"]
        facts = RecogniserFacts(**{**facts, "classes": tuple(facts["classes"])})
        network.load_state_dict(safetensors.torch.load(content), assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{name} is not a recogniser: {str(error).splitlines()[0]}") from error
    return Recogniser(network.eval().requires_grad_(False), facts, hashlib.sha256(content).hexdigest())


def _metadata(content: bytes) -> dict[str, Any]:
    """The metadata of a safetensors file. The library can read them from files, but not from bytes."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError("its header is incomplete")
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
    """Why a recogniser cannot be trained on these labels, on one line; empty if it can."""
    train, test = dataset.train.labels, dataset.test.labels
    if train is None or test is None or not bool((train >= 0).any()):
        return f"{dataset.name} has no labels: a classifier needs labels of training images and of test images"
    classes, counts = train[train >= 0].unique(return_counts=True)
    labelled = int(counts.sum())
    if len(classes) < 2 or labelled < LEAST_OF_A_CLASS * len(classes):
        return (
            f"{dataset.name} has {len(classes)} classes in {labelled} labelled training images "
            f"(at least {int(counts.min())} of each): a classifier needs at least two classes, with ten images each"
        )
    return (
        ""
        if bool((test >= 0).any())
        else f"no test image of {dataset.name} has a label: a classifier needs labelled test images"
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
        total.update(str((len(part), *part.event_shape)).encode())
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

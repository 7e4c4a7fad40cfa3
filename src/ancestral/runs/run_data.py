"""The data of a run, in its pixel space."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from ancestral.core.errors import InputError
from ancestral.data.datasets import READING, Dataset, in_words_of, load_dataset
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.data.summary import DataSummary, summarise
from ancestral.data.toy import DENSITIES, Density, PointDataset, load_points
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import Settings, suited
from ancestral.runs import synthetic  # noqa: F401  (provides the samples of data with a known distribution)
from ancestral.settings.checks import flag
from ancestral.settings.data import POINT_SETS, DataSettings
from ancestral.settings.family import FamilySettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

log = logging.getLogger("ancestral")
PICTURED_IMAGES, PICTURED_POINTS = 64, 2000


class RunData:
    """The images or points of a run in its pixel space.

    Args:      settings: of the data and the pixel space. version: of the data reader, see `data.datasets.READING`; a
               run keeps the version that it was started with. again: the run exists already: nothing is downloaded, and
               notices about the data are not repeated.
    """

    def __init__(self, settings: DataSettings, version: int = READING, again: bool = False) -> None:
        self.settings, self.version = settings, version
        sizes = {name: getattr(settings, name) for name in ("train_size", "valid_size", "split_seed")}
        self.dataset: Dataset | PointDataset
        if settings.data in POINT_SETS:
            self.dataset = load_points(settings.data, **sizes)
        else:
            self.dataset = load_dataset(
                settings.data,
                protocol=settings.protocol,
                pad_to=settings.pad_to,
                options=settings.read_options,
                version=version,
                fetch=not again,
                notes=not again,
                **sizes,
            )
        if not self.dataset.levels:
            _refuse_pixels(settings)
        self.space = space_of(settings, self.dataset.levels, self.dataset.event_shape)

    def in_space(self, settings: DataSettings) -> RunData:
        """The same data in the pixel space of other settings, without reading them again."""
        other = copy.copy(self)
        other.settings, other.space = settings, space_of(settings, self.dataset.levels, self.event_shape)
        return other

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.dataset.event_shape

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes, or None."""
        return self.dataset.classes if isinstance(self.dataset, Dataset) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns of points; x1, x2, ... by default."""
        return self.column_names or tuple(f"x{place + 1}" for place in range(self.event_shape[0]))

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """The names of the columns of points, or None."""
        return self.dataset.columns if isinstance(self.dataset, Dataset) else None

    @property
    def sha256(self) -> str | None:
        """The SHA-256 of all images or points, in hex."""
        return self.dataset.sha256

    @property
    def spec(self) -> DataSpec:
        """The specification of a model for these data."""
        table = isinstance(self.dataset, Dataset) and self.dataset.kind == "points"
        classes = self.dataset.class_count if isinstance(self.dataset, Dataset) else None
        shares = self._proportions(classes)
        facts = (self.event_shape, self.dataset.levels, self.space.name, classes, table, shares)
        return DataSpec(*facts, conditions=self._statistics())

    def _statistics(self) -> tuple[tuple[float, float], ...]:
        """Mean and standard deviation of each entry of the condition vectors of the training images.

        Raises:    InputError: an entry is constant.
        """
        vectors = self.dataset.train.conditions
        if vectors is None:
            return ()
        assert isinstance(self.dataset, Dataset)
        found = self.dataset.train.condition_statistics
        constant = (vectors == vectors[0]).all(0) | ~torch.tensor([deviation > 0 for _, deviation in found])
        if bool(constant.any()):
            names = [name for name, one in zip(self.dataset.conditions, constant.tolist(), strict=True) if one]
            raise InputError(
                f"conditions with one value in all training examples of {self.name} ({', '.join(names)}): leave them "
                "out of --conditions"
            )
        return found

    def _proportions(self, classes: int | None) -> tuple[float, ...] | None:
        """The proportions of the classes among the labelled training images, each counted with its weight."""
        train = self.dataset.train
        if not classes or train.labels is None:
            return None
        known = train.labels >= 0
        weights = None if train.weights is None else train.weights[known].double()
        counts = train.labels[known].bincount(weights, minlength=classes).double()
        return tuple((counts / counts.sum()).tolist()) if bool(counts.sum() > 0) else None

    def summary(self) -> DataSummary:
        """A summary of the data and of the assumptions made when they were read."""
        return summarise(self.dataset)

    @property
    def name(self) -> str:
        """The name of the data set, with the image size if it is padded."""
        if self.settings.pad_to is None:
            return self.dataset.name
        _, height, width = self.event_shape
        return f"{self.dataset.name} padded to {height}x{width}"

    @property
    def density(self) -> Density | None:
        """The true density of the points, or None."""
        return DENSITIES.get(self.settings.data)

    @property
    def entropy(self) -> float | None:
        """The entropy of the true density in nats, or None; no expected log-likelihood can exceed its negative."""
        return None if self.density is None else self.density.entropy

    @property
    def source(self) -> str:
        """The named data set, or the path of the file or folder."""
        return self.settings.data

    @property
    def pictured(self) -> int:
        """The number of samples in a figure."""
        return PICTURED_POINTS if self.space.name == "points" else PICTURED_IMAGES

    def picture(self, x: Tensor, title: str = "") -> Figure:
        """A figure of samples or data: a grid of images, or a plot of points.

        Args:      x: in this pixel space, shape (N, *event_shape).
        """
        if self.density is not None:
            from ancestral.figures.densities import scatter

            assert isinstance(self.dataset, PointDataset)
            return scatter(x, self.dataset.extent, title=title)
        if self.space.name == "points":
            from ancestral.figures.pairs import pair_figure

            return pair_figure(x, names=self.columns, words=("shown", ""), title=title)
        from ancestral.figures.grids import image_grid

        return image_grid(self.space.to_unit(x.float()), title=title, smooth=True)

    def train_split(self, labelled_only: bool = False) -> Split:
        """The stored training images; with `labelled_only`, those with a label.

        Raises:    InputError: no image has a label.
        """
        train = self.dataset.train
        if not labelled_only or train.labels is None or not bool((train.labels < 0).any()):
            return train
        labelled = train.labels >= 0
        if not bool(labelled.any()):
            raise InputError(f"no training image of {self.name} has a label, and this model needs labels")
        return train.where(labelled)

    def training(
        self, seed: int, device: Any = "cpu", labelled_only: bool = False, window: int | None = None
    ) -> PixelBatches:
        """The training images; dynamically binarised pixels are drawn again in each epoch.

        Args:      window: shuffle within windows of so many images; None: all images.
        """
        train = self.train_split(labelled_only)
        if len(train) < len(self.dataset.train):
            left = len(self.dataset.train) - len(train)
            log.warning(
                "note: %s training images without a label are not used, because this model needs labels", f"{left:,}"
            )
        if window is not None and window < len(train):
            log.warning(
                "note: the order of each epoch is random within windows of %s images of the files, and so is the order "
                "of the windows (--shuffle-window)",
                f"{window:,}",
            )
        draw = self._draw("train")
        return PixelBatches(train, self.space, seed, device, fresh=True, labels=train.labels, draw=draw, window=window)

    def stored(self, split: str) -> Split:
        """A stored split, with labels and file names."""
        return self.dataset.split(split)

    def held(self, split: str, count: int | None = None, device: Any = "cpu") -> PixelBatches:
        """A split for evaluation; dynamically binarised pixels are drawn once, equally for all runs."""
        return PixelBatches(self.dataset.split(split).first(count), self.space, device=device, draw=self._draw(split))

    def _draw(self, split: str) -> str:
        """The seed name of a split's binary pixels; early versions used that of the test images for all splits."""
        return split if self.version > 1 else "test"


def space_of(settings: DataSettings, levels: int, event_shape: Sequence[int]) -> PixelSpace:
    """The pixel space of a run; `levels` is 0 for points."""
    given = " ".join(settings.conditions)
    if levels:
        return PixelSpace(settings.pixels or "threshold", levels, given=given)
    return PixelSpace("points", 0, math.prod(event_shape), given)


def labelled_only(settings: Settings) -> bool:
    """Whether the model can only be trained on labelled images."""
    return getattr(settings.model, "labelled_only", False)


def read_data(settings: Settings, version: int = READING, known: RunData | None = None) -> tuple[Settings, RunData]:
    """The data of a training, and its settings with the pixel space; facts about the user's own files are logged.

    Args:      settings: of the run. version: of the data reader. known: the same data, if they were read before.
    Raises:    InputError: the data cannot be read, or all binary pixels would be equal.
    """
    data = known or RunData(settings.data, version)
    channels = data.event_shape[0] if data.dataset.levels else 0
    settings, choice = suited(settings, channels, data.dataset.levels)
    data = data.in_space(settings.data)
    if isinstance(settings.model, FamilySettings):
        settings = replace(settings, model=settings.model.with_classes(data.spec.classes))
    if known is None and isinstance(data.dataset, Dataset) and data.dataset.own:
        summary = data.summary()
        for line in summary.facts():
            log.info(line)
        for line in [*summary.notes(), *([f"note: {in_words_of(data.settings.data, choice)}"] if choice else [])]:
            log.warning(line)
    _refuse_one_value(data)
    return settings, data


def _refuse_one_value(data: RunData) -> None:
    """Raises:    InputError: all pixels of all training images are equal after the threshold."""
    if data.space.name != "threshold":
        return
    found: set[bool] = set()
    for block in data.dataset.train.blocks():
        above = block > (data.space.levels - 1) // 2
        found |= {bool(above.any()), bool(above.all())}
        if len(found) > 1:  # most images have both values
            return
    if len(found) == 1:
        side = "above" if found.pop() else "below"
        raise InputError(
            f"every pixel of {data.name} is {side} one half of its {data.space.levels} levels, so all binary pixels "
            "would be equal: give the number of levels with --levels N, or choose --pixels levels"
        )


def _refuse_pixels(settings: DataSettings) -> None:
    """Raises:    InputError: settings of images, for points."""
    given = [name for name in ("pixels", "protocol", "pad_to") if getattr(settings, name) is not None]
    if given:
        flags = " and ".join(map(flag, given))
        raise InputError(f"--data {settings.data} has points, not images: leave out {flags}")

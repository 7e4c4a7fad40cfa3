"""The data of a run, in its pixel space."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ancestral.core.errors import InputError
from ancestral.data.datasets import READING, Dataset, in_words_of, load_dataset
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.data.summary import DataSummary, summarise
from ancestral.data.toy import DENSITIES, Density, PointDataset, load_points
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import Settings, suited
from ancestral.settings.checks import flag
from ancestral.settings.data import POINT_SETS, DataSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

log = logging.getLogger("ancestral")
PICTURED_IMAGES, PICTURED_POINTS = 64, 2000


class RunData:
    """The images or points of a run in its pixel space.

    Args:      settings: which data and what a pixel is. version: of the reading, see `data.datasets.READING`; an older
               run keeps the version that it was started with. again: for a run that has begun, so that nothing is
               downloaded, and what was said of the data then is not said again.
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
        """The same data, read once, in the pixel space of other settings."""
        other = copy.copy(self)
        other.settings, other.space = settings, space_of(settings, self.dataset.levels, self.event_shape)
        return other

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.dataset.event_shape

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes, where they have names."""
        return self.dataset.classes if isinstance(self.dataset, Dataset) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of points; x1, x2, ... where they have none."""
        return self.column_names or tuple(f"x{place + 1}" for place in range(self.event_shape[0]))

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of the columns of points, where they have names."""
        return self.dataset.columns if isinstance(self.dataset, Dataset) else None

    @property
    def sha256(self) -> str | None:
        """Of all images or points, in hex."""
        return self.dataset.sha256

    @property
    def spec(self) -> DataSpec:
        """What a model of these data is built for."""
        table = isinstance(self.dataset, Dataset) and self.dataset.kind == "points"
        classes = self.dataset.class_count if isinstance(self.dataset, Dataset) else None
        shares = self._proportions(classes)
        return DataSpec(self.event_shape, self.dataset.levels, self.space.name, classes, table, shares)

    def _proportions(self, classes: int | None) -> tuple[float, ...] | None:
        """Of the classes among the training images that have a label."""
        labels = self.dataset.train.labels
        if not classes or labels is None or not bool((labels >= 0).any()):
            return None
        counts = labels[labels >= 0].bincount(minlength=classes).double()
        return tuple((counts / counts.sum()).tolist())

    def summary(self) -> DataSummary:
        """What was read and what was assumed."""
        return summarise(self.dataset)

    @property
    def name(self) -> str:
        """The data set's name, with the side lengths where padding changed them."""
        if self.settings.pad_to is None:
            return self.dataset.name
        _, height, width = self.event_shape
        return f"{self.dataset.name} padded to {height}x{width}"

    @property
    def density(self) -> Density | None:
        """What the points were drawn from, where that is known."""
        return DENSITIES.get(self.settings.data)

    @property
    def entropy(self) -> float | None:
        """Of what the data were drawn from, nats, where that is known: no model's mean score can be above minus it."""
        return None if self.density is None else self.density.entropy

    @property
    def source(self) -> str:
        """The named set, or the place of the file or folder, that the data are read from."""
        return self.settings.data

    @property
    def pictured(self) -> int:
        """How many draws make a picture."""
        return PICTURED_POINTS if self.space.name == "points" else PICTURED_IMAGES

    def picture(self, x: Tensor, title: str = "") -> Figure:
        """Draws or data as one picture: images on a sheet, points in the plane.

        Args:      x: of this pixel space, shape (N, *event_shape).
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
        """The training images as they are stored; with `labelled_only` those that have a label.

        Raises:    InputError: none has.
        """
        train = self.dataset.train
        if not labelled_only or train.labels is None or not bool((train.labels < 0).any()):
            return train
        rows = (train.labels >= 0).nonzero()[:, 0]
        if not len(rows):
            raise InputError(f"no training image of {self.name} has a label")
        return Split(train.images[rows], train.labels[rows])

    def training(self, seed: int, device: Any = "cpu", labelled_only: bool = False) -> PixelBatches:
        """The training images; dynamic pixels are drawn afresh in each epoch."""
        train = self.train_split(labelled_only)
        if len(train) < len(self.dataset.train):
            left = len(self.dataset.train) - len(train)
            log.warning("note: %s training images without a label are left out: this model needs labels", f"{left:,}")
        draw = self._draw("train")
        return PixelBatches(train, self.space, seed, device, fresh=True, labels=train.labels, draw=draw)

    def stored(self, split: str) -> Split:
        """A split as it is stored, with its labels and the names of its files."""
        return self.dataset.split(split)

    def held(self, split: str, count: int | None = None, device: Any = "cpu") -> PixelBatches:
        """A split for evaluation: dynamic pixels are drawn once, the same for every run."""
        return PixelBatches(self.dataset.split(split).first(count), self.space, device=device, draw=self._draw(split))

    def _draw(self, split: str) -> str:
        """Name of the one draw of a split's binary pixels; once all splits shared that of the test images."""
        return split if self.version > 1 else "test"


def space_of(settings: DataSettings, levels: int, event_shape: Sequence[int]) -> PixelSpace:
    """What a pixel of a run is; `levels` is 0 for points."""
    if levels:
        return PixelSpace(settings.pixels or "threshold", levels)
    return PixelSpace("points", 0, math.prod(event_shape))


def labelled_only(settings: Settings) -> bool:
    """Whether only images with a label can be trained on."""
    return getattr(settings.model, "labelled_only", False)


def read_data(settings: Settings, version: int = READING, known: RunData | None = None) -> tuple[Settings, RunData]:
    """The data of a training, and its settings with the pixels that suit them; what is read of a file is logged.

    Args:      version: of the reading. known: the same data, read before, and logged.
    Raises:    InputError: the data cannot be read, or no pixel would differ from another.
    """
    data = known or RunData(settings.data, version)
    channels = data.event_shape[0] if data.dataset.levels else 0
    settings, choice = suited(settings, channels, data.dataset.levels)
    data = data.in_space(settings.data)
    if known is None and isinstance(data.dataset, Dataset) and data.dataset.own:
        summary = data.summary()
        for line in summary.facts():
            log.info(line)
        for line in [*summary.notes(), *([f"note: {in_words_of(data.settings.data, choice)}"] if choice else [])]:
            log.warning(line)
    _refuse_one_value(data)
    return settings, data


def _refuse_one_value(data: RunData) -> None:
    """Raises:    InputError: all pixels of all training images are equal once they are binary."""
    if data.space.name != "threshold":
        return
    found: set[bool] = set()
    for block in data.dataset.train.blocks():
        above = block > (data.space.levels - 1) // 2
        found |= {bool(above.any()), bool(above.all())}
        if len(found) > 1:  # most images hold both values
            return
    if len(found) == 1:
        side = "above" if found.pop() else "below"
        raise InputError(
            f"every pixel of {data.name} is {side} one half of its {data.space.levels} levels, so the threshold leaves "
            "one value everywhere: state the number of levels with --levels N, or choose --pixels levels"
        )


def _refuse_pixels(settings: DataSettings) -> None:
    """Raises:    InputError: settings of images, for points."""
    given = [name for name in ("pixels", "protocol", "pad_to") if getattr(settings, name) is not None]
    if given:
        flags = " and ".join(map(flag, given))
        raise InputError(f"--data {settings.data} holds points, which have no pixels: leave out {flags}")

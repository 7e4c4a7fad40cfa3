"""The data of a run, in its pixel space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ancestral.data.datasets import ImageDataset, load_dataset
from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.toy import PointDataset, load_points
from ancestral.families.family import DataSpec
from ancestral.settings.data import POINT_SETS, DataSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

PICTURED_IMAGES, PICTURED_POINTS = 64, 2000


class RunData:
    """The images of a run in its pixel space, or its points of the plane.

    Args:      settings: which images and what a pixel is.
    """

    def __init__(self, settings: DataSettings) -> None:
        self.settings = settings
        sizes = {name: getattr(settings, name) for name in ("train_size", "valid_size", "split_seed")}
        self.dataset: ImageDataset | PointDataset
        if settings.data in POINT_SETS:
            self.dataset = load_points(settings.data, **sizes)
            self.space = PixelSpace("points", self.dataset.levels)
        else:
            self.dataset = load_dataset(settings.data, protocol=settings.protocol, pad_to=settings.pad_to, **sizes)
            self.space = PixelSpace(settings.pixels or "threshold", self.dataset.levels)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return self.dataset.event_shape

    @property
    def spec(self) -> DataSpec:
        """What a model of these data is built for."""
        labels = self.dataset.train.labels
        classes = None if labels is None else int(labels.max()) + 1
        return DataSpec(self.event_shape, self.dataset.levels, self.space.name, classes)

    @property
    def name(self) -> str:
        """The data set's name, with the side lengths where padding changed them."""
        if self.settings.pad_to is None:
            return self.dataset.name
        _, height, width = self.event_shape
        return f"{self.dataset.name} padded to {height}x{width}"

    @property
    def entropy(self) -> float | None:
        """Of what the data were drawn from, nats, where that is known: no model's mean score can be above minus it."""
        return self.dataset.density.entropy if isinstance(self.dataset, PointDataset) else None

    @property
    def pictured(self) -> int:
        """How many draws make a picture."""
        return PICTURED_POINTS if self.space.name == "points" else PICTURED_IMAGES

    def picture(self, x: Tensor, title: str = "") -> Figure:
        """Draws or data as one picture: images on a sheet, points in the plane.

        Args:      x: of this pixel space, shape (N, *event_shape).
        """
        if isinstance(self.dataset, PointDataset):
            from ancestral.figures.densities import scatter

            return scatter(x, self.dataset.extent, title=title)
        from ancestral.figures.grids import image_grid

        return image_grid(self.space.to_unit(x.float()), title=title)

    def training(self, seed: int, device: Any = "cpu") -> PixelBatches:
        """The training images; dynamic pixels are drawn afresh in each epoch."""
        train = self.dataset.train
        return PixelBatches(train.images, self.space, seed, device, fresh=True, labels=train.labels)

    def held(self, split: str, count: int | None = None, device: Any = "cpu") -> PixelBatches:
        """A split for evaluation: dynamic pixels are drawn once, the same for every run."""
        return PixelBatches(self.dataset.split(split).images[:count], self.space, device=device)

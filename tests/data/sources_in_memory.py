"""Datasets, tables and pictures that imitate those of other packages, for tests of data in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch.utils.data import Dataset, IterableDataset

PIXELS, TARGETS = load_digits(return_X_y=True)
IMAGES, LABELS = PIXELS[:200].reshape(-1, 8, 8).astype(np.uint8), TARGETS[:200]
UNIT = torch.from_numpy((IMAGES / 16).astype(np.float32))


class Items(Dataset):
    """A map-style dataset. Args: of: the items. attributes: of the dataset, as those of other packages have them."""

    def __init__(self, of: list[Any], **attributes: Any) -> None:
        self.of = of
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.of)

    def __getitem__(self, place: int) -> Any:
        return self.of[place]


class Stream(IterableDataset):
    """The images and labels, one after another."""

    def __iter__(self) -> Any:
        return iter([(image, int(label)) for image, label in zip(IMAGES, LABELS, strict=True)])


class Endless(IterableDataset):
    def __iter__(self) -> Any:
        while True:
            yield torch.zeros(1, 8, 8)


class Augmented(Items):
    """Images that a random transform changes: those from `first` on."""

    first = 0

    def __getitem__(self, place: int) -> Any:
        image = torch.from_numpy(IMAGES[place] / np.float32(16))[None]
        return (image * torch.rand(1) if place >= self.first else image), int(LABELS[place])


class Names:
    """As the class labels of Hugging Face."""

    def __init__(self, names: list[str]) -> None:
        self.names = names


class HuggingFace(Items):
    """Rows as dicts, columns by name, classes in `features`."""

    def __init__(self, rows: list[dict[str, Any]], classes: list[str], key: str = "label") -> None:
        super().__init__(rows)
        self.column_names = list(rows[0])
        self.features = {name: object() for name in self.column_names} | {key: Names(classes)}

    def __getitem__(self, place: Any) -> Any:
        return [row[place] for row in self.of] if isinstance(place, str) else self.of[place]


class Frame:
    """As a table of pandas. Args: columns: by name."""

    def __init__(self, columns: dict[str, Any]) -> None:
        self._columns = {name: Series(values) for name, values in columns.items()}
        self.columns = list(columns)
        self.dtypes = {name: values.dtype for name, values in self._columns.items()}

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __getitem__(self, name: str) -> Series:
        return self._columns[name]

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.to_numpy()

    def to_numpy(self) -> np.ndarray:
        return np.stack([np.asarray(values, object) for values in self._columns.values()], 1)


class Series:
    """As a column of pandas."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)
        self.dtype, self.shape = self.values.dtype, self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype)

    def to_numpy(self) -> np.ndarray:
        return self.values


def pictures(count: int = 200) -> list[Image.Image]:
    """The images as grey images of Pillow."""
    return [Image.fromarray(image) for image in IMAGES[:count]]


def coloured(count: int = 12) -> list[Image.Image]:
    """Images of Pillow whose colours differ."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in drawn]


def with_labels(images: list[Any]) -> list[Any]:
    return [(image, int(label)) for image, label in zip(images, LABELS, strict=False)]

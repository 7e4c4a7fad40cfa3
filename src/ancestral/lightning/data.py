"""The data of this package for Lightning's Trainer, in the same order as in `ancestral.fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.utils.data import DataLoader, IterableDataset

from ancestral.core.errors import InputError
from ancestral.data.pixels import Batch
from ancestral.lightning.installed import pl
from ancestral.runs.run_data import RunData
from ancestral.settings.data import DataSettings


class _Epochs(IterableDataset[Any]):
    """A dataset of complete batches; a function makes the batches of each epoch."""

    def __init__(self, batches: Callable[[], Iterator[Any]], count: int) -> None:
        self.batches, self.count = batches, count

    def __iter__(self) -> Iterator[Any]:
        return self.batches()

    def __len__(self) -> int:
        return self.count


class GenerativeData(pl.LightningDataModule):
    """Data in their pixel space, with the splits and random numbers of a run.

    Args:      data: a named set, a path, or `DataSettings`. batch_size: images per batch. seed: of the order, and of
               binary pixels that are drawn in each epoch. settings: of the data, for example `pixels="levels"`.
    Raises:    InputError: the data cannot be read.
    """

    def __init__(self, data: str | DataSettings, batch_size: int = 128, seed: int = 0, **settings: Any) -> None:
        super().__init__()
        if isinstance(data, DataSettings) and settings:
            raise InputError(f"set {', '.join(settings)} in the DataSettings, not beside them")
        self.settings = data if isinstance(data, DataSettings) else DataSettings(data, **settings)
        self.batch_size, self.seed = batch_size, seed
        self.data = RunData(self.settings)

    def train_dataloader(self) -> DataLoader[Any]:
        train = self.data.training(self.seed)

        def batches() -> Iterator[Batch]:
            return train.shuffled(self.trainer.current_epoch if self.trainer else 0, self.batch_size)

        return DataLoader(_Epochs(batches, train.batches_per_epoch(self.batch_size)), batch_size=None)

    def val_dataloader(self) -> Any:
        """All validation data in one batch, so that scores use the same random numbers as in a run."""
        device = self.trainer.strategy.root_device if self.trainer else "cpu"
        held = self.data.held("valid", device=device)
        return DataLoader(_Epochs(lambda: iter([held]), 1), batch_size=None) if len(held) else []

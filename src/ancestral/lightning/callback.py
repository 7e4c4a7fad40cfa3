"""A callback that writes a run folder for a training with Lightning's Trainer."""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path
from typing import Any

from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.text import type_in_words
from ancestral.families.run_settings import settings_for
from ancestral.lightning.data import GenerativeData
from ancestral.lightning.installed import pl
from ancestral.lightning.module import LightningGenerative
from ancestral.runs.elsewhere import store_trained
from ancestral.settings.data import DataSettings
from ancestral.training.log import LogLine

SELECTING = "valid_loss"
PARTS = ("train", "valid")
log = logging.getLogger("ancestral")


class RunFolder(pl.Callback):
    """Write the run folder at the end of a training: weights, log, settings of the data, hashes.

    The weights are those with the best validation loss, as in `ancestral.fit`, or the last ones without validation;
    they are also loaded into the model.

    Args:      path: the folder, new or empty. data: of the training: `GenerativeData`, a named set, a path or
               `DataSettings`.
    Raises:    InputError: the folder is not empty.
    """

    def __init__(self, path: Path | str, data: GenerativeData | DataSettings | str) -> None:
        self.path = Path(path)
        source = data.settings if isinstance(data, GenerativeData) else data
        self.settings = source if isinstance(source, DataSettings) else DataSettings(source)
        if self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{self.path} is not empty: choose another folder")
        self._lines: list[str] = []
        self._best: dict[str, Tensor] | None = None
        self._best_value, self._best_step = math.inf, 0

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Store the weights if they are the best so far, and log the losses."""
        if trainer.sanity_checking:
            return
        model = _generative(pl_module).model
        value = trainer.callback_metrics.get(SELECTING)
        if value is not None and float(value) < self._best_value:
            self._best_value, self._best_step = float(value), trainer.global_step
            self._best = copy.deepcopy(model.state_dict())
        self._log(trainer, "valid")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the means over the batches of the epoch."""
        self._log(trainer, "train")

    def _log(self, trainer: Any, part: str) -> None:
        for name, value in trainer.callback_metrics.items():
            split, _, quantity = name.partition("_")
            if split == part and name != SELECTING and quantity:
                line = LogLine(trainer.global_step, trainer.current_epoch + 1, split, quantity, float(value))
                self._lines.append(json.dumps(line._asdict()) + "\n")

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the folder; with several processes, the first one writes it."""
        model = _generative(pl_module).model
        if self._best is not None:
            model.load_state_dict(self._best)
        if not trainer.is_global_zero:
            return
        settings = settings_for(None, **vars(self.settings))
        stored = copy.deepcopy(model).cpu().eval()
        step = self._best_step if self._best is not None else trainer.global_step
        run = store_trained(stored, settings, self.path, "".join(self._lines).encode(), step)
        log.info("run folder: %s", run.path)


def _generative(module: Any) -> LightningGenerative:
    """Raises:    InputError: the Trainer trains another type of module."""
    if not isinstance(module, LightningGenerative):
        raise InputError(f"RunFolder needs a LightningGenerative module, not {type_in_words(module)}")
    return module

"""A model and its objective as a LightningModule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ancestral.core.errors import InputError
from ancestral.core.random import seed_device, seed_for
from ancestral.core.text import type_in_words
from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.families.build import refuse_unfit
from ancestral.families.catalogue import find
from ancestral.lightning.data import GenerativeData
from ancestral.lightning.installed import pl
from ancestral.models.base import Model
from ancestral.runs.hooks import check_terms
from ancestral.runs.validation import held_out_losses
from ancestral.settings.training import TrainingSettings
from ancestral.training.objectives import Objective, objective_of_kind
from ancestral.training.steps import ObjectiveModule, build_optimizer, learning_rate_at

AS_THEY_ARE = PixelSpace("points", 0)  # no conversion: a batch is already in its pixel space


class LightningGenerative(pl.LightningModule):
    """A model of this package, or your own, for Lightning's Trainer.

    It logs the mean of each term of the objective as `train_NAME`, and the validation losses of `ancestral.fit` as
    `valid_NAME`, in nats per image; the first of these is also `valid_loss`.

    Args:      model: trained in place. objective: (model, batch) -> {"loss": shape (B,), ...} in nats; None is the
               default of the kind of model. training: optimiser, learning rate, schedule and seed; the Trainer sets the
               number of epochs, clipping, devices and precision.
    Raises:    InputError: a model without a default objective, for example a GAN.
    """

    def __init__(
        self, model: Model, objective: Objective | None = None, training: TrainingSettings | None = None
    ) -> None:
        super().__init__()
        if not isinstance(model, Model):
            raise InputError(f"LightningGenerative needs an ancestral.Model, not {type_in_words(model)}")
        self.module = ObjectiveModule(model, objective or objective_of_kind(model))
        self.training_settings = training or TrainingSettings()

    @property
    def model(self) -> Model:
        """The model that is trained."""
        return self.module.model

    def on_fit_start(self) -> None:
        """Check before the training that the pixel space of the data fits the model."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, GenerativeData):
            refuse_unfit(f"the {type(self.model).__name__}", self.model, data.data.spec)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        made = as_batch(batch)
        seed_device(self.device, seed_for(self.training_settings.seed, "step", self.global_step))
        terms = check_terms(find(None), "objective", self.module(made), len(made.x))
        means = {f"train_{name}": term.detach().mean() for name, term in terms.items()}
        self.log_dict(means, on_step=False, on_epoch=True, batch_size=len(made.x))
        return terms["loss"].mean()

    @torch.no_grad()
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        images = batch if isinstance(batch, PixelBatches) else PixelBatches(as_batch(batch).x, AS_THEY_ARE)
        losses = held_out_losses(self.model, images)
        first = next(iter(losses.values()), None)
        if first is not None:
            named = {f"valid_{name}": value for name, value in losses.items()} | {"valid_loss": first}
            self.log_dict(named, batch_size=len(images))

    def configure_optimizers(self) -> Any:
        training, total = self.training_settings, int(self.trainer.estimated_stepping_batches)
        optimizer = build_optimizer(self.module, training)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_at(step, total, training) / training.rate
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def as_batch(batch: Any) -> Batch:
    """Convert the output of a DataLoader to a batch: images, images with labels, or a `Batch`.

    Raises:    InputError: another type.
    """
    if isinstance(batch, Batch):
        return batch
    if isinstance(batch, Tensor):
        return Batch(batch)
    if isinstance(batch, (tuple, list)) and batch and all(isinstance(part, Tensor) for part in batch[:2]):
        return Batch(batch[0], batch[1] if len(batch) > 1 else None)
    raise InputError(f"a batch must be a tensor of images, or images and labels, not {type_in_words(batch)}")

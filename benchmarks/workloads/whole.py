"""Whole trainings, as a user starts them: two epochs with validation after each, logs and checkpoints as by default."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from benchmarks.harness.declarations import Contestant, Repetition, Workload
from benchmarks.harness.training import RATE, adam, binary_images
from benchmarks.workloads.vae import HIDDEN, LATENTS, plain_mlp

IMAGES, HELD_OUT, BATCH, EPOCHS = 10_000, 2_000, 128, 2


def splits(tiny: bool) -> tuple[Tensor, Tensor]:
    train, held_out = (32, 16) if tiny else (IMAGES, HELD_OUT)
    images = (binary_images(train + held_out) > 127).float()
    return images[:train], images[train:]


def ours(tiny: bool) -> Repetition:
    """`ancestral.fit` without the scores, pictures and page that follow a training."""
    import ancestral

    train, held_out = splits(tiny)
    settings = {"hidden": (HIDDEN,), "latents": LATENTS, "activation": "relu", "pixels": "threshold"}

    def repetition() -> None:
        with tempfile.TemporaryDirectory() as folder:
            ancestral.fit(
                "vae",
                Path(folder) / "run",
                data={"train": train, "valid": held_out, "test": held_out},
                epochs=EPOCHS,
                batch_size=BATCH,
                report=False,
                progress=False,
                **settings,
            )

    return repetition


def plain(tiny: bool) -> Repetition:
    """A loop that validates and saves the weights after each epoch."""
    train, held_out = splits(tiny)

    def repetition() -> None:
        network = plain_mlp()
        optimizer = adam(network)
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(train)).split(BATCH):
                    value = network.loss(train[rows])
                    optimizer.zero_grad()
                    value.backward()
                    optimizer.step()
                with torch.no_grad():
                    _ = sum(float(network.loss(part)) * len(part) for part in held_out.split(BATCH))
                torch.save(network.state_dict(), Path(folder) / "weights.pt")

    return repetition


class SingleImages(Dataset[tuple[Tensor, int]]):
    """One image and its label per index, with the steps of torchvision's `MNIST`, `ToTensor` and a threshold."""

    def __init__(self, images: Tensor) -> None:
        self.images = (255 * images[:, 0]).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        picture = Image.fromarray(self.images[index].numpy())  # data sets of torchvision return PIL images
        pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        image = pixels.permute(2, 0, 1).contiguous().to(dtype=torch.get_default_dtype()).div(255)
        return (image > 0.5).float(), 0


def lightning(as_coursework: bool, tiny: bool) -> Repetition:
    """Lightning's `Trainer`, with single images as in the coursework or with a `TensorDataset`; no workers."""
    import pytorch_lightning as pl

    for name in ("pytorch_lightning", "pytorch_lightning.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = plain_mlp()

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            value = self.network.loss(batch[0])
            self.log("train_loss", value, on_step=False, on_epoch=True)
            return value

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.log("val_loss", self.network.loss(batch[0]))

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    sets: list[Any] = [SingleImages(part) if as_coursework else TensorDataset(part) for part in splits(tiny)]

    def repetition() -> None:
        loaders = [DataLoader(part, BATCH, shuffle=n == 0) for n, part in enumerate(sets)]
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator="cpu",
                devices=1,
                max_epochs=EPOCHS,
                default_root_dir=folder,
                logger=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            trainer.fit(Module(), loaders[0], loaders[1])

    return repetition


def pythae(tiny: bool) -> Repetition:
    """pythae's `BaseTrainer` with its default networks, which have the same shapes."""
    from pythae.data.datasets import BaseDataset  # pyright: ignore[reportMissingImports]
    from pythae.models import VAE, VAEConfig  # pyright: ignore[reportMissingImports]
    from pythae.trainers import BaseTrainer, BaseTrainerConfig  # pyright: ignore[reportMissingImports]

    sets = [BaseDataset(part, torch.zeros(len(part))) for part in splits(tiny)]

    def repetition() -> None:
        model = VAE(VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENTS, reconstruction_loss="bce"))
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder,
                num_epochs=EPOCHS,
                learning_rate=RATE,
                optimizer_cls="Adam",
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                no_cuda=True,
            )
            BaseTrainer(model, sets[0], sets[1], training_config=config).train()

    return repetition


WORKLOADS = (
    Workload(
        "training",
        "whole training of the MLP VAE",
        f"{EPOCHS} epochs of {IMAGES:,} images in batches of {BATCH}, {HELD_OUT:,} held out",
        (
            Contestant("ours", "ours", ours),
            Contestant("PyTorch", "plain", plain),
            Contestant("Lightning", "peer", lambda tiny: lightning(False, tiny), ("pytorch_lightning",)),
            Contestant("Lightning, single images", "peer", lambda tiny: lightning(True, tiny), ("pytorch_lightning",)),
            Contestant("pythae", "peer", pythae, ("pythae",)),
        ),
        threads=(1,),
    ),
)

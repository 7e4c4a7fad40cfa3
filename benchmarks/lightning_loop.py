"""The training loop of the `uva2020` coursework: Lightning with a DataLoader that loads single images.

    python benchmarks/lightning_loop.py IMAGES.npy --epochs 3 --workers 4 --as-handed-out

IMAGES.npy holds uint8 images, shape (50,000, 28, 28): 45,000 to train, the rest to validate. One warm-up
epoch comes first, then `--epochs` timed ones; the last line on stdout is JSON: `images` and `seconds` of the
timed epochs, `trained` (images, warm-up included) and `bits_per_dim` (training, last epoch).

With `--as-handed-out`, the loop does the same as the coursework's template by default: 4 workers that are restarted in
each epoch, four logged values, TensorBoard, validation and a checkpoint of the best weights after each epoch. Without
it, everything that costs time is removed: no logger, validation or checkpoints, three logged values, no labels,
persistent workers. In both cases, start-up and the warm-up epoch are not timed, and the progress bar and the pictures
of the template are off.

Reference: github.com/uvadlc/uvadlc_practicals_2020, assignment_3/3_generative/part1 (the protocol only).
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import tempfile
import time
import warnings
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

PIXELS = 28 * 28
TRAINING = 45_000


class ThresholdedImages(Dataset[tuple[Tensor, int]]):
    """One binary image and its label per index, with the steps of torchvision's `MNIST`, `ToTensor` and a threshold.

    Args:  images: uint8, shape (N, 28, 28).
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)
        self.labels = torch.zeros(len(images), dtype=torch.int64)
        self.transforms = (to_tensor, lambda pixels: (pixels > 0.5).float())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index], int(self.labels[index])
        item: Any = Image.fromarray(image.numpy())  # because data sets of torchvision return PIL images
        for transform in self.transforms:
            item = transform(item)
        return item, label


def to_tensor(picture: Image.Image) -> Tensor:
    """PIL image (H, W) to float32 (1, H, W) in [0, 1]: one operation for each of torchvision's."""
    pixels = torch.from_numpy(np.array(picture, np.uint8, copy=True))
    channels_last = pixels.view(picture.size[1], picture.size[0], len(picture.getbands()))
    return channels_last.permute(2, 0, 1).contiguous().to(dtype=torch.get_default_dtype()).div(255)


class LightningVAE(pl.LightningModule):
    """The MLP VAE 784-512-(20+20), 20-512-784, ReLU, Bernoulli pixels, one latent sample, Adam 1e-3."""

    def __init__(self, hidden: int = 512, latents: int = 20, log_elbo: bool = False) -> None:
        super().__init__()
        self.log_elbo = log_elbo
        self.encoder = nn.Sequential(nn.Linear(PIXELS, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latents))
        self.decoder = nn.Sequential(nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, PIXELS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction and regularisation loss (nats per image), and their sum in bits per dimension."""
        x = x.flatten(1)
        mean, log_std = self.encoder(x).chunk(2, dim=1)
        std = log_std.exp()
        z = mean + std * torch.randn_like(std)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1).mean()
        reg = 0.5 * (std**2 + mean**2 - 1 - 2 * log_std).sum(1).mean()
        return rec, reg, (rec + reg) / (PIXELS * math.log(2))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        rec, reg, bpd = self(batch[0])
        self.log("train_rec", rec, on_step=False, on_epoch=True)
        self.log("train_reg", reg, on_step=False, on_epoch=True)
        self.log("train_bpd", bpd, on_step=False, on_epoch=True)
        if self.log_elbo:
            self.log("train_elbo", rec + reg, on_step=False, on_epoch=True)
        return bpd

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        rec, reg, bpd = self(batch[0])
        self.log("val_rec", rec)
        self.log("val_reg", reg)
        self.log("val_elbo", rec + reg)
        self.log("val_bpd", bpd)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class EpochClock(pl.Callback):
    """Records the time at the start of each epoch and at the end, so that time between epochs is included."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.times.append(time.perf_counter())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.times.append(time.perf_counter())


def train(images: np.ndarray, epochs: int, workers: int, as_handed_out: bool, folder: str) -> dict[str, float]:
    """Train for one warm-up epoch and `epochs` timed epochs; returns the values listed in the module's docstring."""
    keep = workers > 0 and not as_handed_out
    everything = ThresholdedImages(images)
    loaders = [
        DataLoader(
            Subset(everything, part),
            batch_size=128,
            shuffle=train,
            num_workers=workers,
            persistent_workers=keep,
        )
        for part, train in ((range(TRAINING), True), (range(TRAINING, len(images)), False))
    ]
    clock = EpochClock()
    callbacks: list[pl.Callback] = [clock]
    if as_handed_out:
        callbacks.append(ModelCheckpoint(save_weights_only=True, mode="min", monitor="val_bpd"))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs + 1,
        callbacks=callbacks,
        default_root_dir=folder,
        logger=TensorBoardLogger(folder) if as_handed_out else False,
        enable_checkpointing=as_handed_out,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(LightningVAE(log_elbo=as_handed_out), loaders[0], loaders[1] if as_handed_out else None)
    return {
        "images": epochs * TRAINING,
        "seconds": clock.times[-1] - clock.times[1],
        "trained": (epochs + 1) * TRAINING,
        "bits_per_dim": float(trainer.callback_metrics["train_bpd"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", help=".npy file: uint8, shape (50,000, 28, 28)")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs, after one of warm-up")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the DataLoader")
    parser.add_argument("--as-handed-out", action="store_true", help="with all features of the template")
    args = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # we measure 0 on purpose
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(train(np.load(args.images), args.epochs, args.workers, args.as_handed_out, folder)))


if __name__ == "__main__":
    main()

"""The training loop of the `uva2020` coursework as a student gets it: Lightning around a per-item DataLoader.

    python benchmarks/lightning_loop.py IMAGES.npy --epochs 3 --workers 0

IMAGES.npy holds uint8 images, shape (N, 28, 28). One warm-up epoch comes first, then `--epochs` timed ones;
the last line on stdout is JSON: `images` and `seconds` of the timed epochs, `trained` (images, warm-up
included) and `bits_per_dim` (training, last epoch).

Every choice that could be argued about goes Lightning's way: logger, progress bar, checkpoints, model summary
and validation are off; three values are logged where the coursework logs four; items carry no label; the
short last batch is dropped; workers, where asked for, persist; start-up and warm-up are not timed.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
import warnings

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

PIXELS = 28 * 28


class ThresholdedImages(Dataset[Tensor]):
    """One binary image per index, by the steps of torchvision's `MNIST`, `ToTensor` and a threshold.

    Args:  images: uint8, shape (N, 28, 28).
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        picture = Image.fromarray(self.images[index].numpy())  # torchvision: every dataset yields PIL images
        pixels = torch.from_numpy(np.array(picture, dtype=np.uint8))
        unit = pixels.unsqueeze(0).float().div(255)
        return (unit > 0.5).float()


class LightningVAE(pl.LightningModule):
    """The MLP VAE 784-512-(20+20), 20-512-784, ReLU, Bernoulli pixels, one latent sample, Adam 1e-3."""

    def __init__(self, hidden: int = 512, latents: int = 20) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latents))
        self.decoder = nn.Sequential(nn.Linear(latents, hidden), nn.ReLU(), nn.Linear(hidden, PIXELS))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction and regularisation loss (nats an image) and their sum in bits per dimension."""
        x = x.flatten(1)
        mean, log_std = self.encoder(x).chunk(2, dim=1)
        std = log_std.exp()
        z = mean + std * torch.randn_like(std)
        rec = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(1).mean()
        reg = 0.5 * (std**2 + mean**2 - 1 - 2 * log_std).sum(1).mean()
        return rec, reg, (rec + reg) / (PIXELS * math.log(2))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        rec, reg, bpd = self(batch)
        self.log("train_rec", rec, on_step=False, on_epoch=True)
        self.log("train_reg", reg, on_step=False, on_epoch=True)
        self.log("train_bpd", bpd, on_step=False, on_epoch=True)
        return bpd

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class EpochClock(pl.Callback):
    """Notes the time at the end of each epoch, so that what lies between two epochs is counted too."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.ends.append(time.perf_counter())


def train(images: np.ndarray, epochs: int, workers: int, batch_size: int = 128) -> dict[str, float]:
    """Train for one warm-up and `epochs` timed epochs; what came of it is in the module's docstring."""
    loader = DataLoader(
        ThresholdedImages(images),
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    clock = EpochClock()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs + 1,
        callbacks=[clock],
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(LightningVAE(), loader)
    images_per_epoch = len(loader) * batch_size
    return {
        "images": epochs * images_per_epoch,
        "seconds": clock.ends[-1] - clock.ends[0],
        "trained": (epochs + 1) * images_per_epoch,
        "bits_per_dim": float(trainer.callback_metrics["train_bpd"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("images", help=".npy file: uint8, shape (N, 28, 28)")
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs, after one of warm-up")
    parser.add_argument("--workers", type=int, default=0, help="worker processes of the DataLoader")
    args = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # we measure 0 on purpose
    print(json.dumps(train(np.load(args.images), args.epochs, args.workers)))


if __name__ == "__main__":
    main()

"""Chapter of `csds600` on the layers and settings of its VAE, compared with those that the coursework lists."""

from __future__ import annotations

import math
from itertools import zip_longest

from torch import nn

from ancestral.core.text import plural
from ancestral.families.vae.settings import VAESettings
from ancestral.families.vae.vae import VAE
from ancestral.networks.mlp import ACTIVATIONS
from ancestral.reports.html import Table
from ancestral.runs.run import Run
from ancestral.studies.recipe import ChapterContent, ReferenceCheck
from ancestral.studies.workshop import Workshop

ASKED_LAYERS = (
    ("encoder", "Conv2d", (1, 32, 3, 1, 1)),
    ("encoder", "Conv2d", (32, 64, 3, 2, 1)),
    ("encoder", "Conv2d", (64, 128, 3, 2, 1)),
    ("encoder", "Conv2d", (128, 256, 3, 2, 1)),
    ("encoder", "Linear", (4096, 32)),
    ("decoder", "Linear", (16, 2048)),
    ("decoder", "ConvTranspose2d", (128, 128, 4, 2, 1)),
    ("decoder", "ConvTranspose2d", (128, 64, 4, 2, 1)),
    ("decoder", "ConvTranspose2d", (64, 32, 4, 2, 1)),
    ("decoder", "Conv2d", (32, 1, 3, 1, 1)),
)
"""side, kind, and (channels in, out, kernel, stride, padding) or (features in, out)"""
ASKED_SETTINGS = {
    "image size": "32 by 32",
    "latents": "16",
    "variance of a pixel": "1",
    "activation": "ReLU",
    "batch size": "128",
    "optimizer": "Adam",
    "learning rate": "0.001",
}
Layer = tuple[str, str, tuple[int, ...], int]
"""side, kind, sizes, and number of parameters"""


def layers(workshop: Workshop) -> ChapterContent:
    run, unpadded = workshop.runs["vae"], workshop.runs["made"].data.event_shape[-1]
    model, settings = run.load(), settings_of(run)
    assert isinstance(model, VAE)
    pixels, side = math.prod(model.event_shape), model.event_shape[-1]
    ours = [*described("encoder", model.encoder), *described("decoder", model.likelihood)]
    beside = list(zip_longest(ASKED_LAYERS, ours))
    equal = sum(asked is not None and one is not None and asked == one[:3] for asked, one in beside)
    same = {name: settings[name] == value for name, value in ASKED_SETTINGS.items()}
    verdict = "all are equal" if equal == len(beside) and all(same.values()) else "some differ"
    return ChapterContent(
        "The tables show the layers and settings that the coursework asks for, and those of the trained model: "
        f"{verdict}. The decoder outputs the mean of p(x | z). Images of {unpadded} by {unpadded} pixels are padded "
        f"with {plural((side - unpadded) // 2, 'black pixel')} on each side. Losses are summed over the {pixels:,} "
        f"pixels and the {settings['latents']} latents, and averaged over the batch.",
        [
            Table(
                ["network", "asked", "trained", "parameters"],
                [_row(asked, one) for asked, one in beside],
                "Convolutions: channels in and out, kernel, stride, padding. Linear layers: features in and out.",
                {3},
            ),
            Table(
                ["setting", "asked", "trained"],
                [[name, value, settings[name]] for name, value in ASKED_SETTINGS.items()],
                "Settings of the model and of its training.",
            ),
        ],
        checks=[
            ReferenceCheck(
                "layers of the convolutional VAE",
                f"{len(ASKED_LAYERS)} as listed",
                f"{equal} equal, {len(ours)} in all",
                equal == len(beside),
                "The table shows which layers differ.",
            ),
            ReferenceCheck(
                "settings of the convolutional VAE",
                ", ".join(ASKED_SETTINGS.values()),
                ", ".join(settings[name] for name in ASKED_SETTINGS),
                all(same.values()),
                "The model was trained with other settings.",
            ),
        ],
    )


def settings_of(run: Run) -> dict[str, str]:
    """The settings of a run, under the names of `ASKED_SETTINGS`."""
    model, training = run.settings.model, run.settings.training
    assert isinstance(model, VAESettings)
    start, learned = model.gaussian_variance
    variance = "learned" if learned else f"{start:g}"
    return {
        "image size": " by ".join(map(str, run.data.event_shape[1:])),
        "latents": str(model.latents),
        "variance of a pixel": variance,
        "activation": ACTIVATIONS[model.activation].__name__,
        "batch size": str(training.batch_size),
        "optimizer": training.optimizer.capitalize(),
        "learning rate": f"{training.rate:g}",
    }


def _row(asked: tuple[str, str, tuple[int, ...]] | None, ours: Layer | None) -> list[str]:
    side, count = (ours or asked or ("",))[0], f"{ours[3]:,}" if ours else ""
    words = [f"{one[1]} {', '.join(map(str, one[2]))}" if one else "none" for one in (asked, ours)]
    return [str(side), *words, count]


def described(side: str, module: nn.Module) -> list[Layer]:
    """Network, kind, sizes and number of parameters of each layer with parameters, in the order of the forward pass."""
    found = []
    layers = [one for one in module.modules() if isinstance(one, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
    # a module lists its layers in the order of their creation, but the encoder applies convolutions first
    first = nn.Linear if side == "decoder" else (nn.Conv2d, nn.ConvTranspose2d)
    for layer in sorted(layers, key=lambda one: not isinstance(one, first)):
        sizes = (
            (layer.in_features, layer.out_features)
            if isinstance(layer, nn.Linear)
            else (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0], int(layer.padding[0]))
        )
        found.append((side, type(layer).__name__, sizes, sum(p.numel() for p in layer.parameters())))
    return found

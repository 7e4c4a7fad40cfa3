"""Tiny generative adversarial networks."""

from __future__ import annotations

from collections.abc import Callable

from ancestral.families.family import DataSpec
from ancestral.families.gan.model import GAN, build_gan
from ancestral.families.gan.settings import GANSettings
from ancestral.families.tiny import perturbed
from ancestral.models.base import Model


def tiny_gan(shape: tuple[int, ...], **settings: object) -> GAN:
    """A GAN with perturbed weights, so that its images depend clearly on the codes."""
    tiny = GANSettings(**{"latents": 2, "hidden": (8,), **settings})  # type: ignore[arg-type]
    return perturbed(build_gan(tiny, DataSpec(shape, 0, "unit" if len(shape) == 3 else "points")), 0.5)


TINY: dict[str, Callable[[], Model]] = {
    "gan": lambda: tiny_gan((1, 3, 3)),
    "gan, conditional": lambda: tiny_gan((1, 3, 3), classes=3),
    "gan, convolutional": lambda: tiny_gan((1, 4, 4), network="cnn", channels=(4,), batch_norm=True),
    "gan of points": lambda: tiny_gan((2,)),
}

"""The record of the generative adversarial networks."""

from ancestral.families.family import Family
from ancestral.families.gan.settings import GANSettings

HERE = "ancestral.families.gan"
FAMILY = Family(
    name="gan",
    settings=GANSettings,
    build=f"{HERE}.model:build_gan",
    tiny=f"{HERE}.tiny:TINY",
    step=f"{HERE}.step:step_for",
    explorer=f"{HERE}.portable:gan",
    drawings=f"{HERE}.drawings:DRAWINGS",
    networks={
        "generator": "codes (B, M + classes) to one value for each of x, which (1 + tanh) / 2 makes a pixel",
        "critic": "images (B, C, H, W) in [-1, 1] to one score each, or one for each class",
    },
)

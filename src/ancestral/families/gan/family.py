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
    critic=f"{HERE}.portable:critique",
    drawings=f"{HERE}.drawings:DRAWINGS",
    networks={
        "generator": "codes (B, M + classes) to one real number for each value of x; (1 + tanh) / 2 maps it to a pixel",
        "critic": "images (B, C, H, W) in [-1, 1] to one score per image, or one per image and class",
    },
)

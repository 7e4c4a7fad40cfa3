"""The records of the variational autoencoder and the plain autoencoder."""

from ancestral.families.family import Family
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings

HERE = "ancestral.families.vae"
DECODER = "latents (B, M) to the parameters of each pixel value: 1 logit, 1 mean, L logits or 2 numbers"
VAE = Family(
    name="vae",
    settings=VAESettings,
    build=f"{HERE}.vae:build_vae",
    tiny=f"{HERE}.tiny:VAES",
    objective=f"{HERE}.objectives:objective_for",
    explorer=f"{HERE}.portable:vae",
    networks={
        "encoder": "images (B, C, H, W) to 2 M values each: the means of the M latents, then their log-variances",
        "decoder": DECODER,
    },
)
AUTOENCODER = Family(
    name="autoencoder",
    settings=AutoencoderSettings,
    build=f"{HERE}.autoencoder:build_autoencoder",
    tiny=f"{HERE}.tiny:AUTOENCODERS",
    objective=f"{HERE}.objectives:reconstruction_for",
    held_out=f"{HERE}.objectives:held_out_distortion",
    explorer=f"{HERE}.portable:autoencoder",
    networks={"encoder": "images (B, C, H, W) to M values each", "decoder": DECODER},
)

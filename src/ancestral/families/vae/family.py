"""The records of the variational autoencoder and the plain autoencoder."""

from ancestral.families.family import Family
from ancestral.families.vae.settings import AutoencoderSettings, VAESettings

HERE = "ancestral.families.vae"
VAE = Family(
    name="vae",
    settings=VAESettings,
    build=f"{HERE}.vae:build_vae",
    tiny=f"{HERE}.tiny:VAES",
    objective=f"{HERE}.objectives:objective_for",
)
AUTOENCODER = Family(
    name="autoencoder",
    settings=AutoencoderSettings,
    build=f"{HERE}.autoencoder:build_autoencoder",
    tiny=f"{HERE}.tiny:AUTOENCODERS",
    objective=f"{HERE}.objectives:reconstruction_for",
    held_out=f"{HERE}.objectives:held_out_distortion",
)

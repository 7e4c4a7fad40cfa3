"""What each family can do, read off its class: the table of capabilities in the README comes from here.

python -m ancestral.families.abilities
"""

from __future__ import annotations

from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.belief_net.exact import SigmoidBeliefNet
from ancestral.families.belief_net.helmholtz import HelmholtzMachine
from ancestral.families.flow.images import ImageFlow
from ancestral.families.flow.points import NormalizingFlow
from ancestral.families.gan.model import GAN
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.families.vae.autoencoder import Autoencoder
from ancestral.families.vae.vae import VAE
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import ExactModel, LatentModel, Model

FAMILIES: tuple[type[Model], ...] = (
    MixtureOfBernoullis,
    SigmoidBeliefNet,
    HelmholtzMachine,
    MADE,
    PixelCNN,
    VAE,
    Autoencoder,
    NormalizingFlow,
    ImageFlow,
    GAN,
)
COMMANDS = {"draw": "sample", "complete": "complete", "infer": "infer", "detect": "detect", "bracket": "bracket"}


def likelihood_of(family: type[Model]) -> str:
    """How probable x is: exactly, by a bound, or not at all."""
    if issubclass(family, ExactModel):
        return "exact"
    return "lower bound" if issubclass(family, LatentModel) else "none, and says so"


def abilities_of(family: type[Model]) -> dict[str, str]:
    """Every ability, and whether a family has it, how, or why not."""
    latents = not issubclass(family, AutoregressiveModel)
    scored = issubclass(family, (ExactModel, LatentModel))
    return {
        "log p(x)": likelihood_of(family),
        "draw": "yes",
        "infer": _kind(getattr(family, "inference", "no")) if latents else "no latents",
        "decode": ("yes" if hasattr(family, "decode") else "no") if latents else "no latents",
        "pixel by pixel": "yes" if hasattr(family, "conditionals") else "no",
        "complete": _kind(getattr(family, "completion", "no")),
        "detect": "yes" if scored else "no likelihood",
        "bracket": "needs none" if issubclass(family, ExactModel) else "yes" if issubclass(family, VAE) else "no",
    }


def _kind(described: str) -> str:
    """`exact` of `exact: by a sum over all states`."""
    return described.split(":")[0]


def capability_table() -> str:
    """A row a family, in Markdown; abilities that a command serves name it."""
    abilities = [abilities_of(family) for family in FAMILIES]
    header = [f"{name}, `{COMMANDS[name]}`" if name in COMMANDS else name for name in abilities[0]]
    rows = [["family", *header], ["---"] * (1 + len(header))]
    rows += [[f"`{family.__name__}`", *can.values()] for family, can in zip(FAMILIES, abilities, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(capability_table())

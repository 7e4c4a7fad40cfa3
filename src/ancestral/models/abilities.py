"""What each family can do, read off its class: the table of capabilities in the README comes from here.

python -m ancestral.models.abilities
"""

from __future__ import annotations

from ancestral.models.autoencoder import Autoencoder
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.belief_net import SigmoidBeliefNet
from ancestral.models.flow import NormalizingFlow
from ancestral.models.gan import GAN
from ancestral.models.helmholtz import HelmholtzMachine
from ancestral.models.image_flow import ImageFlow
from ancestral.models.kinds import ExactModel, LatentModel, Model
from ancestral.models.made import MADE
from ancestral.models.mixture import MixtureOfBernoullis
from ancestral.models.pixelcnn import PixelCNN
from ancestral.models.vae import VAE

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
# ability in words, and the method that a family has if it has the ability
METHODS = {
    "draw": "sample",
    "infer": "encode",
    "decode": "decode",
    "pixel by pixel": "conditionals",
    "complete": "complete",
}


def likelihood_of(family: type[Model]) -> str:
    """How probable x is: exactly, by a bound, or not at all."""
    if issubclass(family, ExactModel):
        return "exact"
    return "lower bound" if issubclass(family, LatentModel) else "none, and says so"


def answer(family: type[Model], method: str) -> str:
    """Whether a family has an ability, will have it, or cannot."""
    if hasattr(family, method):
        how = {"complete": "completion", "encode": "inference"}.get(method)
        return getattr(family, how).split(":")[0] if how else "yes"
    if issubclass(family, AutoregressiveModel) and method in ("encode", "decode"):
        return "no latents"
    return "no" if method == "conditionals" else "not yet"


def capability_table() -> str:
    """A row a family, in Markdown."""
    rows = [["family", "log p(x)", *METHODS], ["---"] * (2 + len(METHODS))]
    for family in FAMILIES:
        can = [answer(family, method) for method in METHODS.values()]
        rows.append([f"`{family.__name__}`", likelihood_of(family), *can])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(capability_table())

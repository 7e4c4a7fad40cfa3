"""The GAN and its critic as descriptions for the explorer's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ancestral.core.errors import NotComputable
from ancestral.families.family import Critique
from ancestral.families.gan.model import GAN
from ancestral.families.gan.settings import GANSettings
from ancestral.families.gan.step import LOSSES, build_critic
from ancestral.networks.layers import Layer, layers_of
from ancestral.training.checkpoint import under_prefix


def gan(model: GAN) -> dict[str, Any]:
    """Kind `generator`: see `explorer/engine/generator.js`.

    Raises:    NotComputable: a network that the page does not know.
    """
    return {
        "kind": "generator",
        "latents": model.latents,
        "classes": model.classes,
        "images": model.draws_images,
        "generator": layers_of(model.generator),
    }


def critique(settings: GANSettings, event_shape: Sequence[int], tensors: Mapping[str, Tensor]) -> Critique:
    """The critic at the end of the training.

    Args:      tensors: of the adversarial step.
    Raises:    NotComputable: the critic is a network of the user's own, or none is among the tensors.
    """
    critic = build_critic(settings, event_shape).eval()  # in training, reading a normalised weight changes it
    try:
        critic.load_state_dict(under_prefix("critic", dict(tensors)))
    except RuntimeError as error:
        raise NotComputable("the critic of the checkpoint is not the one that the settings describe") from error
    for module in list(critic.modules()):
        if parametrize.is_parametrized(module):  # spectral normalisation: only its result is needed
            parametrize.remove_parametrizations(module, "weight")
    network = nn.Sequential(Centred(), critic.network) if critic.of_images else critic.network
    return Critique(network.eval(), LOSSES[settings.loss].has_probabilities)


class Centred(nn.Module):
    """Pixels in [0, 1] to [-1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x - 1


@layers_of.register
def _centred(module: Centred) -> list[Layer]:
    return [{"op": "affine", "scale": 2.0, "shift": -1.0}]

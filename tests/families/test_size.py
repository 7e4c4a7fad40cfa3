"""A model that exceeds the memory is refused before any of it is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import refused
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ancestral.families.build import build_model
from ancestral.families.catalogue import BUILT_IN, find
from ancestral.families.family import DataSpec
from ancestral.families.gan.step import build_critic
from ancestral.families.run_settings import settings_for
from ancestral.families.size import COPIES, MOST_TENSORS, refuse_beyond_memory

WIDE = 2**16
TOO_LARGE: dict[str, tuple[str, dict[str, Any]]] = {
    "hidden layers": ("vae", {"hidden": (WIDE, WIDE)}),
    "channels": ("vae", {"network": "cnn", "channels": (WIDE, WIDE), "strides": (1, 1)}),
    "a mixture of posteriors": ("vae", {"prior": "vamp", "components": WIDE, "hidden": (2000,), "latents": WIDE}),
    "autoencoder": ("autoencoder", {"latents": WIDE, "hidden": (WIDE,)}),
    "components": ("mixture", {"components": WIDE}),
    "masks": ("made", {"hidden": (WIDE, WIDE)}),
    "a kernel": ("pixelcnn", {"first_kernel": WIDE - 1}),
    "bins": ("flow", {"bins": 10_000, "width": WIDE}),
    "a generator": ("gan", {"hidden": (WIDE, WIDE)}),
    "recognition": ("belief-net", {"method": "vimco", "latents": (WIDE, WIDE)}),
}
SPACES = {"gan": "unit", "flow": "levels"}


def spec_of(family: str, side: int = 32) -> DataSpec:
    return DataSpec((1, side, side), 16, SPACES.get(family, "threshold"))


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_model_beyond_the_memory_is_refused(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ancestral.families.size.available_memory", lambda: 10**8)
    family, values = TOO_LARGE[case]
    settings = settings_for(family, **values).model
    refused(lambda: build_model(family, settings, spec_of(family)), "not enough memory", "GB")


def test_a_critic_beyond_the_memory_is_refused() -> None:
    settings = settings_for("gan", critic_hidden=(WIDE, WIDE)).model
    refused(lambda: build_critic(settings, [1, 8, 8]), "not enough memory", "critic")


LAYERS: dict[str, dict[str, Any]] = {
    "flow": {"couplings": 1000, "blocks": 1000, "scales": 3, "width": 2},
    "pixelcnn": {"blocks": 1000, "channels": 2},
    "vae": {"hidden": (2,) * 1000},
}


@pytest.mark.parametrize("family", LAYERS)
def test_many_layers_are_refused_quickly(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A product of numbers that are each allowed is counted while the layers are made, not afterwards."""
    made = []
    hook = register_module_parameter_registration_hook(lambda module, name, parameter: made.append(name))
    monkeypatch.setattr("ancestral.families.size.MOST_TENSORS", 100)
    settings = settings_for(family, **LAYERS[family]).model
    try:
        refused(lambda: build_model(family, settings, spec_of(family)), "more than 100 weight tensors")
    finally:
        hook.remove()
    assert len(made) == 101 and MOST_TENSORS >= 1000


def build_module(family: str, settings: Any, side: int = 32) -> nn.Module:
    """By the family's own builder alone."""
    return find(family).code("build")(settings, spec_of(family, side))


def test_many_orderings_of_wide_layers_are_refused() -> None:
    settings = settings_for("made", orderings=10_000, hidden=(WIDE,)).model
    refused(lambda: build_model("made", settings, spec_of("made", 8)), "--orderings 10000")


def test_needed_memory_is_counted_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(10, dtype=torch.float64))
            self.register_buffer("mask", torch.zeros(3, dtype=torch.uint8))

    needed = COPIES * 80 + 3
    monkeypatch.setattr("ancestral.families.size.available_memory", lambda: needed)
    refuse_beyond_memory("module", Small)
    monkeypatch.setattr("ancestral.families.size.available_memory", lambda: needed - 1)
    refused(lambda: refuse_beyond_memory("module", Small), "module")


@pytest.mark.parametrize("family", BUILT_IN)
def test_the_memory_estimate_does_not_change_random_numbers(family: str) -> None:
    """The weights of a seed are those of the builder on its own."""
    settings = settings_for(family).model
    torch.manual_seed(3)
    model = build_model(family, settings, spec_of(family, 8))
    torch.manual_seed(3)
    alone = build_module(family, settings, 8)
    for one, other in zip(model.state_dict().values(), alone.state_dict().values(), strict=True):
        assert one.device.type == "cpu" and torch.equal(one, other)

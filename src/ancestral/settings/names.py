"""Other names of settings: former ones, and names that people know from elsewhere."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ancestral.core.errors import InputError
from ancestral.settings.checks import flag

FORMER_NAMES = {"split": "protocol"}
"""Settings by names that they once had; files, commands, calls of `fit` and stored runs may still use them."""
ALIASES = {
    "lr": "learning_rate",
    "bs": "batch_size",
    "batch": "batch_size",
    "wd": "weight_decay",
    "optim": "optimizer",
    "optimiser": "optimizer",
    "dataset": "data",
    "latent_dim": "latents",
    "num_epochs": "epochs",
}
"""Settings by names that are common elsewhere; they are read wherever the setting's own name is."""
FORMER_SWITCHES = {"tensorboard": ("track", "tensorboard")}
"""Switches that are a value of another setting today: the setting, and its value where the switch was on."""


def present_name(name: str, known: Container[str]) -> str:
    """The name of a setting that is given by a former name or an alias.

    Args:      known: names of settings; one of them is left as it is, and no other is returned.
    Example:
        >>> present_name("lr", {"learning_rate"}), present_name("lr", {"lr", "learning_rate"}), present_name("lr", ())
        ('learning_rate', 'lr', 'lr')
    """
    other = FORMER_NAMES.get(name, ALIASES.get(name, name))
    return name if name in known or other not in known else other


def renamed(values: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """Settings under their present names, former switches among them as the settings that they are today.

    Raises:    InputError: one is given by two names, or a former switch is neither on nor off.
    """
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in values.items():
        present = present_name(name, known)
        if name in FORMER_SWITCHES and name not in known:
            present, switched = FORMER_SWITCHES[name]
            if not isinstance(value, bool):
                raise InputError(f"{name} is {str(value)[:40]!r}, where true or false belongs")
            value = (switched,) if value else ()
        if present in given:
            raise InputError(
                f"{names[present]!r} and {name!r} are the same setting ({flag(present)}): give one of them"
            )
        given[present], names[present] = value, name
    return given

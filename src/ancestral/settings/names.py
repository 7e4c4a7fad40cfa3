"""Other names of settings: former names, and common names in other packages."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from ancestral.core.errors import InputError
from ancestral.settings.checks import flag

FORMER_NAMES = {"split": "protocol", "by_class": "conditional"}
"""Present name of a setting by its former name. Files, commands, calls of `fit` and stored runs may use both."""
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
"""Name of a setting by a name that is common in other packages. Both are accepted everywhere."""
FORMER_SWITCHES = {"tensorboard": ("track", "tensorboard")}
"""Former switches that are now a value of another setting: the setting, and its value if the switch was on."""


def present_name(name: str, known: Container[str]) -> str:
    """The present name of a setting that is given by a former name or an alias.

    Args:      known: present names. A known name is returned unchanged, and so is a name that stands for none of them.
    Example:
        >>> present_name("lr", {"learning_rate"}), present_name("lr", {"lr", "learning_rate"}), present_name("lr", ())
        ('learning_rate', 'lr', 'lr')
    """
    other = FORMER_NAMES.get(name, ALIASES.get(name, name))
    return name if name in known or other not in known else other


def renamed(values: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """Settings by their present names. Former switches are converted to the settings that replaced them.

    Raises:    InputError: a setting is given by two names, or a former switch is neither true nor false.
    """
    given: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in values.items():
        present = present_name(name, known)
        if name in FORMER_SWITCHES and name not in known:
            present, switched = FORMER_SWITCHES[name]
            if not isinstance(value, bool):
                raise InputError(f"{name} is {str(value)[:40]!r}: give true or false")
            value = (switched,) if value else ()
        if present in given:
            raise InputError(
                f"{names[present]!r} and {name!r} are the same setting ({flag(present)}): give one of them"
            )
        given[present], names[present] = value, name
    return given

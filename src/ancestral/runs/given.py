"""The user's own model, networks or objective, which are given in Python in addition to the settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from ancestral.core.digest import digest_of
from ancestral.core.errors import InputError
from ancestral.core.given import MODEL, qualified_name
from ancestral.core.text import close_matches
from ancestral.families.build import load_model
from ancestral.families.catalogue import find
from ancestral.families.family import Family
from ancestral.models.base import Model
from ancestral.models.saved import read_into
from ancestral.training.objectives import Objective

MOST_TEXT = 4000  # characters of the text of a network


@dataclass(frozen=True)
class Given:
    """A user's own model, or own networks by name, and the objective of an own model.

    Args:      model: that belongs to no family. networks: modules, or functions that make them, by the names of
               `Family.networks`. objective: (model, batch) -> terms; None for the default of the kind of model.
    """

    model: Model | None = None
    networks: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective | None = None

    def __post_init__(self) -> None:
        for part in self.parts.values():
            if isinstance(part, nn.Module) and "_modules" not in vars(part):
                raise InputError(f"the {type(part).__name__} is not initialised: call super().__init__() in __init__")

    def record(self, family: str | None) -> Family:
        """The record of the family, or of the user's own model with its objective."""
        found = find(family)
        if self.objective is None:
            return found
        objective = self.objective
        return replace(found, objective=lambda settings, model: objective)

    @property
    def parts(self) -> dict[str, Any]:
        """The model or the networks, by name."""
        return {MODEL: self.model, **self.networks} if self.model is not None else dict(self.networks)

    @property
    def keywords(self) -> dict[str, Any]:
        """The model or the networks, as keyword arguments of `ancestral.Run`."""
        return {"into": self.model} if self.model is not None else dict(self.networks)

    def facts(self, model: Model) -> dict[str, dict[str, Any]]:
        """The facts about each part that the record of a run stores.

        These are its class, whether it is needed to load the model (a critic is not), and for a module its size, its
        text and the SHA-256 of its initial weights.

        Args:      model: the model with the parts.
        """
        inside = set(model.modules())
        return {
            name: {"needed": not isinstance(part, nn.Module) or part in inside, **_facts(part)}
            for name, part in self.parts.items()
        }

    def loaded(self, folder: Path, sha256: Mapping[str, str], in_place: bool = False) -> Model:
        """The model saved in a folder.

        Args:      folder: of the model. sha256: of its files, by name. in_place: load into the given modules, not into
                   copies.
        Raises:    InputError: the weights do not fit, or a needed module is missing.
        """
        parts = self.parts if in_place else {name: _copied(name, part) for name, part in self.parts.items()}
        if self.model is not None:
            return read_into(folder, parts[MODEL], sha256)
        return load_model(folder, sha256, parts)


def refuse_missing(known: Mapping[str, Any], given: Given, path: Path) -> None:
    """Raises:    InputError: the record of a run names parts that are missing here, or does not name one that is
    given."""
    if given.model is not None:
        return
    needed = [name for name in known if known[name].get("needed", True)]
    missing = [name for name in needed if name not in given.parts]
    if missing:
        words = ", ".join("into=model" if name == MODEL else f"{name}=..." for name in needed)
        classes = " and ".join(f"its {name} ({str(known[name].get('class'))[:80]})" for name in missing)
        raise InputError(
            f"{path} was trained in Python with {classes}, whose code it does not contain: open it in Python with "
            f"ancestral.Run({str(path)!r}, {words})"
        )
    for name in given.parts:
        if name not in known:
            raise InputError(
                f"{path} has no {name} of your own: {close_matches(name, known) if known else 'leave it out'}"
            )


def refuse_other_parts(known: Mapping[str, Any], present: Mapping[str, Any], path: Path) -> None:
    """Raises:    InputError: a resumed run was started with other parts than are given now."""
    for name in {**known, **present}:
        if name not in present or name not in known:
            word = "with" if name in known else "without"
            raise InputError(f"{path} was started {word} your own {name}: resume it in Python, {word} it")
        for what in ("class", "parameters"):
            before, now = known[name].get(what), present[name].get(what)
            if before != now:
                raise InputError(f"{path} was started with another {name}: its {what} was {before} and is now {now}")


def _copied(name: str, part: Any) -> Any:
    """A copy of a part, so that loading weights does not change the given one."""
    if not isinstance(part, nn.Module):
        return part
    try:
        return copy.deepcopy(part)
    except Exception as error:  # the module may have any attributes
        raise InputError(
            f"the {name} cannot be copied ({error}): load the weights into it with ancestral.load(RUN, ...)"
        ) from error


def _facts(part: Any) -> dict[str, Any]:
    if not isinstance(part, nn.Module):
        return {"class": getattr(part, "__qualname__", qualified_name(part)), "parameters": None}
    weights = list(part.parameters())
    lazy = any(map(is_lazy, weights))
    return {
        "class": qualified_name(part),
        "parameters": None if lazy else sum(weight.numel() for weight in weights),
        "text": repr(part)[:MOST_TEXT],
        "initial_sha256": None if lazy else _weights_hash(part),
    }


def _weights_hash(module: nn.Module) -> str:
    """SHA-256 of the names, types, shapes and values of a module's tensors."""
    return digest_of(module.state_dict())

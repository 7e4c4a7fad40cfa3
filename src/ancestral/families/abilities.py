"""The capability table of the README, computed from the records and classes of the families.

python -m ancestral.families.abilities
"""

from __future__ import annotations

from ancestral.families.catalogue import BUILT_IN, model_classes
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.models.base import (
    Decodes,
    ExactModel,
    HasConditionals,
    LatentModel,
    Model,
    SamplesJointly,
)

COMMANDS = ("sample", "infer", "complete", "detect", "bracket")  # abilities with the name of their command


def classes() -> list[type[Model]]:
    """The model classes of all built-in families, in the order of the catalogue."""
    return list(dict.fromkeys(cls for name in BUILT_IN for cls in model_classes(name)))


def likelihood_of(cls: type[Model]) -> str:
    """How log p(x) is computed: exact, lower bound, or not available."""
    if issubclass(cls, ExactModel):
        return "exact"
    return "lower bound" if issubclass(cls, LatentModel) else "not available: raises"


def abilities_of(cls: type[Model]) -> dict[str, str]:
    """For every ability, whether and how a class has it, or why it does not."""
    latents = not issubclass(cls, AutoregressiveModel)
    scored = issubclass(cls, (ExactModel, LatentModel))
    return {
        "log p(x)": likelihood_of(cls),
        "sample": "yes",
        "infer": _kind(getattr(cls, "inference", "no")) if latents else "no latents",
        "decode": ("yes" if _has(cls, Decodes) else "no") if latents else "no latents",
        "conditionals": "yes" if _has(cls, HasConditionals) else "no",
        "complete": _kind(getattr(cls, "completion", "no")),
        "detect": "yes" if scored else "no likelihood",
        "bracket": _bracket_of(cls),
    }


def _bracket_of(cls: type[Model]) -> str:
    if issubclass(cls, ExactModel):
        return "not needed: exact"
    annealed = issubclass(cls, LatentModel) and _has(cls, SamplesJointly) and cls.latent_kind == "real"
    return "yes" if annealed else "no"


def _has(cls: type[Model], protocol: type) -> bool:
    """Whether a class has all methods of a protocol."""
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    return all(hasattr(cls, name) for name in methods)


def _kind(described: str) -> str:
    """The first part of a description: `exact` for `exact: by a sum over all states`."""
    return described.split(":")[0]


def capability_table() -> str:
    """The table in Markdown: one row per class; abilities that are commands are in code."""
    abilities = [abilities_of(cls) for cls in classes()]
    header = [f"`{name}`" if name in COMMANDS else name for name in abilities[0]]
    rows = [["model", *header], ["---"] * (1 + len(header))]
    rows += [[f"`{cls.__name__}`", *can.values()] for cls, can in zip(classes(), abilities, strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(capability_table())

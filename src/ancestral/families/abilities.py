"""The capability table: for every model class, the queries that it answers, computed from its kind and its protocols.

python -m ancestral.families.abilities
"""

from __future__ import annotations

from collections.abc import Iterable

from ancestral.families.catalogue import BUILT_IN, model_classes
from ancestral.models.base import (
    Decodes,
    ExactModel,
    HasConditionals,
    LatentModel,
    Model,
    SamplesJointly,
    ScoresMissing,
)
from ancestral.models.classes import PredictsClasses, ScoresClasses, WeighsClasses
from ancestral.models.seen import FindsMostProbable, InfersSeen, RestrictsToSeen, ScoresSeen

NONE = "not available"
HEADERS = {"complete": "sample given any mask (`complete`)", "infer": "posterior (`infer`)", "bracket": "`bracket`"}


def classes(families: Iterable[str] = BUILT_IN) -> list[type[Model]]:
    """The model classes of families, without repetition."""
    return list(dict.fromkeys(cls for name in families for cls in model_classes(name)))


def abilities_of(cls: type[Model]) -> dict[str, str]:
    """For every query, the kind of answer of a class, such as `exact`, and after a colon how it is computed."""
    return {
        "log p(x)": _by_kind(cls, "exact", "lower bound"),
        "any marginal": _marginal_of(cls),
        "any conditional": _conditional_of(cls),
        "most probable completion": getattr(cls, "maximisation", NONE) if _has(cls, FindsMostProbable) else NONE,
        "complete": getattr(cls, "completion", NONE),
        "p(y | x)": _class_posterior_of(cls),
        "infer": getattr(cls, "inference", NONE),
        "entropy": _by_kind(
            cls,
            "approximate: the mean of -log p(x) of samples of the model, with its standard error",
            "upper bound: the mean of minus the lower bound of samples of the model, with its standard error",
        ),
        "decode": "yes" if _has(cls, Decodes) else "no",
        "conditionals": "yes" if _has(cls, HasConditionals) else "no",
        "bracket": _bracket_of(cls),
    }


def _by_kind(cls: type[Model], exact: str, latent: str) -> str:
    if issubclass(cls, ExactModel):
        return exact
    return latent if issubclass(cls, LatentModel) else NONE


def _marginal_of(cls: type[Model]) -> str:
    """As `evaluation.log_marginal` computes it."""
    if _has(cls, ScoresSeen):
        return "exact"
    if issubclass(cls, LatentModel) and _has(cls, InfersSeen):
        return "lower bound: importance samples given the observed pixels"
    return _conditional_of(cls) if issubclass(cls, ExactModel) else NONE


def _conditional_of(cls: type[Model]) -> str:
    """The completions that are exact are those whose probability can be computed."""
    return getattr(cls, "completion", NONE).split(", else")[0] if _has(cls, ScoresMissing) else NONE


def _class_posterior_of(cls: type[Model]) -> str:
    if issubclass(cls, ExactModel):
        return "exact" if _has(cls, ScoresClasses) else NONE
    if _has(cls, PredictsClasses):
        return "exact if the class comes last"
    sampled = issubclass(cls, LatentModel) and _has(cls, WeighsClasses)
    return "approximate: importance samples of the latents of each class" if sampled else NONE


def trains_on_missing(cls: type[Model]) -> bool:
    """Whether models of a class can be trained on missing values; as `models.seen.can_train_on_missing` of one."""
    of_seen = (
        _has(cls, ScoresSeen) or _has(cls, RestrictsToSeen) or (issubclass(cls, LatentModel) and _has(cls, InfersSeen))
    )
    return of_seen or bool(getattr(cls, "trains_on_missing", False))


def _bracket_of(cls: type[Model]) -> str:
    if issubclass(cls, ExactModel):
        return "not needed"
    annealed = issubclass(cls, LatentModel) and _has(cls, SamplesJointly) and cls.latent_kind == "real"
    return "yes" if annealed else "no"


def _has(cls: type[Model], protocol: type) -> bool:
    """Whether a class has all methods of a protocol."""
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    return all(hasattr(cls, name) for name in methods)


def kind_of(answer: str) -> str:
    """The first part of a description: `exact` for `exact: z = f(x)`."""
    return answer.split(":")[0]


def table_of(families: Iterable[str] = BUILT_IN) -> tuple[list[str], list[list[str]], list[str]]:
    """The table as texts.

    Args:      families: names of families; a plug-in must be known to the catalogue.
    Returns:   the header; a row for each class, in which a number in brackets refers to a note; and the notes, which
               say how an answer is computed.
    """
    notes: dict[str, int] = {}
    rows = []
    for cls in classes(families):
        row = [cls.__name__]
        for answer in abilities_of(cls).values():
            how = answer.partition(": ")[2]
            row.append(f"{kind_of(answer)} ({notes.setdefault(how, len(notes) + 1)})" if how else answer)
        rows.append(row)
    return ["model", *abilities_of(Model)], rows, [f"({number}) {how}" for how, number in notes.items()]


def capability_table(families: Iterable[str] = BUILT_IN) -> str:
    """The table in Markdown, with its notes below; abilities that are commands are in code."""
    header, rows, notes = table_of(families)
    shown = [[HEADERS.get(name, name).replace("|", r"\|") for name in header], ["---"] * len(header)]
    shown += [[f"`{name}`", *answers] for name, *answers in rows]
    lines = [f"| {' | '.join(row)} |" for row in shown]
    return "\n".join([*lines, "", *(f"* {note}" for note in notes)])


if __name__ == "__main__":
    print(capability_table())

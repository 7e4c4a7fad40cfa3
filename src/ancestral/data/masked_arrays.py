"""Masks and weights of images or points that are stored with them, and their checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.names import PARTS, Member

Arrays = dict[str, np.ndarray]
_SEEN, _HIDDEN = ("seen", "observed"), ("mask", "masks", "missing")
_FORMS = ("{part}_{name}", "{name}_{part}")


def stored_masks(subject: object, members: Sequence[Member], shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Masks of observed values in arrays of a file, by part, each with the shape of its images or points.

    The name `seen` marks observed values, and `mask` missing ones, with values that are not zero. With several parts,
    the name of the part comes before or after, as in `train_seen`; a part without a mask has no missing values.

    Args:
        subject: the file, for errors.
        members: its arrays that have no other use.
        shapes: shape of the images (N, C, H, W) or points (N, D) of each part.

    Raises: InputError for a mask of another shape, or two masks of a part.
    """
    found: Arrays = {}
    for part, shape in shapes.items():
        own = [
            (member, seen) for names, seen in ((_SEEN, True), (_HIDDEN, False)) for member in _of(part, names, members)
        ]
        if len(own) > 1:
            both = " and ".join(member.name for member, _ in own)
            raise refusal(subject, f"two masks of the {part} part ({both})", "give one of them")
        for member, seen in own:
            values = member.load() != 0
            found[part] = _fitted(subject, member.name, values if seen else ~values, shape)
    return found


def mask_names(members: Sequence[Member], parts: Sequence[str]) -> set[str]:
    """Names of the arrays that `stored_masks` reads."""
    return {member.name for part in parts for member in _of(part, (*_SEEN, *_HIDDEN), members)}


def _of(part: str, names: Sequence[str], members: Sequence[Member]) -> list[Member]:
    known = {form.format(part=alias, name=name) for form in _FORMS for alias in PARTS.get(part, ()) for name in names}
    wanted = known | (set(names) if part == "all" else set())
    if part == "all":  # a training part alone is the whole source
        wanted |= {form.format(part=alias, name=name) for form in _FORMS for alias in PARTS["train"] for name in names}
    return [member for member in members if member.name.lower() in wanted]


def _fitted(subject: object, name: str, seen: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A mask with the shape of the images or points; one without their number or channels is repeated."""
    if len(shape) == 4:
        if seen.ndim == 4 and seen.shape[1:] != shape[1:] and seen.shape[3] in (1, shape[1]):
            seen = np.moveaxis(seen, 3, 1)
        seen = seen[None] if seen.ndim == 2 else seen
        seen = seen[:, None] if seen.ndim == 3 else seen
    elif seen.ndim == 1:
        seen = seen[None]
    fits = seen.ndim == len(shape) and all(
        size in (1, wanted) for size, wanted in zip(seen.shape[:2], shape, strict=False)
    )
    if not fits or seen.shape[2:] != shape[2:] or (len(shape) == 2 and seen.shape[1] != shape[1]):
        sizes = "x".join(map(str, shape))
        raise refusal(
            subject, f"the mask {name} of shape {seen.shape} does not fit data of {sizes}", "give one value for each"
        )
    return np.broadcast_to(seen, shape).copy()


def checked_weights(subject: object, name: str, values: np.ndarray, count: int) -> np.ndarray | None:
    """Weights of training images or rows, float64, shape (N,); None if they are all equal.

    Args:
        subject: the file, for errors.
        name: of the array or column.
        values: as stored.
        count: number of images or rows.

    Raises: InputError for another number of weights, text, negative or missing weights, or zeros only.
    """
    if values.dtype.kind not in "biuf":
        raise refusal(subject, f"the weights {name} are not numbers", "give one number for each row")
    weights = values.reshape(-1).astype(np.float64)
    if len(weights) != count:
        raise refusal(subject, f"{len(weights):,} weights ({name}) for {count:,} rows", "give one weight for each row")
    if not np.isfinite(weights).all() or bool((weights < 0).any()):
        wrong = int((~(np.isfinite(weights) & (weights >= 0))).argmax())
        raise refusal(
            subject,
            f"the weight of row {wrong} (from 0) is {weights[wrong]:g} ({name})",
            "give finite weights of at least 0",
        )
    if not bool(weights.any()):
        raise refusal(subject, f"all weights ({name}) are 0", "give a positive weight to at least one row")
    return None if bool((weights == weights[0]).all()) else weights


def weights_note(name: str, weights: np.ndarray) -> str:
    """A notice about weights that are used."""
    return (
        f"{name} holds the weights of the rows in training and validation, {weights.min():g} to {weights.max():g}; "
        "scores of `evaluate` give each row the same weight"
    )

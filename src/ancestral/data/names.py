"""Choosing the arrays of images, labels, levels, class names and weights in a file, by common names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ancestral.core.errors import refusal
from ancestral.core.text import close_matches

PARTS = {"train": ("train", "training"), "valid": ("valid", "val", "validation", "dev"), "test": ("test", "testing")}
_IMAGES = ("images", "imgs", "image", "img", "x", "data", "arr_0")
_LABELS = ("labels", "label", "y", "target", "targets", "arr_1")
_PART_IMAGES = ("{}", "{}_images", "x_{}", "{}_x", "images_{}", "{}_data", "data_{}", "{}_imgs", "x{}", "{}x")
_PART_LABELS = ("{}_labels", "y_{}", "{}_y", "labels_{}", "{}_targets", "{}_target", "{}_label", "y{}", "{}y")
_CLASSES = ("classes", "class_names", "label_names")
_WEIGHTS = ("weights", "weight")
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Member:
    """An array in a file that has not been read yet.

    Args:
        name: name in the file.
        shape: shape of the array.
        nbytes: bytes that it needs in memory.
        load: reads the array, or the `ShardedImages`; InputError if it cannot be read.
        readable: False if its header shows that it cannot be read.
    """

    name: str
    shape: tuple[int, ...]
    nbytes: int
    load: Callable[[], Any]
    readable: bool = True

    @property
    def in_words(self) -> str:
        """Name and shape as text, such as `latents (3x6)`."""
        shape = "x".join(map(str, self.shape)) or "one number"
        return f"{self.name} ({shape if self.readable else 'unreadable'})"

    def may_be_images(self) -> bool:
        """Whether it has the dimensions of images or points. An unreadable array raises when it is loaded."""
        return not self.readable or len(self.shape) >= 2

    def may_be_labels(self) -> bool:
        """Whether it has the dimensions of labels."""
        return not self.readable or len(self.shape) in (1, 2)


@dataclass(frozen=True, eq=False)
class Chosen:
    """The arrays of a file by their use.

    Args:
        images, labels: by part: "train", "valid" and "test", or "all".
        levels, classes, weights: None if there is no such array.
        ignored: all other arrays.
    """

    images: dict[str, Member]
    labels: dict[str, Member]
    levels: Member | None
    classes: Member | None
    weights: Member | None
    ignored: list[Member]


class _Lookup:
    """Finds arrays by name; upper and lower case are equal."""

    def __init__(self, path: Path, members: Sequence[Member]) -> None:
        self.path, self.members = path, members
        self.known: dict[str, list[Member]] = {}
        for member in members:
            self.known.setdefault(member.name.lower(), []).append(member)

    def find(self, names: Sequence[str], fits: Callable[[Member], bool] = lambda _: True) -> Member | None:
        """The first array that exists and fits; InputError if two names differ only by case."""
        for name in names:
            found = [member for member in self.known.get(name, []) if fits(member)]
            if len(found) > 1:
                both = " and ".join(member.name for member in found)
                raise refusal(self.path, f"arrays {both} differ only by case", "choose the images with --array NAME")
            if found:
                return found[0]
        return None

    @property
    def in_words(self) -> str:
        shown = [member.in_words for member in sorted(self.members, key=lambda member: member.name)]
        return shortened(shown) or "nothing"


def choose(
    path: Path, members: Sequence[Member], array: str | None, infer: bool = True, weights_name: str | None = None
) -> Chosen:
    """Choose arrays by common names; upper and lower case are equal.

    Args:
        path: the file, for errors.
        members: all arrays of the file.
        array: name of the images, from --array; None: common names.
        infer: False uses only the names of labels of earlier versions, so that older runs keep their data.
        weights_name: name of the weights, from --weights; None: common names.

    Raises: InputError if it is not clear which arrays are the images, or for a test set without a training set.
    """
    lookup = _Lookup(path, members)
    images = {"all": _named(lookup, array)} if array is not None else _images(lookup)
    labels = {part: found for part, member in images.items() if (found := _labels(lookup, part, member, infer))}
    taken = {member.name for member in (*images.values(), *labels.values())}

    def other(names: Sequence[str]) -> Member | None:
        return lookup.find(names, lambda member: member.name not in taken)

    levels, classes, weights = other(["levels"]), other(_CLASSES) if infer else None, other(_WEIGHTS) if infer else None
    if weights_name is not None:
        weights = _named(lookup, weights_name)
    taken |= {member.name for member in (levels, classes, weights) if member is not None}
    ignored = [member for member in members if member.name not in taken]
    return Chosen(images, labels, levels, classes, weights, ignored)


def shortened(words: Sequence[str]) -> str:
    """The first eight words of a list, and the number of the others."""
    more = f", and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _named(lookup: _Lookup, array: str) -> Member:
    exact = [member for member in lookup.members if member.name == array]
    found = exact[0] if exact else lookup.find([array.lower()])
    if found is None:
        names = [member.name for member in lookup.members]
        raise refusal(lookup.path, f"has no array {array!r}, only {lookup.in_words}", close_matches(array, names))
    return found


def _images(lookup: _Lookup) -> dict[str, Member]:
    """The images by part."""
    fits = Member.may_be_images
    if found := lookup.find(["images"], fits):  # before parts, as earlier versions chose
        return {"all": found}
    parts: dict[str, Member] = {}
    for part, aliases in PARTS.items():
        found = lookup.find([form.format(alias) for form in _PART_IMAGES for alias in aliases], fits)
        if found is not None:
            parts[part] = found
    if list(parts) == ["train"]:
        return {"all": parts["train"]}
    if "train" in parts:
        return parts
    if found := lookup.find(_IMAGES, fits):
        return {"all": found}
    if parts:
        names = " and ".join(member.name for member in parts.values())
        raise refusal(lookup.path, f"has only {names}", "give train and test, or choose one array with --array NAME")
    return {"all": _only(lookup)}


def _only(lookup: _Lookup) -> Member:
    """The only array that may be the images, by its shape."""
    reserved = {*_LABELS, *_CLASSES, *_WEIGHTS, "levels"}
    members = [member for member in lookup.members if member.name.lower() not in reserved]
    for least in (0, 2, 3):  # any array; no single column of numbers; no table
        candidates = [member for member in members if len(member.shape) >= least]
        if len(candidates) == 1:
            return candidates[0]
    raise refusal(
        lookup.path,
        f"which arrays are the images? found {lookup.in_words}",
        "choose one with --array NAME, or name it images, or name them train and test",
    )


def _labels(lookup: _Lookup, part: str, images: Member, infer: bool) -> Member | None:
    """The labels of the images, by the name of their part, or else by a general name."""

    def fits(member: Member) -> bool:
        return member is not images and member.may_be_labels()

    for aliases in PARTS.values():
        own = [alias for alias in aliases if images.name.lower() in {form.format(alias) for form in _PART_IMAGES}]
        if own:
            forms = _PART_LABELS if infer else _PART_LABELS[:1]
            found = lookup.find([form.format(alias) for form in forms for alias in (*own, *aliases)], fits)
            if found is not None:
                return found
    if part != "all":
        return None
    return lookup.find(_LABELS if infer else _LABELS[:1], fits)

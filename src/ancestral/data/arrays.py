"""Reading images or points, with labels, from untrusted files of arrays (.npy, .npz, .mat, .pt, .pth)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ancestral.core.errors import refusal
from ancestral.data.conditions import with_conditions, without_conditions
from ancestral.data.imported import Imported, Part
from ancestral.data.labels import Labels, as_classes
from ancestral.data.layouts import FREY_ROWS, WITH_ALPHA, channels_first, composited, frey_faces
from ancestral.data.masked_arrays import checked_weights, mask_names, stored_masks, weights_note
from ancestral.data.names import Chosen, Member, choose, shortened
from ancestral.data.numpy_files import open_npy, open_npz
from ancestral.data.readers import as_labels, check_images, check_size
from ancestral.data.storage import compact, joined
from ancestral.data.values import BYTE_LEVELS, quantise
from ancestral.settings.data import ReadOptions

Arrays = dict[str, np.ndarray]


def read_arrays(path: Path, options: ReadOptions = ReadOptions()) -> Imported:  # noqa: B008  (immutable)
    """Read images or points from a file of arrays, without pickle.

    The arrays need common names, see `data.names`: `images` and `labels`, `x_train`, `y_train`, `x_test`, ...; a single
    array may have any name. Arrays of two dimensions are points. Images are (N, H, W), (N, C, H, W) or (N, H, W, C)
    with 1, 3 or 4 channels; the fourth channel is transparency. A whole number `levels` states that pixels are
    0..levels-1.

    Args:
        path: the file; its suffix determines the format.
        options: how pixels are read.

    Returns: the parts "train" and "test" (and "valid"), or "all".
    Raises: InputError for any other content, including objects, infinite numbers, too large headers and, without
        `options.missing`, NaN.
    """
    members, said = members_of(path)
    return import_members(path, members, options, said)


def import_members(path: Path, members: list[Member], options: ReadOptions, said: list[str]) -> Imported:
    """Images or points from named arrays, see `read_arrays`.

    Args:
        path: the file, for errors and for the layouts of .mat files.
        members: its arrays.
        options: how pixels are read.
        said: notices so far; this function adds its own.
    """
    named, others = without_conditions(members, options.conditions)
    return with_conditions(path, _contents(path, others, options, said), named, options.conditions)


def _contents(path: Path, members: list[Member], options: ReadOptions, said: list[str]) -> Imported:
    """As `import_members`, without conditions."""
    chosen = choose(path, members, options.array, options.infer, options.weights)
    check_size(path, sum(member.nbytes for member in _used(chosen)))
    stored = {part: member.load() for part, member in chosen.images.items()}
    raw = {part: member.load() for part, member in chosen.labels.items()}
    chosen, hidden = _with_masks(chosen) if options.missing else (chosen, [])
    options = _with_levels(path, chosen.levels, options, said)
    names = _class_names(chosen, said)
    if path.suffix.lower() == ".mat" and _is_frey(chosen):
        stored = {"all": frey_faces(stored["all"])}
        said.append(f"ff has {FREY_ROWS} rows: taken as the Frey faces, one column for each image of 28x20")
    if chosen.ignored:
        ignored = shortened([member.in_words for member in chosen.ignored])
        said.append(f"ignored array{'s' if len(chosen.ignored) > 1 else ''}: {ignored}")
    if all(array.ndim == 2 for array in stored.values()):
        return _points(path, stored, raw, names, hidden, chosen.weights, options, said)
    images = _in_layout(path, chosen, stored, raw, said)
    del stored  # free the memory
    counts = {part: len(array) for part, array in images.items()}
    labels, classes = _labels(path, chosen, raw, counts, names, options.infer, said)
    masks = stored_masks(path, hidden, {part: array.shape for part, array in images.items()})
    found = _images(path, images, labels, classes, masks, options, said)
    return _weighted(path, found, chosen.weights)


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file as it is stored.

    Raises: InputError for a damaged, unknown or too large file.
    """
    member, _ = open_npy(path)
    check_size(path, member.nbytes)
    return member.load()


def members_of(path: Path) -> tuple[list[Member], list[str]]:
    """The arrays of a file, and notices."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        member, said = open_npy(path)
        return [member], said
    if suffix == ".npz":
        return open_npz(path), []
    if suffix == ".mat":
        from ancestral.data.matlab import open_mat

        return open_mat(path), []
    from ancestral.data.tensors import open_tensors

    return open_tensors(path), []


def _is_frey(chosen: Chosen) -> bool:
    faces = chosen.images.get("all")
    return faces is not None and faces.name == "ff" and len(faces.shape) == 2 and faces.shape[0] == FREY_ROWS


def _used(chosen: Chosen) -> list[Member]:
    extras = [member for member in (chosen.levels, chosen.classes, chosen.weights) if member is not None]
    return [*chosen.images.values(), *chosen.labels.values(), *extras]


def _with_masks(chosen: Chosen) -> tuple[Chosen, list[Member]]:
    """The chosen arrays, and those of the ignored arrays that are masks."""
    names = mask_names(chosen.ignored, list(chosen.images))
    masks = [member for member in chosen.ignored if member.name in names]
    rest = [member for member in chosen.ignored if member.name not in names]
    return dataclasses.replace(chosen, ignored=rest), masks


def _weighted(path: Path, found: Imported, member: Member | None) -> Imported:
    """The images or points with the weights of the file, which are those of all images, or of the training images."""
    if member is None:
        return found
    part = "all" if "all" in found.parts else "train"
    weights = checked_weights(path, member.name, member.load(), len(found.parts[part]))
    if weights is None:
        return found
    parts = {**found.parts, part: dataclasses.replace(found.parts[part], weights=weights)}
    notes = (*found.assumptions, weights_note(member.name, weights))
    return dataclasses.replace(found, parts=parts, assumptions=notes)


def _with_levels(path: Path, levels: Member | None, options: ReadOptions, said: list[str]) -> ReadOptions:
    """The options with the number of levels in the file, unless the user gives another number."""
    if levels is None:
        return options
    value = levels.load()
    if value.size != 1 or value.dtype.kind not in "iu" or not 2 <= int(value.reshape(())) <= BYTE_LEVELS:
        raise refusal(
            path, f"`levels` is not a whole number from 2 to {BYTE_LEVELS}", "store np.array(17), for example"
        )
    number = int(value.reshape(()))
    if options.levels not in (None, number):
        said.append(f"the file states {number} levels: --levels {options.levels} is used instead")
        return options
    return options._replace(levels=number)


def _class_names(chosen: Chosen, said: list[str]) -> list[str] | None:
    """Names of the classes, if the file has them as text."""
    if chosen.classes is None:
        return None
    values = chosen.classes.load() if chosen.classes.readable else np.empty(0)
    if values.dtype.kind not in "US":
        said.append(f"ignored array: {chosen.classes.in_words}, which is not text")
        return None
    words = values.ravel().tolist()
    return [(word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)).strip() for word in words]


def _in_layout(path: Path, chosen: Chosen, stored: Arrays, raw: Arrays, said: list[str]) -> Arrays:
    """Views of all parts as (N, C, H, W)."""
    images = {}
    for part, array in stored.items():
        subject = f"{path}, {chosen.images[part].name}"
        count = _count(raw.get(part))
        images[part], assumed = channels_first(subject, array, count, path.suffix.lower() == ".mat")
        check_images(subject, images[part])
        said += [assumption for assumption in assumed if assumption not in said]
    if len({array.shape[1:] for array in images.values()}) > 1:
        shapes = ", ".join(f"{part} {array.shape}" for part, array in images.items())
        raise refusal(path, f"images of different shapes ({shapes})", "make them all the same")
    return images


def _count(labels: np.ndarray | None) -> int | None:
    """Number of labels: the rows, or the columns of a single row."""
    if labels is None or labels.ndim == 0:
        return None
    return labels.size if labels.ndim == 2 and labels.shape[0] == 1 else len(labels)


def _labels(
    path: Path,
    chosen: Chosen,
    raw: Arrays,
    counts: Mapping[str, int],
    names: list[str] | None,
    infer: bool,
    said: list[str],
) -> tuple[Labels, tuple[str, ...] | None]:
    if not infer:
        members = chosen.labels
        return {
            part: as_labels(path, members[part].name if part in members else "labels", raw.get(part), count)
            for part, count in counts.items()
        }, None
    labels, classes, assumed = as_classes(path, {part: raw.get(part) for part in counts}, counts, names)
    said += assumed
    return labels, classes


def _images(
    path: Path,
    images: Arrays,
    labels: Labels,
    classes: tuple[str, ...] | None,
    masks: Arrays,
    options: ReadOptions,
    said: list[str],
) -> Imported:
    images, seen = _without_missing(images, masks, options, said) if options.missing else (images, {})
    found = quantise(path, images, options)
    said += found.assumptions
    result = found.arrays
    if next(iter(result.values())).shape[1] == WITH_ALPHA:
        result, seen = _over_background(result, seen, found.levels, options, said)
    if options.grey or options.crop or options.resize is not None:
        from ancestral.data.pictures import transform, transform_notes

        height, width = next(iter(result.values())).shape[2:]
        said += transform_notes(options, height, width, found.levels)
        result = {part: transform(array, options) for part, array in result.items()}
        # a scaled pixel is observed if all its source pixels are
        seen = {part: transform(mask.astype(np.uint8) * 255, options) == 255 for part, mask in seen.items()}
    parts = {part: Part(compact(array), labels[part], seen=seen.get(part)) for part, array in result.items()}
    return Imported(parts, found.levels, found.value_range, classes, assumptions=tuple(said))


def _without_missing(images: Arrays, masks: Arrays, options: ReadOptions, said: list[str]) -> tuple[Arrays, Arrays]:
    """Images with the lowest value instead of missing pixels, and masks that are True where a pixel is observed.

    Args:      masks: those of the file; NaN pixels are missing too.
    """
    filler = 0.0 if options.value_range is None else options.value_range[0]
    seen = dict(masks)
    for part, array in images.items():
        if array.dtype.kind == "f":
            seen[part] = ~np.isnan(array) & seen.get(part, np.True_)
    missing = sum(int((~mask).sum()) for mask in seen.values())
    if not missing:
        return images, {}
    total = sum(array.size for array in images.values())
    said.append(f"{missing:,} of {total:,} pixels are {'missing' if masks else 'NaN: missing'}")
    filled = {
        part: np.where(seen[part], array, _as(array, filler)) if part in seen else array
        for part, array in images.items()
    }
    return filled, seen


def _as(array: np.ndarray, filler: float) -> np.ndarray:
    """The filler in the number format of an array; its smallest value for whole numbers."""
    return np.asarray(filler if array.dtype.kind == "f" else array.min(), array.dtype)


def _over_background(
    images: Arrays, seen: Arrays, levels: int, options: ReadOptions, said: list[str]
) -> tuple[Arrays, Arrays]:
    """RGB images from images with transparency. With `options.missing`, pixels that are not opaque are missing."""
    from ancestral.data.pictures import background_colour

    colour = background_colour(options.background)
    behind = "missing" if options.missing else f"composited on {options.background} (--background)"
    said.append(f"four channels: the fourth is transparency, and transparent pixels are {behind}")
    if options.missing:
        every = np.ones((1, WITH_ALPHA, 1, 1), np.bool_)
        masks = {part: (seen.get(part, every) & (array[:, 3:] == levels - 1))[:, :3] for part, array in images.items()}
        seen = {} if all(mask.all() for mask in masks.values()) else masks
    return {part: composited(array, levels, colour) for part, array in images.items()}, seen


def _points(
    path: Path,
    stored: Arrays,
    raw: Arrays,
    names: list[str] | None,
    hidden: list[Member],
    weights: Member | None,
    options: ReadOptions,
    said: list[str],
) -> Imported:
    """Points from arrays of two dimensions, with the same rules for all parts."""
    from ancestral.data.tables import as_points

    if len({array.shape[1] for array in stored.values()}) > 1:
        shapes = ", ".join(f"{part} {array.shape}" for part, array in stored.items())
        raise refusal(path, f"points of different dimensions ({shapes})", "make them all the same")
    count = _count(raw.get("all"))
    if count is not None and stored["all"].shape[1] == count != len(stored["all"]):
        said.append(f"shape {stored['all'].shape}: one column for each point")
        stored = {"all": stored["all"].T}
    counts = {part: len(array) for part, array in stored.items()}
    labels, classes, assumed = as_classes(path, {part: raw.get(part) for part in counts}, counts, names)
    width = next(iter(stored.values())).shape[1]
    side = math.isqrt(width)
    if side >= 4 and side * side == width:
        said.append(f"{width} columns are points, not images of {side}x{side}: store (N, {side}, {side}) for images")
    masks = stored_masks(path, hidden, {part: array.shape for part, array in stored.items()})
    stored = {part: np.where(masks[part], array, np.nan) if part in masks else array for part, array in stored.items()}
    found = as_points(path, joined(list(stored.values())), missing=options.missing)
    whole, seen = found.parts["all"].array, found.parts["all"].seen
    ends = np.cumsum(list(counts.values()))
    if len(whole) != ends[-1]:
        raise refusal(path, f"{ends[-1] - len(whole)} rows are not points", "remove these rows")
    pieces = np.split(whole, ends[:-1])
    masked = [None] * len(pieces) if seen is None else np.split(seen, ends[:-1])
    parts = {
        part: Part(piece, labels[part], seen=mask) for part, piece, mask in zip(counts, pieces, masked, strict=True)
    }
    notes = (*said, *assumed, *found.assumptions)
    return _weighted(path, dataclasses.replace(found, parts=parts, classes=classes, assumptions=notes), weights)

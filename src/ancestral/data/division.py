"""Splits of images into training, validation and test, and images that occur more than once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ancestral.core.errors import refusal
from ancestral.core.random import lasting_permutation, seed_for
from ancestral.data.imported import Imported, Part
from ancestral.data.sharded import ShardedImages
from ancestral.data.storage import joined_images, row_blocks


@dataclass(frozen=True, eq=False)
class Division:
    """The rows of each split.

    Args:
        pool: all images for training and validation, in the order of the file.
        order: rows of `pool`; the first are for training, the next for validation.
        test: the test images. test_rows: rows of `test` in the order of use; None: all rows in their order.
        valid_size: default number of images for validation.
        words: how the source was split, as a notice; empty if the source defines the split.
    """

    pool: Part
    order: np.ndarray
    test: Part
    test_rows: np.ndarray | None
    valid_size: int
    words: str


def stratified_permutation(labels: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    """A random order in which every section has nearly the same proportions of the classes, shape (count,).

    Within a class the order is random. Image i of the n images of a class gets the position (i + u) / n, with one
    random u for the class, and all images are sorted by position. The only image of a class comes first, so that it is
    in the training set. Without labels, it is a random permutation.

    Args:      labels: shape (count,), or None. seed: random seed; the order is the same on every machine.
    """
    shuffled = lasting_permutation(count, seed)
    if labels is None or count == 0:
        return shuffled
    _, codes, sizes = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    by_class = codes.argsort(kind="stable")
    rank = np.empty(count, np.int64)
    rank[by_class] = np.arange(count) - np.repeat(sizes.cumsum() - sizes, sizes)
    offsets = np.array([seed_for(seed, "class", number) / 2.0**63 for number in range(len(sizes))])
    offsets[sizes == 1] = 0.0
    return shuffled[((rank + offsets[codes]) / sizes[codes]).argsort(kind="stable")]


def divide(name: str, found: Imported, seed: int | None, *, in_order: bool, by_class: bool) -> Division:
    """Split a source into a pool for training and validation, and a test set.

    Args:
        name: name of the source, for errors.
        found: the content of the source.
        seed: random seed of the split; None: the order of the file if it has parts, otherwise seed 0.
        in_order: whether the order of the source is fixed: it is a named set, or a protocol splits it.
        by_class: whether to stratify by class; earlier versions did not.
    Raises:    InputError: fewer than three images, or a negative seed.
    """
    if seed is not None and seed < 0:
        raise refusal(f"split_seed {seed}", "negative", "give 0 or more")
    parts = found.parts
    if "test" not in parts:
        return _divided_at_random(
            name,
            _joined([parts[part] for part in ("all", "train", "valid") if part in parts]),
            parts,
            seed or 0,
            by_class,
        )
    pool = _joined([parts["train"], *([parts["valid"]] if "valid" in parts else [])])
    test, own_valid = parts["test"], len(parts["valid"]) if "valid" in parts else None
    size = len(pool) // 6 if own_valid is None else own_valid
    if in_order or (seed is None and not by_class):
        order = np.arange(len(pool)) if seed is None else lasting_permutation(len(pool), seed)
        return Division(pool, order, test, None, size, "")
    if own_valid is not None and seed is None:
        # so a smaller training set has all classes, and the file's validation images stay in validation
        first = len(pool) - own_valid
        order = np.concatenate(
            [
                _order(pool, 0, by_class, slice(first)),
                first + _order(pool, 0, by_class, slice(first, None)),
            ]
        )
        return Division(pool, order, test, None, size, "")
    words = f"validation images are drawn from the training images at random{_how(pool, seed or 0, by_class)}"
    return Division(pool, _order(pool, seed or 0, by_class), test, None, size, words)


def _divided_at_random(name: str, whole: Part, parts: dict[str, Part], seed: int, by_class: bool) -> Division:
    if len(whole) < 3:
        raise refusal(name, f"{len(whole)} images are too few for three splits", "give at least 3, better thousands")
    tenth = max(1, len(whole) // 10)
    if "valid" in parts:  # keep the validation images; a tenth of the training images is for test
        own = len(parts["valid"])
        first = len(whole) - own
        tenth = max(1, first // 10)
        order = _order(whole, seed, by_class, slice(first))
        kept = np.concatenate([order[:-tenth], first + _order(whole, seed, by_class, slice(first, None))])
        words = f"a tenth of the training images, drawn at random{_how(whole, seed, by_class)}, is the test set"
        return Division(whole, kept, whole, order[-tenth:], own, words)
    order = _order(whole, seed, by_class)
    words = f"divided in training, validation and test at random{_how(whole, seed, by_class)}"
    return Division(whole, order[:-tenth], whole, order[-tenth:], tenth, words)


def _order(part: Part, seed: int, by_class: bool, rows: slice = slice(None)) -> np.ndarray:
    labels = part.labels[rows] if by_class and part.labels is not None else None
    return stratified_permutation(labels, len(range(*rows.indices(len(part)))), seed)


def _how(part: Part, seed: int, by_class: bool) -> str:
    classes = ", in proportion to the classes" if by_class and part.labels is not None else ""
    return f"{classes} (--split-seed {seed})"


def _joined(parts: list[Part]) -> Part:
    if len(parts) == 1:
        return parts[0]
    labelled = [part.labels for part in parts if part.labels is not None]
    named = [part.names for part in parts if part.names is not None]
    vectors = [part.conditions for part in parts if part.conditions is not None]
    weighted = any(part.weights is not None for part in parts)
    masked = any(part.seen is not None for part in parts)
    return Part(
        joined_images([part.images for part in parts]),
        np.concatenate(labelled) if len(labelled) == len(parts) else None,
        tuple(name for names in named for name in names) if len(named) == len(parts) else None,
        np.concatenate([_seen_of(part) for part in parts]) if masked else None,
        np.concatenate([_weights_of(part) for part in parts]) if weighted else None,
        np.concatenate(vectors) if len(vectors) == len(parts) else None,
    )


def _weights_of(part: Part) -> np.ndarray:
    return np.ones(len(part)) if part.weights is None else part.weights


def _seen_of(part: Part) -> np.ndarray:
    return np.ones(part.images.shape, bool) if part.seen is None else part.seen


def image_keys(images: np.ndarray | ShardedImages) -> np.ndarray:
    """A 64-bit key of each image, equal for equal images, shape (N,).

    It is the sum, modulo 2^64, of the 64-bit words of the image, each multiplied by a random odd number. Two different
    images have the same key with a probability below 2^-32.
    """
    size = images[:1].nbytes
    width = -(-size // 8)
    multipliers = np.random.PCG64(0).random_raw(width + 1) | np.uint64(1)
    keys = np.empty(len(images), np.uint64)
    for start, rows in row_blocks(images):
        words = np.zeros((len(rows), width * 8), np.uint8)
        words[:, :size] = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
        mixed = words.view(np.uint64) * multipliers[:-1]
        mixed ^= mixed >> np.uint64(29)  # mix the high bits of each product into the low bits of the sum
        keys[start : start + len(rows)] = (mixed * multipliers[-1]).sum(1, dtype=np.uint64)
    return keys


def repeated(keys: np.ndarray, known: np.ndarray) -> tuple[int, int]:
    """Number of images that are copies of an earlier image, and number that are also in another set.

    Args:      keys: keys of the images. known: keys of the other set.
    """
    return len(keys) - len(np.unique(keys)), int(np.isin(keys, known).sum())

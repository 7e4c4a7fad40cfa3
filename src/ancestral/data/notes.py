"""What is said of a divided source: images that occur more than once, labels that are missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ancestral.data.division import Division, image_keys, repeated
from ancestral.data.splits import Split


def repetitions(divided: Division, train: int, valid: int) -> list[str]:
    """Sentences on images that occur more than once, within a split or in two.

    Args:      train, valid: numbers of training and validation images, the first of the division's order.
    """
    pool = image_keys(divided.pool.images)
    same = divided.test is divided.pool
    of_test = pool if same else image_keys(divided.test.images)
    of_train, of_valid = pool[divided.order[:train]], pool[divided.order[train : train + valid]]
    of_test = of_test if divided.test_rows is None else of_test[divided.test_rows]
    said = []
    copies, _ = repeated(of_train, of_train)
    if copies:
        said.append(f"{copies:,} of {train:,} training images are copies of another training image")
    known = np.concatenate([of_train, of_valid])
    for name, keys, others in (("validation", of_valid, of_train), ("test", of_test, known)):
        _, again = repeated(keys, others)
        if again:
            where = "training" if name == "validation" else "training or validation"
            said.append(
                f"{again:,} of {len(keys):,} {name} images occur among the {where} images too: "
                "their score is not one of unseen data"
            )
    return said


def class_notes(classes: Sequence[str] | None, train: Split, valid: Split, test: Split) -> list[str]:
    """Sentences on images without a label, and on classes that no training image has."""
    said = []
    labelled = [
        (name, split.labels)
        for name, split in (("training", train), ("validation", valid), ("test", test))
        if split.labels is not None and len(split)
    ]
    for name, labels in labelled:
        missing = int((labels < 0).sum())
        if missing:
            said.append(f"{missing:,} of {len(labels):,} {name} images have no label (-1)")
    if not labelled or train.labels is None:
        return said
    seen = set(train.labels.unique().tolist()) - {-1}
    wanted = set(range(len(classes))) if classes else set(range(max(seen, default=-1) + 1))
    wanted |= {int(label) for _, labels in labelled for label in labels.unique() if label >= 0}
    absent = sorted(wanted - seen)
    if absent:
        shown = ", ".join(classes[i] if classes and i < len(classes) else str(i) for i in absent[:8])
        said.append(f"classes without training images: {shown}{', ...' if len(absent) > 8 else ''}")
    return said

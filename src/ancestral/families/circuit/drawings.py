"""The drawings of the family: mean images, the trees, and the information that halves of an image share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ancestral.core.errors import NotComputable
from ancestral.data.masks import HALVES, seen_pixels
from ancestral.families.circuit.information import RegionInformation, edge_information, region_information
from ancestral.families.circuit.model import Circuit
from ancestral.families.family import Drawing, Subject

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TREES, SHOWN_TREES = 100, 4
SAMPLES = 200
LEAST_SHOWN = 0.01  # share of the largest mutual information of an edge


def mean_images(subject: Subject, count: int | None = None, seed: int = 0) -> Figure:
    """The mean image of each tree, or of each state of the root if there is only one tree."""
    from ancestral.figures.grids import image_grid

    model = _of_images(subject)
    log_probs = (model.log_component_probs[:, None] + model.roots.log_softmax(1)).flatten()
    means = model.decode(torch.eye(len(log_probs), dtype=model.dtype))
    if model.components > 1:
        joint = log_probs.exp().view(model.components, -1)
        means = torch.einsum("ck,ck...->c...", joint / joint.sum(1, keepdim=True), means.unflatten(0, joint.shape))
        log_probs = model.log_component_probs
    order = log_probs.argsort(descending=True)[: count or TREES]
    shares = [f"{log_probs[k].exp():.1%}" for k in order.tolist()]
    captions = (
        shares
        if model.components == 1
        else [_named(subject, k, share) for k, share in zip(order.tolist(), shares, strict=True)]
    )
    what = "trees" if model.components > 1 else "states of the root"
    images = subject.data.space.to_unit(means[order].float())
    return image_grid(
        images, captions=captions, title=f"circuit: mean images of the {what}, with probabilities", smooth=True
    )


def _of_images(subject: Subject) -> Circuit:
    """Raises:    NotComputable: the model is of points."""
    if subject.model.levels is None:
        raise NotComputable("this drawing needs images; the model is of points")
    return subject.model


def _named(subject: Subject, tree: int, share: str) -> str:
    """The caption of a tree: its class, if it has one, and its probability."""
    model = subject.model
    if not model.classes:
        return share
    label = tree // (model.components // model.classes)
    names = subject.data.classes
    return f"{names[label] if names else label}: {share}"


def trees(subject: Subject, count: int | None = None, seed: int = 0) -> Figure:
    """Trees over the pixel grid, above their mean images. Wide lines are edges with high mutual information."""
    from ancestral.figures.trees import PixelTree, tree_figure

    model = _of_images(subject)
    chosen = model.log_component_probs.argsort(descending=True)[: count or SHOWN_TREES].tolist()
    found = []
    for c in chosen:
        pixels = model.node_pixels[c]
        mean = model.decode(_state_probs(model, c)[None])[0]
        edges = torch.stack([pixels[1:], pixels[model.node_parents[c][1:]]], 1)
        image = subject.data.space.to_unit(mean.float())
        strength = edge_information(model, c)[1:]
        shown = strength > LEAST_SHOWN * strength.max() if len(strength) else strength > 0
        found.append(PixelTree(image, edges[shown], strength[shown], int(pixels[0])))
    shares = model.log_component_probs.exp()
    captions = [_named(subject, c, f"{shares[c]:.1%}") if model.components > 1 else "" for c in chosen]
    note = (
        "Lines: edges of the tree; the widest has the largest mutual information of its two pixels. Edges below 1 % of "
        "it are left out. Dot: the root. Dark: pixels with a high mean."
    )
    return tree_figure(found, captions, title="circuit: trees over the pixels", note=note)


def _state_probs(model: Circuit, tree: int) -> Tensor:
    """The code of a tree with the prior of its root, shape (C K,)."""
    code = torch.zeros_like(model.roots)
    code[tree] = model.roots[tree].softmax(0)
    return code.flatten()


def halves(model: Circuit, samples: int = SAMPLES, seed: int = 0) -> dict[str, RegionInformation]:
    """The information of each half of an image about the other half, by the name of the known half."""
    known = {half: ~seen_pixels(half, 1, model.event_shape)[0] for half in HALVES}
    return {half: region_information(model, mask, samples, seed) for half, mask in known.items()}


def information(subject: Subject, count: int | None = None, seed: int = 0) -> Figure:
    """How much one half of an image determines about each pixel of the other half."""
    from ancestral.figures.heat import heat_grid

    model, samples = _of_images(subject), count or SAMPLES
    found = halves(model, samples, seed)
    masks = torch.stack([~seen_pixels(half, 1, model.event_shape)[0, :1] for half in found]).float()
    maps = torch.stack([one.by_pixel.sum(0) for one in found.values()]).float()
    captions = [f"{half}: {one.shared.nats:.1f} ± {one.shared.stderr:.1f}" for half, one in found.items()]
    rest = ", ".join(f"{half} {one.rest.nats:.1f} ± {one.rest.stderr:.1f}" for half, one in found.items())
    return heat_grid(
        masks,
        maps,
        top=max(1e-6, float(maps.max())),
        quantity="nats per pixel",
        columns=4,
        captions=captions,
        row_titles=[""],
        title="circuit: mutual information of a known half and the rest",
        note=f"White: the known half. Below: its mutual information with each other pixel, and with all of them "
        f"together, in nats. Mean and standard error over {samples:,} samples of the model, with exact "
        f"log-probabilities. Entropy of the other half, by the known half: {rest} nats.",
    )


DRAWINGS = (
    Drawing(
        "mean-images",
        "The mean image of each tree with its probability; of a single tree, those of the states of its root.",
        mean_images,
        needs=(Circuit,),
    ),
    Drawing(
        "trees",
        "The trees over the pixel grid. An edge joins two pixels; its width grows with their mutual information. The "
        "dot is the root.",
        trees,
        needs=(Circuit,),
    ),
    Drawing(
        "information",
        "How much does one half of an image determine about the other? Mutual information of two halves, and of one "
        "half and each pixel of the other.",
        information,
        needs=(Circuit,),
        on_request=True,
    ),
)

"""The start of a circuit's training: the trees, and hidden states that are clusters of patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.data.pixels import PixelBatches
from ancestral.families.circuit.clusters import LOOKED_AT, cluster_centres, k_means, nearest_centre
from ancestral.families.circuit.leaves import PixelLeaves
from ancestral.families.circuit.messages import Counts
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.structure import chow_liu
from ancestral.families.circuit.update import set_from_counts

RADIUS, WIDTH, BLUR = 5, 2.5, 0.7  # pixels: of a patch, of its Gaussian weights, of the blur; for 28 by 28 images
USUAL_SIDE = 28
LEAST_WEIGHT = 0.1  # pixels of a patch with smaller weights are left out
ROUNDS = 4  # of k-means
MOST_CLASSES = 6  # with more classes, the images of all together are as many as those of this number
PER_TREE = 6000  # images whose patches are clustered for one tree
PSEUDO_COUNT = 0.3  # of each conditional distribution of the initial states


@torch.no_grad()
def initialise(model: Circuit, train: PixelBatches) -> None:
    """Learn the tree of each component from its images, and set the initial parameters.

    The images of a component are those of its class, or of its cluster. A component without images gets the tree of all
    images.
    """
    images, component = _assigned(model, train)
    for c in range(model.components):
        own = images[component == c]
        own = own if len(own) else images
        model.set_structure(c, chow_liu(own.flatten(1), model.levels))
        if model.start == "patches" and not isinstance(model.leaves, PixelLeaves):
            start_from_patches(model, c, own[:PER_TREE])
    if model.components > 1:
        counts = torch.bincount(component[component >= 0], minlength=model.components).to(model.dtype)
        model.weights.copy_((counts + PSEUDO_COUNT).log())


def _assigned(model: Circuit, train: PixelBatches) -> tuple[Tensor, Tensor]:
    """Training images, and the component of each image by its class or cluster; negative without a known class."""
    count = LOOKED_AT * max(1, min(model.classes, MOST_CLASSES))
    images = train.first(count)
    within = model.components // max(1, model.classes)
    if train.labels is None or not model.classes:
        return images, component_of_clusters(images, cluster_centres(train, within)) if within > 1 else _zeros(images)
    labels = train.labels[:count].to(images.device)
    if within == 1:
        return images, labels
    nearest = component_of_clusters(images, cluster_centres(train, within))
    return images, torch.where(labels < 0, labels, labels * within + nearest)


def _zeros(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.long, device=images.device)


def component_of_clusters(images: Tensor, centres: Tensor) -> Tensor:
    """The cluster of each image, shape (N,)."""
    return nearest_centre(images.flatten(1), centres)


def start_from_patches(model: Circuit, component: int, images: Tensor) -> None:
    """Set a tree's parameters by counting, with the cluster of the patch around a pixel as its hidden state.

    Args:      images: of the component, shape (N, C, H, W), whole levels.
    Reference: Liu et al., 2022, arXiv 2210.04398 (latent variable distillation; there the clusters come from a large
               network).
    """
    states, count = patch_states(images, model.states, model.levels), len(images)
    order, parents, size = model.node_pixels[component], model.node_parents[component], model.states
    pixels, eye = images.flatten(1).long(), torch.eye(size, dtype=model.dtype, device=images.device)
    one_hot = [eye[states[d]] for d in order.tolist()]  # (N, K) of each node
    pairs = torch.stack([one_hot[p].T @ one_hot[n] for n, p in list(enumerate(parents.tolist()))[1:]] or [eye[:0, :0]])
    level = torch.eye(model.levels, dtype=model.dtype, device=images.device)
    leaves = torch.stack([level[pixels[:, d]].T @ one_hot[n] for n, d in enumerate(order.tolist())])
    counts = Counts(one_hot[0].sum(0), pairs, leaves)
    set_from_counts(model, component, Counts(*(part / count for part in counts)), PSEUDO_COUNT / count)


def patch_states(images: Tensor, states: int, levels: int) -> Tensor:
    """The cluster of the blurred patch around each pixel, for each image, shape (D, N), 0 to K - 1.

    The patches of one place are clustered by k-means. Their pixels have Gaussian weights, so near pixels count more.
    The channels of a place have the same patch, and are clustered separately.

    Args:      images: shape (N, C, H, W), whole levels. states: K.
    """
    channels, height, width = images.shape[1:]
    scale = max(0.4, min(1.0, max(height, width) / USUAL_SIDE))
    radius = max(1, round(RADIUS * scale))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    square = offsets[:, None].square() + offsets.square()
    weights = (-square / (2 * (WIDTH * scale) ** 2)).exp()
    near = weights > LEAST_WEIGHT
    blurred = _blurred(images / (levels - 1), BLUR * scale)
    padded = F.pad(blurred, (radius,) * 4)
    found = []
    for d in range(channels * height * width):
        row, column = divmod(d % (height * width), width)
        patch = padded[:, :, row : row + 2 * radius + 1, column : column + 2 * radius + 1]
        features = (patch * weights)[..., near].flatten(1)
        found.append(k_means(features, states, ROUNDS)[1])
    return torch.stack(found)


def _blurred(images: Tensor, width: float) -> Tensor:
    """Images blurred with a Gaussian of this width in pixels."""
    steps = torch.arange(-3, 4, dtype=images.dtype, device=images.device)
    kernel = (-steps.square() / (2 * width**2)).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, 7, 1)
    single = images.flatten(0, 1)[:, None]
    blurred = F.conv2d(F.conv2d(single, kernel, padding=(3, 0)), kernel.mT, padding=(0, 3))
    return blurred.view_as(images)

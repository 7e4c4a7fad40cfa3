"""The start of a circuit's training: the trees, and hidden states that are clusters of patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ancestral.core.errors import InputError
from ancestral.data.pixels import Batch, PixelBatches
from ancestral.families.circuit.clusters import LOOKED_AT, cluster_centres, k_means, nearest_centre
from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
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
FILLED = 1.5  # pixels: width of the mean of the neighbours of a missing pixel
NEAR = 0.5  # weight of the neighbours of a column in the tree, whose own weight is 1
COLUMN_ROUNDS = 10
READ = 100_000  # points that are read at once
PSEUDO_COUNT = 0.3  # of each conditional distribution of the initial states


@torch.no_grad()
def initialise(model: Circuit, train: PixelBatches) -> None:
    """Learn the tree of each component from its images, and set the initial parameters.

    The images of a component are those of its class, or of its cluster. A component without images gets the tree of all
    images.
    """
    standardise(model, train)
    batch, component = _assigned(model, train)
    for c in range(model.components):
        own = component == c
        own = own if bool(own.any()) else torch.ones_like(own)
        images, seen = batch.x[own], None if batch.seen is None else batch.seen[own]
        rows, mask = images.flatten(1), None if seen is None else seen.flatten(1)
        model.set_structure(c, chow_liu(rows, model.levels, mask))
        if model.start != "patches" or isinstance(model.leaves, PixelLeaves):
            continue
        if model.levels is None:
            start_from_columns(model, c, rows[:PER_TREE], None if mask is None else mask[:PER_TREE])
        else:
            start_from_patches(model, c, images[:PER_TREE], None if seen is None else seen[:PER_TREE])
    if model.components > 1:
        counts = torch.bincount(component[component >= 0], minlength=model.components).to(model.dtype)
        model.weights.copy_((counts + PSEUDO_COUNT).log())


def standardise(model: Circuit, train: PixelBatches) -> None:
    """Set the units of the leaves of real columns to the mean and the standard deviation of the seen training values.

    Raises:    InputError: a column is constant.
    """
    leaves = model.leaves
    if not isinstance(leaves, GaussianLeaves):
        return
    x = torch.cat(
        [batch.x.where(batch.seen, torch.nan) if batch.seen is not None else batch.x for batch in train.blocks(READ)]
    )
    x = x.double()
    mean = x.nanmean(0)
    spread = (x - mean).square().nanmean(0).sqrt()
    if not bool((spread > 0).all()):
        constant = ", ".join(str(place + 1) for place in (~(spread > 0)).nonzero()[:, 0].tolist())
        raise InputError(
            f"these columns of the training points are constant: {constant} (counted from 1); leave them out"
        )
    leaves.centre.copy_(mean)
    leaves.spread.copy_(spread)


def _assigned(model: Circuit, train: PixelBatches) -> tuple[Batch, Tensor]:
    """Training images, and the component of each image by its class or cluster; negative without a known class."""
    count = LOOKED_AT * max(1, min(model.classes, MOST_CLASSES))
    batch = train.first_batch(count)
    within = model.components // max(1, model.classes)
    nearest = _zeros(batch.x)
    if within > 1:
        nearest = component_of_clusters(model, batch.x, cluster_centres(train, within), batch.seen)
    if batch.labels is None or not model.classes:
        return batch, nearest
    return batch, torch.where(batch.labels < 0, batch.labels, batch.labels * within + nearest)


def _zeros(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.long, device=images.device)


def component_of_clusters(model: Circuit, images: Tensor, centres: Tensor, seen: Tensor | None = None) -> Tensor:
    """The cluster of each image, by its seen pixels, shape (N,); columns of points are compared in standard units."""
    rows = images.flatten(1)
    if isinstance(model.leaves, GaussianLeaves):
        spread = model.leaves.spread.to(rows)
        rows, centres = rows / spread, centres / spread
    return nearest_centre(rows, centres, None if seen is None else seen.flatten(1))


def start_from_patches(model: Circuit, component: int, images: Tensor, seen: Tensor | None = None) -> None:
    """Set a tree's parameters by counting, with the cluster of the patch around a pixel as its hidden state.

    Args:      images: of the component, shape (N, C, H, W), whole levels. seen: boolean, the same shape, or None: a
               missing pixel is estimated from its neighbours for the patches, and is not counted for the leaves.
    Reference: Liu et al., 2022, arXiv 2210.04398 (latent variable distillation; there the clusters come from a large
               network).
    """
    assert model.levels is not None
    images = images if seen is None else from_neighbours(images, seen)
    states, pixels = patch_states(images, model.states, model.levels), images.flatten(1).long()
    level = torch.eye(model.levels, dtype=model.dtype, device=images.device)
    leaves = []
    for d in model.node_pixels[component].tolist():
        values = level[pixels[:, d]] if seen is None else level[pixels[:, d]] * seen.flatten(1)[:, d, None]
        leaves.append(values.T @ _one_hot(model, states[d]))
    _start(model, component, states, torch.stack(leaves))


def start_from_columns(model: Circuit, component: int, rows: Tensor, seen: Tensor | None = None) -> None:
    """Set the parameters of a tree of real columns by counting, with clusters as hidden states.

    The features of a column are its value and, with a smaller weight, the values of its neighbours in the tree; missing
    values are replaced by the mean of their column.

    Args:      rows: points of the component, shape (N, D). seen: boolean, the same shape, or None.
    """
    leaves, order, parents = model.leaves, model.node_pixels[component], model.node_parents[component].tolist()
    assert isinstance(leaves, GaussianLeaves)
    there = torch.ones_like(rows, dtype=torch.bool) if seen is None else seen
    z = leaves.standardised(torch.arange(rows.shape[1], device=rows.device), rows.T.to(model.dtype)).where(there.T, 0)
    z, known = z[order], there.T[order].to(model.dtype)  # by node, (D, N)
    states = torch.empty_like(z, dtype=torch.long)
    for n, parent in enumerate(parents):
        near = [other for other, above in enumerate(parents) if other and above == n] + ([parent] if n else [])
        features = torch.cat([z[n : n + 1], NEAR * z[near]]).T
        states[order[n]] = k_means(features, model.states, COLUMN_ROUNDS)[1]
    sums = []
    for n, d in enumerate(order.tolist()):
        each = torch.stack([known[n], known[n] * z[n], known[n] * z[n].square()])
        sums.append(each @ _one_hot(model, states[d]))
    _start(model, component, states, torch.stack(sums))


def _one_hot(model: Circuit, states: Tensor) -> Tensor:
    return torch.eye(model.states, dtype=model.dtype, device=states.device)[states]


def _start(model: Circuit, component: int, states: Tensor, leaves: Tensor) -> None:
    """Set the parameters of a tree from the states of its pixels, shape (D, N), and the sums of its leaves."""
    order, parents, count = model.node_pixels[component], model.node_parents[component], states.shape[1]
    one_hot = [_one_hot(model, states[d]) for d in order.tolist()]  # (N, K) of each node
    none = model.transitions[component, :0]
    pairs = [one_hot[p].T @ one_hot[n] for n, p in list(enumerate(parents.tolist()))[1:]]
    counts = Counts(one_hot[0].sum(0), torch.stack(pairs) if pairs else none, leaves)
    set_from_counts(model, component, Counts(*(part / count for part in counts)), PSEUDO_COUNT / count)


def from_neighbours(images: Tensor, seen: Tensor) -> Tensor:
    """Whole levels of missing pixels, from a Gaussian mean of the seen pixels around them; without any, 0.

    Args:      images, seen: shape (N, C, H, W); seen boolean.
    """
    mask = seen.to(images)
    near = _blurred(images.where(seen, 0), FILLED) / _blurred(mask, FILLED).clamp_min(1e-6)
    return images.where(seen, near.round())


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

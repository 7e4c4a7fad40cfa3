"""Mixture of trees with hidden states: its parameters, and exact log-probabilities of any set of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ancestral.core.errors import InputError
from ancestral.core.precision import without_autocast
from ancestral.core.random import initial_normal
from ancestral.distributions.pixels import are_levels
from ancestral.families.circuit.gaussian_leaves import STATISTICS, GaussianLeaves
from ancestral.families.circuit.layout import Level, levels_of
from ancestral.families.circuit.leaf_kinds import leaves_named
from ancestral.families.circuit.log_likelihood import log_likelihood
from ancestral.families.circuit.messages import Tree, codes_of
from ancestral.families.circuit.structure import Structure, balanced
from ancestral.families.conditional import ComponentsByClass
from ancestral.models.base import ExactModel, StateTree

ROWS = 250  # images whose messages are computed together: few enough for the cache


class TreeMixture(ComponentsByClass, ExactModel):
    """Mixture of C hidden Chow-Liu trees.

        p(x) = sum_c p(c) sum_z prod_d p(z_d | z_parent(d), c) p(x_d | z_d, c)

    Each pixel has a hidden state z_d in {1, ..., K}. The states form a tree, so the sum over all K^D of them takes
    O(D K^2) operations. A missing pixel is summed out by leaving out its factor p(x_d | z_d). So marginal and
    conditional probabilities of any set of pixels are exact.

    Args:      event_shape: shape of an image with D pixels. states: K. components: C. leaves: p(x_d | z_d): bernoulli,
               categorical, logistic (discretised), gaussian (a density, for the columns of points), or pixel: the
               state is the pixel itself, K = L, which is the Chow-Liu tree. levels: L, number of values of a pixel, or
               None for points. classes: number of classes, 0 for none; tree c belongs to class c // (C / classes).
               weight_scale: standard deviation of the initial weights.
               start: initial hidden states of a training, `patches` or `random`, see `initialise`.
    Raises:    InputError: sizes that do not fit each other.
    Reference: Liu and Van den Broeck, 2021, arXiv 2106.02264.
    """

    levels: int | None
    node_pixels: Tensor
    node_parents: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        states: int = 32,
        components: int = 1,
        leaves: str = "bernoulli",
        levels: int | None = 2,
        classes: int = 0,
        weight_scale: float = 0.5,
        start: str = "random",
    ) -> None:
        super().__init__()
        pixels = math.prod(event_shape)
        if min(states, components, pixels, (levels or 2) - 1) < 1 or (classes and components % classes):
            raise InputError(
                "a circuit needs at least 1 state, component and pixel, and equally many trees of each class"
            )
        if leaves == "pixel" and states != levels:
            raise InputError(f"leaves of pixels need as many states as levels: {levels}, not {states}")
        self.set_classes(classes)
        self.event_shape, self.levels = tuple(event_shape), levels
        self.leaves = leaves_named(leaves, components, pixels, states, levels, weight_scale)
        self.spaces, self.start = self.leaves.spaces, start
        weights = torch.zeros(components)
        if components > 1:
            self.weights = nn.Parameter(weights)
        else:  # the probability of a single tree is 1, so there is nothing to learn
            self.register_buffer("weights", weights, persistent=False)
        self.roots = nn.Parameter(initial_normal(components, states, scale=weight_scale))
        self.transitions = nn.Parameter(initial_normal(components, pixels - 1, states, states, scale=weight_scale))
        self.register_buffer("node_pixels", torch.empty(components, pixels, dtype=torch.long))
        self.register_buffer("node_parents", torch.empty(components, pixels, dtype=torch.long))
        if not self.node_pixels.is_meta:  # arithmetic on this device makes torch import its compiler
            tree = balanced(pixels)
            self.node_pixels.copy_(tree.order)
            self.node_parents.copy_(tree.parents)
        self._known: list[tuple[Structure, list[Level]] | None] = [None] * components

    @property
    def states(self) -> int:
        """K."""
        return self.roots.shape[1]

    @property
    def components(self) -> int:
        """C."""
        return len(self.roots)

    @property
    def component_logits(self) -> Tensor:
        return self.weights

    @torch.no_grad()
    def set_structure(self, component: int, structure: Structure) -> None:
        """Replace the tree of a component.

        Raises:    InputError: it is not a tree over the pixels.
        """
        levels_of(*structure)
        self.node_pixels[component], self.node_parents[component] = structure

    def layout(self, component: int) -> list[Level]:
        """The levels of a component's tree, computed again only if the tree has changed."""
        known = self._known[component]
        now = Structure(self.node_pixels[component], self.node_parents[component])
        if known is None or known[0].order.device != now.order.device or not all(map(torch.equal, known[0], now)):
            known = Structure(*(part.clone() for part in now)), levels_of(*now)
            self._known[component] = known
        return known[1]

    def log_probabilities(self, component: int) -> tuple[Tensor, Tensor, Tensor]:
        """log p(z of the root), (K,); log p(z | z of the parent), (D - 1, K, K); log p(x | z), (D, L, K)."""
        return (
            self.roots[component].log_softmax(0),
            self.transitions[component].log_softmax(2),
            self.leaves.log_table(component),
        )

    def log_prior_trees(self) -> Tensor:
        """log p(c), shape (C,)."""
        return self.log_component_probs

    def state_trees(self) -> list[StateTree]:
        """The trees with their log-probabilities."""
        return [
            StateTree(self.node_parents[c], self.node_pixels[c], *self.log_probabilities(c))
            for c in range(self.components)
        ]

    def tree(self, component: int) -> Tree:
        """A component as probabilities, for messages without gradients."""
        return Tree.of(self.layout(component), *self.log_probabilities(component))

    @property
    def leaf_statistics(self) -> int:
        """Number of expected sums that EM keeps for each node and state: L, or 3 for real columns."""
        return self.levels or STATISTICS

    def leaf_codes(self, component: int, rows: Tensor, observed: Tensor | None = None) -> Tensor:
        """See `codes_of`. rows: images, shape (B, D); observed: boolean, the same shape, or None."""
        if self.levels is None:  # each point has a row of its own in the table of leaves
            each = torch.arange(len(rows), device=rows.device)[:, None].expand_as(rows)
            return codes_of(each, self.node_pixels[component], len(rows), observed)
        return codes_of(rows, self.node_pixels[component], self.levels, observed)

    def nodes(self, component: int, rows: Tensor, observed: Tensor | None = None) -> Tensor:
        """The values of the nodes of a tree, shape (D, B), with 0 where `observed` is False."""
        rows = rows if observed is None else rows.where(observed, 0)
        return rows.to(self.dtype).index_select(1, self.node_pixels[component]).T

    def by_pixel(self, component: int, nodes: Tensor) -> Tensor:
        """Values of nodes (D, ...) in the order of pixels or columns."""
        return torch.empty_like(nodes).index_copy_(0, self.node_pixels[component], nodes)

    def _densities(self, component: int, rows: Tensor, observed: Tensor | None) -> Tensor:
        assert isinstance(self.leaves, GaussianLeaves)
        return self.leaves.log_density(component, self.node_pixels[component], self.nodes(component, rows, observed))

    def evidence(self, component: int, tree: Tree, rows: Tensor, observed: Tensor | None = None) -> tuple[Tree, Tensor]:
        """A component with the leaves for at most `ROWS` images, and the rows of its leaves, see `codes_of`.

        Args:      tree: of the component, from `tree`. rows, observed: as `leaf_codes`.
        """
        codes = self.leaf_codes(component, rows, observed)
        return (tree.with_leaves(self._densities(component, rows, observed)) if self.levels is None else tree), codes

    def log_prob_given_tree(self, component: int, rows: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(observed pixels | c) of one tree, shape (B,), nats. Arguments: as `leaf_codes`."""
        layout, (root, transitions, leaves), found = self.layout(component), self.log_probabilities(component), []
        with without_autocast(rows.device):  # in half precision the sums over pixels have errors of several nats
            for part, seen in row_blocks(rows, observed):
                leaves = self._densities(component, part, seen) if self.levels is None else leaves
                found.append(log_likelihood(layout, self.leaf_codes(component, part, seen), root, transitions, leaves))
            return torch.cat(found)

    def joint(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """log p(observed pixels, c), shape (B, C), nats.

        Args:      x: shape (B, *event_shape). observed: boolean, the same shape; None: all pixels.
        """
        rows, seen = x.flatten(1), None if observed is None else observed.flatten(1)
        log_shares = self.log_component_probs
        possible = (log_shares.view(-1, self.components) > -torch.inf).any(0).tolist()  # trees of other classes are not
        found = [
            self.log_prob_given_tree(c, rows, seen) if possible[c] else log_shares.new_zeros(len(rows))
            for c in range(self.components)
        ]
        return torch.stack(found, 1) + log_shares

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), exact; a log-density for points.

        Args:      x: shape (B, *event_shape), whole levels, or real numbers for points.
        Returns:   shape (B,), nats.
        Raises:    InputError: a value is not a level.
        """
        self.check(x)
        return self.joint(x).logsumexp(1)

    def check(self, x: Tensor) -> None:
        """Raises:    InputError: a value is not one of the levels 0 to L - 1."""
        if self.levels is None:
            if not bool(x.isfinite().all()):
                raise InputError("this circuit needs finite numbers: found NaN or infinite ones")
        elif not are_levels(x, self.levels):
            needed = "binary pixels" if self.levels == 2 else f"whole pixel levels 0 to {self.levels - 1}"
            raise InputError(f"this circuit needs {needed}: found other values")

    def posterior(self, x: Tensor) -> Categorical:
        """p(c | x) over the trees, exact, batch shape (B,)."""
        return Categorical(logits=self.joint(x), validate_args=False)


def row_blocks(rows: Tensor, observed: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
    """Blocks of at most `ROWS` images with their masks. rows: shape (B, D); observed: the same shape, or None."""
    parts = rows.split(ROWS)
    masks: Sequence[Tensor | None] = [None] * len(parts) if observed is None else observed.split(ROWS)
    return list(zip(parts, masks, strict=True))

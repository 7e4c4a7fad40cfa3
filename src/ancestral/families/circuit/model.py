"""Probabilistic circuit: exact answers to queries about any set of pixels."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, MixtureSameFamily
from torch.nn.functional import one_hot

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.serialization import registered
from ancestral.families.circuit.columns import column_mixture, conditional_mixtures
from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.maximum import most_probable, most_probable_pixels
from ancestral.families.circuit.messages import (
    Tree,
    draw_pixels,
    draw_states,
    leaf_means,
    leaf_probs,
    means_given_root,
    posteriors,
    upward,
)
from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.circuit.trees import ROWS, TreeMixture, row_blocks
from ancestral.families.conditional import classes_of
from ancestral.families.family import DataSpec
from ancestral.models.autoregressive import output_name
from ancestral.models.base import as_images
from ancestral.models.completion import filled, given_only
from ancestral.models.seen import without_unseen


@registered
class Circuit(TreeMixture):
    """Probabilistic circuit: a mixture of hidden Chow-Liu trees, with exact marginals, conditionals and completions.

    Arguments, formula and reference: `TreeMixture`.

    Example:
        >>> model = Circuit([1, 8, 8], states=5)
        >>> model.log_prob(torch.zeros(3, 1, 8, 8)).shape
        torch.Size([3])
    """

    completion: ClassVar[str] = "exact"
    maximisation: ClassVar[str] = "exact: jointly with the tree and its hidden states"
    inference: ClassVar[str] = "exact: p(tree, state of the root | x)"
    latent_kind: ClassVar[str] = "component"

    def log_prob_observed(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(observed pixels), the others summed out; exact, shape (B,), nats.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        return self.joint(given_only(self, x, observed), observed).logsumexp(1)

    def log_prob_seen(self, x: Tensor, seen: Tensor) -> Tensor:
        """As `log_prob_observed`, without checks of the values, for training."""
        return self.joint(without_unseen(x, seen, self), seen).logsumexp(1)

    def log_prob_missing(self, x: Tensor, observed: Tensor) -> Tensor:
        """log p(missing | observed) = log p(x) - log p(observed), exact, shape (B,), nats."""
        return self.log_prob(x) - self.log_prob_observed(x, observed)

    @torch.no_grad()
    def complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """Fill in missing pixels with exact draws from p(missing | observed): tree, states, then pixels.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`.
        """
        given = given_only(self, x, observed)
        chosen = Categorical(logits=self.joint(given, observed), validate_args=False).sample()
        drawn = torch.zeros_like(given).flatten(1)
        for c in chosen.unique().tolist():
            whole = self.tree(c)
            for rows in (chosen == c).nonzero()[:, 0].split(ROWS):
                tree, codes = self.evidence(c, whole, given[rows].flatten(1), observed[rows].flatten(1))
                states = draw_states(tree, codes, upward(tree, codes), len(rows))
                drawn[rows] = self._as_rows(c, self._draw_values(c, whole, states))
        return filled(x, observed, as_images(drawn, self.event_shape))

    @torch.no_grad()
    def most_probable(self, x: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The missing pixels of the most probable joint assignment of tree, hidden states and missing pixels.

        It maximises p(x, z, c), not p(x): the most probable image alone has no efficient exact algorithm.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Returns:   images, shape (B, *event_shape), and log p(x, z, c), shape (B,), nats, exact.
        Raises:    InputError: as `given_only`.
        """
        given, found = given_only(self, x, observed), []
        for c in range(self.components):
            tree, parts = self.tree(c), []
            for rows, seen in row_blocks(given.flatten(1), observed.flatten(1)):
                best = most_probable(*self.evidence(c, tree, rows, seen), self._peaks(c))
                parts.append((best.log_prob, self._as_rows(c, self._most_probable_values(c, tree, best.states))))
            log_probs, pixels = map(torch.cat, zip(*parts, strict=True))
            found.append((log_probs + self.log_component_probs[..., c], pixels))
        log_probs, images = map(torch.stack, zip(*found, strict=True))
        log_prob, chosen = log_probs.max(0)
        rows = images[chosen, torch.arange(len(x), device=x.device)]
        return filled(x, observed, as_images(rows, self.event_shape)), log_prob

    @torch.no_grad()
    def pixel_probs(self, x: Tensor, observed: Tensor) -> Tensor:
        """p(x_d = v | observed pixels) for every pixel and level, exact, shape (B, *event_shape, L).

        Observed pixels have probability 1 at their level. The pixels of one image are not independent.

        Args:      x, observed: shape (B, *event_shape), observed boolean.
        Raises:    InputError: as `given_only`. NotComputable: the columns are real numbers, see `column_mixture`.
        """
        if self.levels is None:
            raise NotComputable("real columns have no table of probabilities: use column_mixture")
        given, seen = given_only(self, x, observed).flatten(1), observed.flatten(1)
        found = torch.zeros(*given.shape, self.levels, dtype=self.dtype, device=given.device)
        for rows in torch.arange(len(given), device=given.device).split(ROWS):
            shares = self.joint(given[rows], seen[rows]).softmax(1)
            for c in range(self.components):
                some = rows[shares[:, c] > torch.finfo(shares.dtype).eps]  # others do not change the sum
                tree, codes = self.tree(c), self.leaf_codes(c, given[some], seen[some])
                states = posteriors(tree, codes, upward(tree, codes))
                pixels = (states @ leaf_probs(tree).mT).transpose(0, 1)  # (B, D, L)
                found[some[:, None], self.node_pixels[c]] += shares[some - rows[0], c, None, None] * pixels
        known = one_hot(given.long(), self.levels).to(found)
        return torch.where(seen[..., None], known, found).unflatten(1, self.event_shape)

    @torch.no_grad()
    def column_mixture(self, x: Tensor, observed: Tensor) -> MixtureSameFamily:
        """p(x_d | observed columns) of every column of points, exact: see `columns.column_mixture`."""
        return column_mixture(self, x, observed)

    @torch.no_grad()
    def conditionals(self, x: Tensor) -> Distribution:
        """p(x_d | x_<d) for every d in reading order, batch shape = shape of x; exact.

        The cost is that of D images for each image.
        """
        self.check(x)
        if self.levels is None:
            return conditional_mixtures(self, x)
        count, pixels = len(x), x[0].numel()
        before = torch.ones(pixels, pixels, dtype=torch.bool, device=x.device).tril(-1)
        each, probs = torch.arange(pixels, device=x.device), []
        for image in x:
            for some in each.split(ROWS):
                images = image.expand(len(some), *self.event_shape)
                found = self.pixel_probs(images, before[some].view(images.shape)).flatten(1, -2)
                probs.append(found[torch.arange(len(some), device=x.device), some])
        shaped = torch.cat(probs).view(count, *self.event_shape, self.levels)
        if self.levels == 2:
            return Bernoulli(logits=shaped[..., 1].log() - shaped[..., 0].log(), validate_args=False)
        return Categorical(probs=shaped, validate_args=False)

    @torch.no_grad()
    def state_posteriors(self, x: Tensor, component: int = 0) -> Tensor:
        """p(z_d | x, c) of the hidden state of every pixel in one tree, exact, shape (B, D, K)."""
        tree, codes = self.evidence(component, self.tree(component), x.flatten(1))
        states = posteriors(tree, codes, upward(tree, codes))
        return self.by_pixel(component, states).transpose(0, 1)

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """p(c, state of the root | x), shape (B, C K): entry c K + k is tree c with state k."""
        found = []
        for c in range(self.components):
            tree, codes = self.evidence(c, self.tree(c), x.flatten(1))
            up = upward(tree, codes, keep=False)
            found.append(up.top[0] * tree.root / up.value[:, None])
        return (torch.stack(found, 1) * self.posterior(x).probs[..., None]).flatten(1)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """E[x | p(tree, state of the root)] for probabilities z, shape (B, C K); returns (B, *event_shape)."""
        means = [
            self._as_rows(c, means_given_root(tree := self.tree(c), self._value_means(c, tree)))
            for c in range(self.components)
        ]
        return as_images(z.to(self.dtype) @ torch.cat(means), self.event_shape)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self._drawn(self._draw_trees(n), mean=False)

    @torch.no_grad()
    def sample_mean(self, n: int) -> Tensor:
        return self._drawn(self._draw_trees(n), mean=True)

    def _draw_trees(self, n: int) -> Tensor:
        probs = self.log_component_probs.exp()
        if not n:
            return self.node_pixels.new_empty(0)
        return torch.multinomial(probs, n, replacement=True) if probs.ndim == 1 else torch.multinomial(probs, 1)[:, 0]

    def _drawn(self, trees: Tensor, mean: bool) -> Tensor:
        """Samples, or the means of the pixels given sampled states, of the given trees, shape (n, *event_shape)."""
        drawn = torch.empty(len(trees), self.node_pixels.shape[1], dtype=self.dtype, device=self.node_pixels.device)
        for c in trees.unique().tolist():
            tree = self.tree(c)
            missing = torch.full((self.node_pixels.shape[1], 1), self.levels or 0, device=self.node_pixels.device)
            up = upward(tree, missing)
            for rows in (trees == c).nonzero()[:, 0].split(ROWS):
                states = draw_states(tree, missing, up, len(rows))
                pixels = self._value_means(c, tree).gather(1, states) if mean else self._draw_values(c, tree, states)
                drawn[rows] = self._as_rows(c, pixels)
        return as_images(drawn, self.event_shape)

    def _moments(self, component: int) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation of each real column and state by node, shape (D, K); None for levels."""
        if not isinstance(self.leaves, GaussianLeaves):
            return None
        return self.leaves.moments(component, self.node_pixels[component])

    def _value_means(self, component: int, tree: Tree) -> Tensor:
        """E[x | z] of each node, shape (D, K)."""
        moments = self._moments(component)
        return leaf_means(tree) if moments is None else moments[0]

    def _draw_values(self, component: int, tree: Tree, states: Tensor) -> Tensor:
        """Samples of the value of each node given its state, shape (D, B)."""
        moments = self._moments(component)
        if moments is None:
            return draw_pixels(tree, states)
        return torch.normal(*(part.gather(1, states) for part in moments))

    def _peaks(self, component: int) -> Tensor | None:
        if not isinstance(self.leaves, GaussianLeaves):
            return None
        return self.leaves.log_peak(component, self.node_pixels[component])

    def _most_probable_values(self, component: int, tree: Tree, states: Tensor) -> Tensor:
        """The most probable value of each node given its state, shape (D, B)."""
        moments = self._moments(component)
        return most_probable_pixels(tree, states) if moments is None else moments[0].gather(1, states)

    def _as_rows(self, component: int, nodes: Tensor) -> Tensor:
        """Values of nodes (D, B) as values of pixels (B, D), in the number format of the model."""
        rows = nodes.T.to(self.dtype)
        return torch.empty_like(rows).index_copy_(1, self.node_pixels[component], rows)


def build_circuit(settings: CircuitSettings, spec: DataSpec) -> Circuit:
    """The circuit that the settings describe.

    Raises:    InputError: the pixels are real numbers; an output that does not fit; classes for data without labels.
    """
    if spec.space == "unit":
        raise InputError("a circuit needs images with binary pixels or whole levels: use --pixels levels, for example")
    if spec.space == "points":
        states, leaves, levels = _of_points(settings)
    elif settings.output == "gaussian":
        raise InputError("--output gaussian is for the columns of a table; these data are images: choose another one")
    else:
        name, levels = output_name(settings.output, spec.levels, spec.space)
        states, leaves = (levels, "pixel") if settings.states == 1 else (settings.states, name)
    classes, _ = classes_of(settings, spec)
    components = settings.components * max(1, classes)
    return Circuit(list(spec.event_shape), states, components, leaves, levels, classes, start=settings.start)


def _of_points(settings: CircuitSettings) -> tuple[int, str, None]:
    """States and leaves for real columns.

    Raises:    InputError: an output for levels, or a single state, with which the columns would be independent.
    """
    if settings.output not in ("auto", "gaussian"):
        raise InputError(f"--output {settings.output} needs pixels with levels: for a table leave it out (gaussian)")
    if settings.states == 1:
        raise InputError("--states 1 is the tree over pixels with levels: for a table give at least 2 states")
    return settings.states, "gaussian", None

"""Expectation-maximisation for circuits: with running counts and small steps, or over whole epochs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ancestral.core.errors import TrainingDiverged
from ancestral.data.pixels import Batch
from ancestral.families.circuit.clusters import cluster_centres
from ancestral.families.circuit.gaussian_leaves import GaussianLeaves
from ancestral.families.circuit.initialise import component_of_clusters
from ancestral.families.circuit.messages import Counts, downward, upward
from ancestral.families.circuit.model import Circuit
from ancestral.families.circuit.settings import CircuitSettings
from ancestral.families.circuit.trees import ROWS, row_blocks
from ancestral.families.circuit.update import expected_counts, set_from_counts
from ancestral.families.family import StepContext
from ancestral.training.objectives import Terms
from ancestral.training.shards import WHOLE, Shards, Sums, add_to
from ancestral.training.steps import weighted_terms

LEAST_SHARE = 1e-6  # images with a smaller weight for a tree do not train it


class EMStep:
    """Expectation-maximisation for a mixture of trees.

        running, after each batch: S <- (1 - e_t) S + e_t mean_b s(x_b),   e_t = first (last / first)^(t / (T - 1))
        at the end of an epoch:    S <- sum_n s(x_n)

    s(x) are the expected counts of states, pairs of states and pixels, computed with the present parameters, and the
    parameters are the smoothed ratios of the counts (`set_from_counts`). Over whole epochs, the log-likelihood plus the
    log-density of the Dirichlet prior that the pseudo-counts correspond to does not decrease.

    A missing pixel adds to the counts of states, but not to those of its leaf. An image with weight w counts w times;
    the mean over a batch is then divided by the mean weight of all training images.

    An image trains the tree of its class or cluster, so the loss is -log p(x, c); or all trees, with the weights
    p(c | x), so the loss is -log p(x). Images with the label -1 do the latter.

    Args:      model: the circuit. settings: of the family. total_steps: T. images: N, number of training images, or
               the sum of their weights. centres: of the clusters of images, shape (trees, D), for trees of clusters;
               None otherwise. mean_weight: of the training images. shards: into which a batch is divided.
    Reference: Cappé and Moulines, 2009, arXiv 0712.4273, eq. 10 and 11; the geometric steps are a deviation.
    """

    def __init__(
        self,
        model: Circuit,
        settings: CircuitSettings,
        total_steps: int,
        images: float,
        centres: Tensor | None = None,
        mean_weight: float = 1.0,
        shards: Shards = WHOLE,
    ) -> None:
        self.mean_weight, self.shards = mean_weight, shards
        self.model, self.settings, self.total_steps, self.images = model, settings, total_steps, images
        self.centres, self.running = centres, settings.running
        # sums over an epoch need more digits than running means
        like = model.transitions.detach() if self.running else model.transitions.detach().double()
        pixels, trees = model.node_pixels.shape[1], model.components
        self.counts = Counts(
            torch.zeros_like(model.roots, dtype=like.dtype),
            torch.zeros_like(like),
            like.new_zeros(trees, pixels, model.leaf_statistics, model.states),
        )
        self.shares = like.new_zeros(trees)
        self.begun = torch.zeros((), dtype=torch.bool)

    uses_weights = True
    divides = True

    @torch.no_grad()
    def __call__(self, batch: Batch, step: int) -> Terms:
        if self.running and not self.begun:
            self._begin()
        rate = self._rate(step) if self.running else 1.0
        scale = rate / (len(batch.x) * self.mean_weight) if self.running else 1.0
        self._decay(1 - rate if self.running else 1.0)
        terms, sums = self.shards.sum(batch, step, lambda part: self._contribution(part.batch, scale, step))
        add_to((*self.counts, self.shares), sums)
        if self.running:
            self._update(1 / self.images)
        return terms

    def _contribution(self, batch: Batch, scale: float, step: int) -> tuple[Terms, Sums]:
        """The terms of some images, and their counts times `scale`. A whole batch is added to the totals at once."""
        if self.shards.count == 1:
            return self._add(batch, scale, step, self.counts, self.shares), [None] * (len(self.counts) + 1)
        counts, shares = Counts(*map(torch.zeros_like, self.counts)), torch.zeros_like(self.shares)
        return self._add(batch, scale, step, counts, shares), [*counts, shares]

    def _add(self, batch: Batch, scale: float, step: int, counts: Counts, total: Tensor) -> Terms:
        """Add the counts of images and the weights of the trees to `counts` and `total`; returns the terms."""
        x, seen = batch.x.flatten(1), None if batch.seen is None else batch.seen.flatten(1)
        x = x if seen is None else x.where(seen, 0)
        trees, log_prob = self.model.components, torch.zeros(len(x), dtype=self.model.dtype, device=x.device)
        shares, soft = self._shares(batch), self._soft(batch)
        if bool(soft.any()):
            joint = self.model.joint(x[soft], None if seen is None else seen[soft])
            shares[soft], log_prob[soft] = joint.softmax(1), joint.logsumexp(1)
        weights = shares if batch.weights is None else shares * batch.weights[:, None].to(shares)
        total += scale * weights.sum(0)
        for c in range(trees):
            rows = (shares[:, c] > LEAST_SHARE).nonzero()[:, 0]
            hidden = None if seen is None else seen[rows]
            own = self._count(counts, c, x[rows], hidden, scale * weights[rows, c])
            single = ~soft[rows]
            log_prob[rows[single]] = own[single] + self.model.log_component_probs[c]
        if not torch.isfinite(log_prob).all():
            raise TrainingDiverged(f"the log-likelihood is not finite at step {step + 1}")
        return weighted_terms({"loss": -log_prob}, batch, self.mean_weight)

    @torch.no_grad()
    def end_epoch(self) -> None:
        if not self.running:
            self._update(1.0)
            self._decay(0.0)

    def _soft(self, batch: Batch) -> Tensor:
        """Whether each image trains several trees, boolean, shape (B,): with the posterior, or without a class."""
        classes, several = self.model.classes, self.model.components > 1
        if classes and batch.labels is not None:
            return batch.labels < 0
        always = several and (classes > 0 or self.settings.assignment == "posterior")
        return torch.full((len(batch.x),), always, device=batch.x.device)

    def _shares(self, batch: Batch) -> Tensor:
        """The weight of each image for each tree, shape (B, C): 1 for the tree of its class or cluster."""
        trees, within = self.model.components, self.settings.components
        chosen = torch.zeros(len(batch.x), dtype=torch.long, device=batch.x.device)
        if self.centres is not None:
            chosen = component_of_clusters(self.model, batch.x, self.centres, batch.seen)
        if self.model.classes and batch.labels is not None:
            chosen = chosen + within * batch.labels.clamp_min(0)
        return one_hot(chosen, trees).to(self.model.dtype)

    def _rate(self, step: int) -> float:
        """The weight of a batch in the running counts."""
        first, last = self.settings.first_step, self.settings.last_step
        return first * (last / first) ** (step / max(1, self.total_steps - 1))

    def _begin(self) -> None:
        """Set the running counts to those that the present parameters expect."""
        probs = self.model.log_component_probs.exp()
        for c in range(self.model.components):
            for total, part in zip(self.counts, expected_counts(self.model, c), strict=True):
                total[c] = probs[c] * part
        self.shares.copy_(probs)
        self.begun.fill_(True)

    def _decay(self, factor: float) -> None:
        for total in (*self.counts, self.shares):
            total.mul_(factor)

    def _count(self, into: Counts, component: int, x: Tensor, seen: Tensor | None, weights: Tensor) -> Tensor:
        """Add the expected counts of images to those of a tree; returns log p(x | c), shape (B,)."""
        found, whole = [weights[:0]], self.model.tree(component)
        for (part, mask), some in zip(row_blocks(x, seen), weights.split(ROWS), strict=True):
            tree, codes = self.model.evidence(component, whole, part, mask)
            up = upward(tree, codes)
            counts = downward(tree, codes, up, some)
            into.root[component] += counts.root
            into.transitions[component] += counts.transitions
            into.leaves[component] += self._leaf_sums(component, counts.leaves[:, :-1], part, mask)
            found.append(up.log_prob)
        return torch.cat(found)

    def _leaf_sums(self, component: int, posteriors: Tensor, x: Tensor, seen: Tensor | None) -> Tensor:
        """The statistics of the leaves: counts of levels and states, or sums of 1, x and x^2 for each state."""
        model, leaves = self.model, self.model.leaves
        if not isinstance(leaves, GaussianLeaves):
            return posteriors
        return leaves.sums(posteriors, model.node_pixels[component], model.nodes(component, x, seen))

    def _update(self, one: float) -> None:
        """Set all parameters. one: an image in the unit of the counts."""
        smoothing = one * self.settings.smoothing
        for c in range(self.model.components):
            set_from_counts(self.model, c, Counts(*(part[c] for part in self.counts)), smoothing)
        if self.model.components > 1:
            self.model.weights.copy_((self.shares + smoothing / self.model.components).log())

    def state(self) -> dict[str, Tensor]:
        return {**self.counts._asdict(), "shares": self.shares, "begun": self.begun}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        for name, total in self.state().items():
            total.copy_(tensors[name])


def step_for(context: StepContext) -> EMStep | None:
    """The EM step if the settings name it, else None (the gradient step)."""
    settings, model = context.settings, context.model
    if settings.method == "gradient":
        return None
    assert isinstance(model, Circuit)
    clustered = settings.components > 1 and (settings.conditional or settings.assignment == "cluster")
    centres = cluster_centres(context.train, settings.components) if clustered else None
    train = context.train
    shards = context.shards or WHOLE
    return EMStep(model, settings, context.total_steps, train.total_weight, centres, train.mean_weight, shards)

"""Expectation-maximisation for the mixture of Bernoullis, with missing pixels and weights of images."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.core.errors import TrainingDiverged
from ancestral.core.maths import log_sum_and_shares
from ancestral.data.pixels import Batch
from ancestral.families.conditional import joint_of_labels
from ancestral.families.family import StepContext
from ancestral.families.mixture.model import MixtureOfBernoullis, Table
from ancestral.training.objectives import Terms
from ancestral.training.shards import WHOLE, Shards, Sums, add_to
from ancestral.training.steps import weighted_terms

STEPS = 16
"""Steps whose sums are added in single precision: of 2,048 images of weight 1 with the usual batch size."""
RECENT = ("recent_counts", "recent_sums", "recent_hidden", "recent_steps")


class EMStep:
    """Expectation-maximisation for the mixture: batches add to the counts; the end of an epoch sets the parameters.

        n_k = sum_n w_n r_nk,   n_kd = sum_n w_n r_nk s_nd
        p_kd = (sum_n w_n r_nk s_nd x_nd + a) / (n_kd + 2 a),   p(Z = k) = (n_k + a) / (sum_n w_n + K a)

    r_nk = p(Z = k | seen pixels of x_n). w_n is the weight of an image, 1 by default. s_nd is 0 for a missing pixel,
    else 1. So a missing pixel adds nothing to the counts of its pixel, which is exact.

    a > 0 corresponds to a Beta(1 + a, 1 + a) prior on each p_kd, so no probability becomes 0. The log-likelihood plus
    the log-density of this prior does not decrease from one epoch to the next.

    With classes, r_nk is 0 for the components of other classes than the label's; for the label -1, it sums over all.
    Images without a label are left out of the first epoch, because random components belong to no class yet.

    Args:      smoothing: a, in pseudo-counts. mean_weight: of the training images, for the loss.
               shards: into which a batch is divided.
    Reference: Dempster et al., 1977; Bishop, 2006, eqs. 9.56 to 9.60.
    """

    uses_weights = True
    divides = True

    def __init__(
        self, model: MixtureOfBernoullis, smoothing: float, mean_weight: float = 1.0, shards: Shards = WHOLE
    ) -> None:
        self.shards = shards
        self.model, self.smoothing, self.mean_weight = model, smoothing, mean_weight
        self.counts = torch.zeros(len(model.b), dtype=torch.float64, device=model.b.device)
        self.sums = torch.zeros(model.w.shape, dtype=torch.float64, device=model.b.device)
        self.hidden = torch.zeros_like(self.sums)  # n_k - n_kd: 0 unless pixels are missing
        # the sums of the latest steps, in the precision of the model: an addition to double precision takes longer
        self.recent = self._zeros()
        self.recent_steps = torch.zeros((), dtype=torch.long)
        self.begun = torch.zeros((), dtype=torch.bool)
        self._table: Table | None = None  # the parameters change at the end of an epoch only

    @torch.no_grad()
    def __call__(self, batch: Batch, step: int) -> Terms:
        self._table = self._table or self.model.table()
        # one shard adds to the recent sums in its products, which saves a pass over all parameters
        whole = self.shards.count == 1
        terms, sums = self.shards.sum(
            batch, step, lambda part: self._contribution(part.batch, step, self.recent if whole else self._zeros())
        )
        if not whole:
            add_to(self.recent, sums)
        self.recent_steps += 1
        if self.recent_steps == STEPS:
            self._add_recent()
        return terms

    def _add_recent(self) -> None:
        """Add the sums of the latest steps to the totals in double precision."""
        totals = (self.counts, self.sums, self.hidden)
        add_to(totals, self.recent)
        for recent in (*self.recent, self.recent_steps):
            recent.zero_()

    def _zeros(self) -> list[Tensor]:
        """Empty sums of n_k, of n_kd x_nd and of missing pixels, in the precision of the model."""
        return [torch.zeros_like(weight, requires_grad=False) for weight in (self.model.b, self.model.w, self.model.w)]

    def _contribution(self, batch: Batch, step: int, sums: list[Tensor]) -> tuple[Terms, Sums]:
        """The terms of some images, and `sums` with their part of the counts added; None for missing pixels of none."""
        x, seen = batch.x.flatten(1), None if batch.seen is None else batch.seen.flatten(1)
        if seen is not None:
            x = x.where(seen, 0)
        joint = joint_of_labels(self.model.joint(x, seen, self._table), batch.labels, self.model.classes)
        log_prob, responsibilities = log_sum_and_shares(joint)
        if not torch.isfinite(log_prob).all():
            raise TrainingDiverged(f"the log-likelihood is not finite at step {step + 1}")
        if batch.weights is not None:
            responsibilities = responsibilities * batch.weights[:, None].to(responsibilities)
        if self.model.classes and batch.labels is not None and not self.begun:
            responsibilities = responsibilities * (batch.labels >= 0)[:, None]
        counts, on, hidden = sums
        counts += responsibilities.sum(0)
        on.addmm_(responsibilities.T, x)
        if seen is not None:
            hidden.addmm_(responsibilities.T, (~seen).to(responsibilities))
        terms = weighted_terms({"loss": -log_prob}, batch, self.mean_weight)
        return terms, [counts, on, None if seen is None else hidden]

    def end_epoch(self) -> None:
        self._add_recent()
        a = self.smoothing
        pixels = (self.sums + a) / (self.counts[:, None] - self.hidden + 2 * a)
        components = (self.counts + a) / (self.counts + a).sum()
        self.model.set_probabilities(components, pixels)
        self._table = None
        for total in (self.counts, self.sums, self.hidden):
            total.zero_()
        self.begun.fill_(True)

    def state(self) -> dict[str, Tensor]:
        begun = {"begun": self.begun} if self.model.classes else {}  # runs of early versions do not have it
        recent = dict(zip(RECENT, (*self.recent, self.recent_steps), strict=True))
        return {"counts": self.counts, "sums": self.sums, "hidden": self.hidden, **recent, **begun}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self._table = None
        self.counts.copy_(tensors["counts"])
        self.sums.copy_(tensors["sums"])
        self.hidden.copy_(tensors.get("hidden", torch.zeros(())))  # earlier versions had no missing pixels
        for name, recent in zip(RECENT, (*self.recent, self.recent_steps), strict=True):
            recent.copy_(tensors.get(name, torch.zeros(())))  # earlier versions added each step to the totals
        if self.model.classes:
            self.begun.copy_(tensors["begun"])


def step_for(context: StepContext) -> EMStep | None:
    """The EM step if the settings name it, else None (the gradient step)."""
    if context.settings.method != "em":
        return None
    assert isinstance(context.model, MixtureOfBernoullis)
    return EMStep(context.model, context.settings.smoothing, context.train.mean_weight, context.shards or WHOLE)

"""Expectation-maximisation for the mixture of Bernoullis."""

from __future__ import annotations

import torch
from torch import Tensor

from ancestral.core.errors import TrainingDiverged
from ancestral.data.pixels import Batch
from ancestral.families.conditional import joint_of_labels
from ancestral.families.family import StepContext
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.training.objectives import Terms


class EMStep:
    """Expectation-maximisation for the mixture: batches add to the counts; the end of an epoch sets the parameters.

        n_k = sum_n r_nk,   p_kd = (sum_n r_nk x_nd + a) / (n_k + 2 a),   p(Z = k) = (n_k + a) / (N + K a)

    a > 0 corresponds to a Beta(1 + a, 1 + a) prior on each p_kd, so no probability becomes 0. The log-likelihood plus
    the log-density of this prior does not decrease from one epoch to the next.

    With classes, r_nk is 0 for the components of other classes than the label's; for the label -1, it sums over all.
    Images without a label are left out of the first epoch, because random components belong to no class yet.

    Args:      smoothing: a, in pseudo-counts.
    Reference: Dempster et al., 1977; Bishop, 2006, eqs. 9.56 to 9.60.
    """

    def __init__(self, model: MixtureOfBernoullis, smoothing: float) -> None:
        self.model, self.smoothing = model, smoothing
        self.counts = torch.zeros(len(model.b), dtype=torch.float64, device=model.b.device)
        self.sums = torch.zeros(model.w.shape, dtype=torch.float64, device=model.b.device)
        self.begun = torch.zeros((), dtype=torch.bool)

    @torch.no_grad()
    def __call__(self, batch: Batch, step: int) -> Terms:
        joint = joint_of_labels(self.model.joint(batch.x), batch.labels, self.model.classes)
        log_prob = joint.logsumexp(1)
        if not torch.isfinite(log_prob).all():
            raise TrainingDiverged(f"the log-likelihood is not finite at step {step + 1}")
        responsibilities = (joint - log_prob[:, None]).exp()
        if self.model.classes and batch.labels is not None and not self.begun:
            responsibilities = responsibilities * (batch.labels >= 0)[:, None]
        self.counts += responsibilities.sum(0)
        self.sums += responsibilities.T @ batch.x.flatten(1)
        return {"loss": -log_prob}

    def end_epoch(self) -> None:
        a = self.smoothing
        pixels = (self.sums + a) / (self.counts + 2 * a)[:, None]
        components = (self.counts + a) / (self.counts + a).sum()
        self.model.set_probabilities(components, pixels)
        self.counts.zero_()
        self.sums.zero_()
        self.begun.fill_(True)

    def state(self) -> dict[str, Tensor]:
        begun = {"begun": self.begun} if self.model.classes else {}  # runs of early versions do not have it
        return {"counts": self.counts, "sums": self.sums, **begun}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        self.counts.copy_(tensors["counts"])
        self.sums.copy_(tensors["sums"])
        if self.model.classes:
            self.begun.copy_(tensors["begun"])


def step_for(context: StepContext) -> EMStep | None:
    """The EM step if the settings name it, else None (the gradient step)."""
    if context.settings.method != "em":
        return None
    assert isinstance(context.model, MixtureOfBernoullis)
    return EMStep(context.model, context.settings.smoothing)

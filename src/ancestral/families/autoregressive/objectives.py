"""The objective of a MADE with several orderings."""

from __future__ import annotations

import torch

from ancestral.data.pixels import Batch
from ancestral.families.autoregressive.made import MADE
from ancestral.families.autoregressive.settings import MADESettings
from ancestral.models.autoregressive import AutoregressiveModel
from ancestral.training.objectives import Objective, Terms


def order_agnostic(model: MADE, batch: Batch) -> Terms:
    """-log p_j(x) in one ordering j of the model, which is drawn at random for each batch.

    Its mean over j is an upper bound on -log p(x) of the model, where p averages the probabilities of all orderings.

    Reference: Uria et al., 2014, eq. 8, arXiv 1310.1757; Germain et al., 2015, section 4.3, arXiv 1502.03509.
    """
    ordering = torch.randint(len(model.positions), (1,), device=batch.x.device)
    return {"loss": -model.log_prob_under(batch.x, ordering)}


def objective_for(settings: MADESettings, model: AutoregressiveModel) -> Objective | None:
    """`order_agnostic` if the model has several orderings, else None (the log-likelihood)."""
    return order_agnostic if len(model.orders) > 1 else None

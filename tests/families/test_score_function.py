"""One step of the score function by hand: what the encoder, the decoder and the baseline are each moved by."""

from __future__ import annotations

import torch
from test_estimators import X, machine

from ancestral.data.pixels import Batch
from ancestral.families.belief_net.objectives import ScoreFunction, importance_sample_fixed


def test_each_part_has_its_own_gradient_after_a_first_batch() -> None:
    """The encoder by (log w - c) / s - B with c and s of the first batch, the baseline by least squares, p by log p."""
    model = machine(2)
    objective = ScoreFunction(model, hidden=4)
    with torch.no_grad():
        for parameter in objective.baseline.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    objective(model, Batch(X.repeat(10, 1, 1, 1)))  # which only measures
    centre, scale = objective.mean.clone(), objective.variance.sqrt().clamp_min(1)
    x = X[:2]
    torch.manual_seed(2)
    loss = objective(model, Batch(x))["loss"]
    torch.manual_seed(2)
    _, log_joint, log_q = (part[0] for part in importance_sample_fixed(model, x, 1))
    error = ((log_joint - log_q).detach() - centre) / scale - objective.baseline(x)[:, 0]
    recognition = list(model.recognition.parameters())
    generative = [model.prior_logits, *model.likelihood.parameters()]
    for parameters, expected in (
        (recognition, -error.detach() * log_q),
        (generative, -log_joint),
        (list(objective.baseline.parameters()), 0.5 * error.square()),
    ):
        found, wanted = (torch.autograd.grad(value.mean(), parameters, retain_graph=True) for value in (loss, expected))
        assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))
        assert any(bool(b.abs().max() > 1e-6) for b in wanted)

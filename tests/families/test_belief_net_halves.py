"""A belief net whose state is split in two: all that is computed from the halves is that of the whole state."""

from __future__ import annotations

import pytest
import torch
import zoo

from ancestral.evaluation.enumeration import all_images
from ancestral.families.belief_net import exact
from ancestral.families.belief_net.exact import SigmoidBeliefNet


def test_halves_of_a_state_are_joined_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK", 1)
    torch.manual_seed(0)
    model = zoo.perturbed(SigmoidBeliefNet([1, 2, 3], latents=5, weight_scale=1.0).double(), 0.5)
    assert (model.u_states.shape[1], model.v_states.shape[1]) == (3, 2)
    model.u_states, model.v_states = model.u_states.double(), model.v_states.double()
    x, z = all_images(model)[::5], model.states
    pixels = torch.distributions.Bernoulli(logits=z @ model.w + model.c)
    prior = torch.distributions.Bernoulli(logits=model.b).log_prob(z).sum(1)
    joint = prior + pixels.log_prob(x.flatten(1)[:, None]).sum(2)  # (images, states)
    assert torch.allclose(model.eval().log_prob(x), joint.logsumexp(1))
    assert torch.allclose(model.posterior(x).probs, joint.softmax(1))
    assert torch.allclose(model.encode(x), joint.softmax(1) @ z)

"""The layers of a flow of points leave no coordinate untransformed."""

from __future__ import annotations

import pytest
import torch
import zoo

from ancestral.families.flow.points import vector_bijection
from ancestral.families.flow.settings import FlowSettings


@pytest.mark.parametrize("layers", ["affine", "spline", "maf"])
@pytest.mark.parametrize(("mixing", "depth"), [("alternate", 2), ("linear", 2), ("permute", 6)])
def test_layers_transform_every_coordinate(layers: str, mixing: str, depth: int) -> None:
    """No coordinate of z is a copy of a coordinate of x. (Two random orders may undo that the parts take turns.)"""
    settings = FlowSettings(layers=layers, mixing=mixing, depth=depth, hidden=(8,), actnorm=False)  # type: ignore[arg-type]
    torch.manual_seed(0)
    flow = zoo.perturbed(vector_bijection(settings, 2), 0.3)
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(1)).to(next(flow.parameters()).dtype)
    z = flow(x)[0]
    assert ((z[:, :, None] - x[:, None, :]).abs().amax(0) > 1e-3).all()

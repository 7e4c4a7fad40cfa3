"""Anomalies made from images: each image has its own random numbers."""

from __future__ import annotations

import torch

from ancestral.data.anomalies import shuffled
from ancestral.data.splits import Split


def test_each_shuffled_image_has_an_order_of_its_own() -> None:
    places = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6).expand(200, 2, 6, 6).clone()
    mixed = shuffled(Split(places, None), 256)
    assert torch.equal(mixed[:, 0], mixed[:, 1])  # the channels of a pixel stay together
    orders = mixed[:, 0].flatten(1).double()
    assert len(orders.unique(dim=0)) == 200
    # the mean of 200 even draws from 0, ..., 35 has the standard deviation 10.4 / sqrt(200) = 0.73 around 17.5
    assert (orders.mean(0) - 17.5).abs().max() < 5 * 0.73

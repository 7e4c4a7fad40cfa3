"""Networks work for any image size and number of channels, and can have the layers of the courseworks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ancestral.networks.conv import ConvDecoder, ConvEncoder
from ancestral.networks.mlp import MLP

COURSEWORKS = {
    "uva2020": ((32, 32, 64, 64, 64), (2, 1, 2, 1, 2), (64, 64, 64, 32, 32), (2, 1, 2, 1, 2)),
    "csds600": ((32, 64, 128, 256), (1, 2, 2, 2), (128, 128, 64, 32), (2, 2, 2, 1)),
}


@pytest.mark.parametrize("name", COURSEWORKS)
@pytest.mark.parametrize("event_shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 13, 21), (1, 1, 5)])
def test_image_to_code_and_back_keeps_any_size(name: str, event_shape: tuple[int, int, int]) -> None:
    channels, strides, back_channels, back_strides = COURSEWORKS[name]
    encoder = ConvEncoder(event_shape, channels, strides, [7])
    decoder = ConvDecoder([7], back_channels, back_strides, event_shape)
    x = torch.randn(2, 3, *event_shape)  # leading axes are free, as importance sampling needs
    assert encoder(x).shape == (2, 3, 7)
    assert decoder(encoder(x)).shape == x.shape


def test_csds600_has_the_layers_it_names() -> None:
    channels, strides, back_channels, back_strides = COURSEWORKS["csds600"]
    encoder = ConvEncoder((1, 32, 32), channels, strides, [32])
    decoder = ConvDecoder([16], back_channels, back_strides, (1, 32, 32))
    assert (encoder.project.in_features, encoder.project.out_features) == (4096, 32)
    assert (decoder.project.in_features, decoder.project.out_features) == (16, 2048)
    up = [layer for layer in decoder.convolutions if isinstance(layer, nn.ConvTranspose2d)]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in up] == [
        (128, 128, (4, 4)), (128, 64, (4, 4)), (64, 32, (4, 4)),
    ]  # fmt: skip
    last = decoder.convolutions[-1]
    assert isinstance(last, nn.Conv2d) and (last.in_channels, last.out_channels, last.kernel_size) == (32, 1, (3, 3))


def test_glorot_weights_lie_in_their_range() -> None:
    network = MLP([784], [200], [10], glorot=True)
    first = network.layers[0]
    assert isinstance(first, nn.Linear)
    limit = (6 / (784 + 200)) ** 0.5
    assert 0.98 * limit < first.weight.abs().max() <= limit
    assert not first.bias.any()


def test_an_mlp_without_hidden_layers_is_linear() -> None:
    network = MLP([1, 2, 2], [], [3]).double()
    x, y = torch.randn(2, 5, 1, 2, 2, dtype=torch.float64)
    assert torch.allclose(network(x + y), network(x) + network(y) - network(torch.zeros_like(x)))

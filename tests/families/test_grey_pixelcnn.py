"""A PixelCNN for many grey levels: the flag for level 0, marked levels, positions, and its start."""

from __future__ import annotations

import pytest
import torch
from helpers import refused
from torch import Tensor

from ancestral.data.pixels import PixelBatches, PixelSpace
from ancestral.data.splits import Split
from ancestral.distributions.outputs import ZeroFlagOutput
from ancestral.families.autoregressive.pixelcnn import PixelCNN, begin_at_frequencies, build_pixelcnn
from ancestral.families.autoregressive.settings import PixelCNNSettings
from ancestral.families.family import DataSpec


def values(levels: int) -> tuple[Tensor, Tensor]:
    """Parameters of 30 pixels, and all levels as values, shapes (30, L) and (L, 1)."""
    torch.manual_seed(0)
    return 2 * torch.randn(30, levels, dtype=torch.double), torch.arange(levels, dtype=torch.double)[:, None]


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_the_flag_and_the_levels_are_a_distribution(levels: int) -> None:
    parameters, every = values(levels)
    distribution = ZeroFlagOutput(levels).distribution(parameters)
    log_prob = distribution.log_prob(every)  # (L, 30)
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(30, dtype=torch.double))
    torch.testing.assert_close(log_prob.T, distribution.logits)
    torch.testing.assert_close(log_prob[0], (1 - parameters[:, 0].sigmoid()).log())


def test_the_gradient_is_that_of_all_pixels() -> None:
    """The softmax is computed for pixels above 0 only; the gradient must be the same as with all of them."""
    parameters, _ = values(5)
    x = torch.tensor([0.0, 3.0, 0.0, 1.0, 4.0] * 6, dtype=torch.double)
    ours, all_levels = (parameters.clone().requires_grad_() for _ in range(2))
    ZeroFlagOutput(5).log_prob(ours, x).sum().backward()
    logits = ZeroFlagOutput(5).distribution(all_levels).logits
    logits.gather(1, x.long()[:, None]).sum().backward()
    torch.testing.assert_close(ours.grad, all_levels.grad)


def test_half_precision_parameters_are_scored_in_single_precision() -> None:
    parameters, every = values(6)
    assert ZeroFlagOutput(6).log_prob(parameters.bfloat16(), every).dtype == torch.float32


def grey_images() -> PixelBatches:
    """Images with many pixels of 0, 200 and 7, and few others."""
    levels = torch.tensor([0] * 60 + [200] * 25 + [7] * 12 + [30, 31, 32], dtype=torch.uint8)
    images = levels.repeat(4)[torch.randperm(400, generator=torch.Generator().manual_seed(0))].view(4, 1, 10, 10)
    return PixelBatches(Split(images, None), PixelSpace("levels", 256))


def test_the_start_is_the_frequency_of_each_level() -> None:
    model = PixelCNN([1, 10, 10], "zero-flag", 256, channels=8, hidden=4, blocks=1, first_kernel=3, frequent=3)
    for parameter in [model.head.out.weight]:
        torch.nn.init.zeros_(parameter)
    begin_at_frequencies(model, grey_images())
    assert model.marked.tolist() == [0, 7, 200]
    probs = model.conditionals(torch.zeros(1, 1, 10, 10)).logits[0, 0, 5, 5].exp()  # type: ignore[attr-defined]
    for level, count in ((0, 240), (200, 100), (7, 48), (30, 4), (100, 0)):
        assert probs[level].item() == pytest.approx((count + 1) / (400 + 256), rel=1e-4)


def test_marked_levels_are_inputs_of_their_own() -> None:
    model = PixelCNN([3, 4, 4], "logistic", 256, channels=8, hidden=4, blocks=1, first_kernel=3, frequent=2)
    model.marked.copy_(torch.tensor([0, 255]))
    x = torch.tensor([0.0, 255.0, 9.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    seen = model.seen(x)
    assert seen.shape == (1, 9, 4, 4)
    assert seen[0, 3:, 0, 0].tolist() == [1, 0, 0, 0, 1, 0]


def test_other_outputs_start_as_before() -> None:
    """The weights of a model without the new settings do not change."""
    torch.manual_seed(0)
    model = PixelCNN([1, 10, 10], "categorical", 256, channels=8, hidden=4, blocks=1, first_kernel=3)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begin_at_frequencies(model, grey_images())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_more_marked_levels_than_levels_are_refused() -> None:
    spec = DataSpec((1, 8, 8), 17, "levels")
    refused(lambda: build_pixelcnn(PixelCNNSettings(frequent=18), spec), "--frequent 18", "17 levels")

"""Principal components of pixels against a singular value decomposition, and their laws."""

from __future__ import annotations

import pytest
import torch
from helpers import refused
from torch import Tensor

from ancestral.data.datasets import load_dataset
from ancestral.data.splits import Split
from ancestral.evaluation import pixel_features
from ancestral.evaluation.neighbours import density_coverage, precision_recall
from ancestral.evaluation.pixel_features import PixelFeatures, fit_pixels, rows_of
from ancestral.evaluation.quality import frechet_distance

DIGITS = load_dataset("digits", valid_size=0)
GREY = DIGITS.train.images.float() / 16


def fitted(images: Tensor, levels: int = 17) -> PixelFeatures:
    return fit_pixels(Split(images, None), levels, "own")


def by_svd(images: Tensor, levels: int, count: int) -> Tensor:
    """Scores of the images on their first principal components, with mean variance one."""
    x = images.flatten(1).double() / (levels - 1)
    u, s, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    scores = (u * s)[:, :count]
    return scores / scores.var(0).mean().sqrt()


@pytest.mark.parametrize("most", [2048, 60])  # pixels of an image beyond which the images decide
def test_features_are_the_first_principal_components(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_features, "LARGEST_SIDE", most)
    images = DIGITS.train.images[:50]
    found = fitted(images)
    features = found(images.float() / 16).features
    assert found.num_features == 49 and features.shape == (50, 49)  # one less than there are images
    expected = by_svd(images, 17, 49)
    signs = (features * expected).sum(0).sign()
    assert torch.allclose(features * signs, expected, atol=1e-6)
    assert features.mean(0).abs().max() < 1e-9 and features.var(0).mean() == pytest.approx(1)


@pytest.mark.parametrize("block", [7, 64])
def test_blocks_do_not_change_the_features(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fitted(DIGITS.train.images[:100])
    monkeypatch.setattr(pixel_features, "BLOCK", block)
    parts = fitted(DIGITS.train.images[:100])
    assert parts.sha256 == whole.sha256
    assert torch.allclose(parts(GREY[:20]).features, whole(GREY[:20]).features, atol=1e-9)


def test_there_are_up_to_64_features() -> None:
    assert fitted(DIGITS.train.images).num_features == 61  # three of the 64 pixels are black in all images
    wide = torch.randint(0, 256, (200, 3, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found = fitted(wide, 256)
    assert found.num_features == 64 and found.name == "64 principal components of the pixels of own's training images"
    assert fitted(wide[:, :1, :2, :2], 256).num_features == 4


def test_many_levels_are_whole_numbers_too() -> None:
    wide = torch.randint(0, 60_000, (80, 1, 4, 4), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    found = fitted(wide, 60_000)
    features, expected = found(wide.float() / 59_999).features, by_svd(wide, 60_000, 16)
    assert torch.allclose(features.abs(), expected.abs(), atol=1e-3)


def test_the_order_of_training_images_has_no_effect() -> None:
    order = torch.randperm(len(GREY), generator=torch.Generator().manual_seed(0))
    first, second = fitted(DIGITS.train.images), fitted(DIGITS.train.images[order])
    assert first.sha256 == second.sha256
    assert torch.allclose(first(GREY).features[order], first(GREY[order]).features, atol=1e-12)
    assert frechet_distance(first(GREY).features, second(GREY[order]).features) < 1e-6


def test_the_hash_is_of_all_that_is_fitted() -> None:
    images = DIGITS.train.images[:200].clone()
    known = {fitted(images).sha256, fitted(images, 256).sha256, fitted(images[:199]).sha256}
    images[3, 0, 4, 4] += 1
    assert len(known | {fitted(images).sha256}) == 4


def test_only_chosen_rows_are_used() -> None:
    rows = torch.arange(0, 1000, 3)
    part = Split(DIGITS.train.images, None, chosen=rows)
    assert fit_pixels(part, 17, "own").sha256 == fitted(DIGITS.train.images[rows]).sha256
    assert torch.equal(rows_of(part, 50), rows_of(Split(DIGITS.train.images[rows], None), 50))
    assert len(rows_of(part, len(rows)).unique(dim=0)) == len(DIGITS.train.images[rows].unique(dim=0))


def test_two_halves_are_close_and_one_repeated_image_covers_nothing() -> None:
    order = torch.randperm(len(GREY), generator=torch.Generator().manual_seed(0))
    found = fitted(DIGITS.train.images[order[:800]])
    first, second = (found(GREY[order[rows]]).features for rows in (slice(800, 1050), slice(1050, 1300)))
    l = torch.cat([first, second]).var(0)
    bias = 2 / 250 * (1.25 * l.sum() + 0.5 * (l[:, None] * l / (l[:, None] + l)).sum()).item()
    assert 0.5 * bias < frechet_distance(first, second) < 1.5 * bias
    repeated = found(GREY[order[810]].expand(250, 1, 8, 8)).features
    precision, recall = precision_recall(first, repeated)
    assert precision == 1 and recall < 0.02
    assert density_coverage(first, repeated)[1] < 0.1
    assert frechet_distance(first, repeated) > 5 * frechet_distance(first, second)


def test_data_without_components_raise() -> None:
    refused(lambda: fitted(DIGITS.train.images[:1]), "need at least 2", "own")
    refused(lambda: fitted(DIGITS.train.images[:1].repeat(20, 1, 1, 1)), "equal")
    refused(lambda: fitted(DIGITS.train.images[:20])(torch.rand(3, 1, 8, 9)), "shape")
    refused(lambda: fitted(DIGITS.train.images[:20])(2 * torch.ones(3, 1, 8, 8)), "[0, 1]")

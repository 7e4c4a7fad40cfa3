"""Data with a known distribution: laws of the shipped model on a tiny instance, samples, files and refusals."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from scipy import stats

from ancestral.commands.main import main
from ancestral.core.errors import InputError
from ancestral.core.files import sha256_of
from ancestral.core.random import seeded_noise
from ancestral.data import sampled
from ancestral.data.datasets import dataset_status, load_dataset, verify_dataset
from ancestral.data.readers import read_idx
from ancestral.families.autoregressive.pixelcnn import PixelCNN
from ancestral.families.circuit.tiny import tiny_circuit
from ancestral.families.tiny import with_larger_weights
from ancestral.runs import synthetic
from ancestral.runs.fixed_samples import uniform_stream
from ancestral.runs.synthetic import sampled_part, ship, true_model
from ancestral.settings.data import SAMPLED_SETS

NAME = "synthetic-circuit"
IMAGES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=9)), dtype=torch.float64).view(-1, 1, 3, 3)


def philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Four numbers of 64 bits, after ten rounds of two products."""
    a, b, c, d = counter
    for turn in range(10):
        one = (key[0] + turn * 0x9E3779B97F4A7C15) % 2**64
        two = (key[1] + turn * 0xBB67AE8584CAA73B) % 2**64
        first, second = a * 0xD2E7470EE14C6C93, c * 0xCA5A826395121157
        a, b, c, d = (second >> 64) ^ b ^ one, second % 2**64, (first >> 64) ^ d ^ two, first % 2**64
    return a, b, c, d


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A tiny circuit with two classes, shipped and read by the same code as the data's model."""
    with seeded_noise(1):
        model = tiny_circuit(components=4, classes=2)
    monkeypatch.setattr(synthetic, "WEIGHTS", tmp_path)
    ship(model, NAME, tmp_path)
    return true_model(NAME)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The set with few images, in a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ANCESTRAL_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(synthetic, "SIZES", {NAME: synthetic.Sizes(120, 30)})
    return tmp_path / "cache" / "ancestral" / NAME


def test_the_shipped_distribution_sums_to_one(tiny):
    """Also after rounding to half precision: the rounded weights are the distribution."""
    assert tiny.dtype == torch.float64
    assert tiny.log_prob(IMAGES).exp().sum().item() == pytest.approx(1, abs=1e-12)
    joint = tiny.class_posterior(IMAGES).probs * tiny.log_prob(IMAGES).exp()[:, None]
    assert torch.allclose(joint.sum(0), tiny.log_component_probs.exp().view(2, -1).sum(1), atol=1e-12)


def test_images_and_labels_have_the_known_distribution(tiny):
    """Chi-square test of all 1024 pairs (image, label) with an expected count of at least 5; level 1e-3."""
    part = sampled_part(tiny, NAME, "train", 40_000)
    code = torch.from_numpy(part.images).flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    seen = torch.bincount(code * 2 + torch.from_numpy(part.labels), minlength=1024).double()
    expected = (40_000 * tiny.class_posterior(IMAGES).probs * tiny.log_prob(IMAGES).exp()[:, None]).flatten()
    often = expected >= 5
    rest = [values[~often].sum()[None] for values in (seen, expected)]
    seen, expected = torch.cat([seen[often], rest[0]]), torch.cat([expected[often], rest[1]])
    assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-3


def test_images_of_an_autoregressive_model_have_the_known_distribution():
    """As above, for a PixelCNN with two classes of unequal probability."""
    with seeded_noise(3):
        model = PixelCNN([1, 3, 3], channels=4, hidden=4, blocks=1, classes=2, proportions=[0.3, 0.7])
        model = with_larger_weights(model).double().eval()
    part = sampled_part(model, NAME, "train", 40_000)
    code = torch.from_numpy(part.images).flatten(1).long() @ (2 ** torch.arange(8, -1, -1))
    seen = torch.bincount(code * 2 + torch.from_numpy(part.labels), minlength=1024).double()
    with torch.no_grad():
        expected = 40_000 * model.log_joint_classes(IMAGES).exp().flatten()
    often = expected >= 5
    rest = [values[~often].sum()[None] for values in (seen, expected)]
    seen, expected = torch.cat([seen[often], rest[0]]), torch.cat([expected[often], rest[1]])
    assert stats.chisquare(seen.numpy(), expected.numpy()).pvalue > 1e-3


def test_the_parts_are_reproducible_and_differ(tiny):
    first, again, other = (sampled_part(tiny, NAME, split, 50) for split in ("train", "train", "test"))
    assert (first.images == again.images).all() and (first.labels == again.labels).all()
    assert not (first.images == other.images).all()


def test_the_stream_never_changes():
    """The first 53 bits of Philox-4x64-10, computed here from its definition (Salmon et al., 2011); in [0, 1)."""
    assert philox((0, 0, 0, 0), (0, 0))[0] == 0x16554D9ECA36314C  # the first number that its authors publish
    for key in (0, 7):
        expected = [number >> 11 for counter in (1, 2) for number in philox((counter, 0, 0, 0), (key, 0))]
        assert (uniform_stream(key)(8) * 2**53).tolist() == expected
    assert uniform_stream(7)(1000).max() < 1 and uniform_stream(7)(1000).mean() == pytest.approx(0.5, abs=0.04)


def test_samples_do_not_depend_on_other_random_numbers(tiny, monkeypatch):
    """Neither the state of any generator nor the way in which the model itself samples changes them."""
    before = sampled_part(tiny, NAME, "train", 50)
    monkeypatch.setattr(type(tiny), "sample", None)
    torch.rand(3)
    assert (sampled_part(tiny, NAME, "train", 50).images == before.images).all()


@pytest.mark.parametrize("name", [NAME, pytest.param("synthetic-pixelcnn", marks=pytest.mark.slow)])
def test_the_test_images_of_the_package_are_the_recorded_ones(name):
    part = sampled_part(true_model(name), name, "test", synthetic.SIZES[name].test)
    found = [sha256_of(sampled.idx_bytes(array)) for array in (part.images[:, 0], part.labels)]
    assert tuple(found) == sampled.RECORDED[name][2:]


def test_the_set_is_sampled_at_first_use_and_stored(small, caplog):
    assert dataset_status(NAME).state == "missing" and "it is sampled at first use" in dataset_status(NAME).detail
    with pytest.raises(InputError, match="--fetch samples it"):
        load_dataset(NAME, fetch=False)
    data = load_dataset(NAME, valid_size=20)
    assert (len(data.train), len(data.valid), len(data.test), data.levels) == (100, 20, 30, 2)
    assert data.event_shape == (1, 28, 28) and data.train.images.max() == 1
    assert read_idx(small / "train-images-idx3-ubyte.gz", 3).shape == (120, 28, 28)
    assert "differ from the recorded ones" in caplog.text  # because there are fewer images
    assert verify_dataset(NAME).state == "ready" and verify_dataset(NAME).verified is False
    with seeded_noise(9):
        assert torch.equal(load_dataset(NAME, valid_size=20).train.images, data.train.images)
    assert true_model(NAME).log_prob(data.test.images.double()).mean() > -130


def test_the_command_samples_the_set_and_a_run_names_it(small, tmp_path, capsys):
    assert main(["data", NAME, "--fetch"]) == 0
    assert "ready" in capsys.readouterr().out and small.is_dir()
    command = ["train", "mixture", "--data", NAME, "--train-size", "80", "--epochs", "1", "--components", "2"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert f'"data": "{NAME}"' in (tmp_path / "run" / "settings.json").read_text()


def test_reading_without_a_sampler_is_refused(small, monkeypatch):
    monkeypatch.setattr(sampled, "_SAMPLERS", [])
    with pytest.raises(InputError, match=f"{NAME}: not sampled yet; ancestral data {NAME} --fetch"):
        load_dataset(NAME)


def test_other_sets_and_damaged_weights_are_refused(tiny):
    with pytest.raises(InputError, match="the distribution of mnist is not known"):
        true_model("mnist")
    path = synthetic.WEIGHTS / NAME / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(InputError, match="was changed or is damaged"):
        true_model(NAME)


@pytest.mark.parametrize("name", SAMPLED_SETS)
def test_the_weights_are_small(name):
    folder = Path(synthetic.__file__).parents[1] / "weights" / name
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2**20

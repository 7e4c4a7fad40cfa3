"""Inference: codes of a GAN lead back to the image, files hold what they say, and the pictures of latents."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import zoo
from helpers import Captured, printed, refused, run
from small_runs import SmallRuns
from torch import Tensor, nn

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.random import seeded_noise
from ancestral.families.abilities import classes
from ancestral.families.gan.model import GAN
from ancestral.families.vae.vae import VAE
from ancestral.figures.codes import code_scatter
from ancestral.models.base import Infers, Model
from ancestral.models.completion import misfit_energy
from ancestral.reports.pictures.latents import by_class, principal_axes, traversed
from ancestral.runs.infer import infer_run
from ancestral.runs.run import Run

GANS = [name for name in zoo.ZOO if name.startswith("gan")]


@cache
def model_of(name: str) -> Model:
    return zoo.seeded(zoo.ZOO[name])


def misfit(model: GAN, x: Tensor, codes: Tensor) -> Tensor:
    return (model.decode(codes) - x).flatten(1).square().sum(1)


# ---- a GAN finds the codes of images


@pytest.mark.parametrize("name", GANS)
@torch.no_grad()
def test_the_search_finds_the_latents_of_a_sample_of_a_gan(name: str) -> None:
    """Approximate: what counts is how near the image of the code comes, beside that of as many random codes."""
    model = model_of(name)
    assert isinstance(model, GAN)
    with seeded_noise(1):
        x, random = model.sample(20), model.codes(20)
    found = misfit(model, x, model.encode(x))
    assert found.mean() < 0.02 * misfit(model, x, random).mean()
    assert (found < 0.1 * misfit(model, x, random).mean()).all()


@torch.no_grad()
def test_the_search_improves_on_its_starting_points() -> None:
    """An image beside the manifold: no code is exact, and the energy of what is found is that of a minimum."""
    model = model_of("gan")
    assert isinstance(model, GAN)
    with seeded_noise(2):
        x = model.sample(10) + 0.05 * torch.randn(10, 1, 3, 3).double()
        pool = model.codes(4000)
    energy = misfit_energy(lambda z: model.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2]), x, torch.tensor(True))
    codes = model.encode(x)
    best = energy(pool[:, None].expand(-1, 10, -1)).min(0).values
    assert (energy(codes[None])[0] < best + 0.1).all()
    nearby = codes + 0.05 * torch.randn(50, *codes.shape, generator=torch.Generator().manual_seed(0)).double()
    assert (energy(codes[None])[0] < energy(nearby).min(0).values + 0.05).all()


@torch.no_grad()
def test_a_conditional_gan_finds_the_class_too() -> None:
    model = model_of("gan, conditional")
    assert isinstance(model, GAN)
    labels = torch.arange(30) % 3
    with seeded_noise(3):
        x = model.sample_classes(labels)
    codes = model.encode(x)
    assert (codes[:, 2:].sum(1) == 1).all() and set(codes[:, 2:].flatten().tolist()) == {0.0, 1.0}
    assert (codes[:, 2:].argmax(1) == labels).float().mean() > 0.8, "images of two classes may be alike"


@torch.no_grad()
def test_the_best_of_several_searches_is_returned() -> None:
    """Six latents weigh more than the class: the draws nearest an image are of both, the best of the ends is not."""
    weights = torch.randn(9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 2
    linear = nn.Linear(8, 9, bias=False).double()
    linear.weight.copy_(torch.cat([weights, torch.tensor([[0.1, -0.1]] * 9)], 1))
    model = GAN(nn.Sequential(linear, nn.Unflatten(1, (1, 3, 3))), 6, (1, 3, 3), classes=2).double()
    labels = torch.arange(40) % 2
    with seeded_noise(5):
        codes = model.codes(40, labels)
    codes[:, :6] *= 0.7
    assert (model.encode(model.decode(codes))[:, 6:].argmax(1) == labels).float().mean() > 0.9


@torch.no_grad()
def test_codes_are_reproducible_and_do_not_change_the_generator() -> None:
    model = model_of("gan")
    assert isinstance(model, GAN)
    with seeded_noise(4):
        x = model.sample(4)
    before = torch.get_rng_state()
    first = model.encode(x)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, model.encode(x))
    assert torch.allclose(model.encode(x[:2]), first[:2], atol=1e-6), "an image's code is its own affair"


def test_every_family_that_infers_states_its_method() -> None:
    for family in classes():
        if hasattr(family, "encode"):
            assert family.inference.split(":")[0] in ("exact", "approximate", "a code")  # type: ignore[attr-defined]
    assert isinstance(model_of("gan"), Infers) and not isinstance(model_of("made"), Infers)


# ---- arithmetic of the pictures


def test_principal_axes_are_those_of_the_covariance() -> None:
    codes = torch.randn(200, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 3.0, 1.0, 0.5, 0.2])
    places, shares = principal_axes(codes)
    values = torch.linalg.eigvalsh(codes.T.cov()).flip(0)
    assert torch.allclose(places.var(0), values[:2], rtol=1e-4)
    assert torch.allclose(shares, values[:2] / values.sum(), rtol=1e-4)
    assert abs(float(places.T.cov()[0, 1])) < 1e-4
    turned, _ = principal_axes(-codes)
    assert torch.allclose(turned, -places, atol=1e-4) or torch.allclose(turned, places, atol=1e-4)


def test_shares_by_class_are_means() -> None:
    z = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    assert torch.equal(by_class(z, torch.tensor([3, 3, 1])), torch.tensor([[0.0, 1.0], [0.75, 0.25]]))


@torch.no_grad()
def test_a_traversal_changes_one_latent_only() -> None:
    start, at = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[-3.0, 0.0, 3.0], [10.0, 20.0, 30.0]])
    moved = traversed(start, [2, 0], at)
    assert moved.shape == (2, 3, 3)
    assert torch.equal(moved[0], torch.tensor([[1.0, 2, -3], [1, 2, 0], [1, 2, 3]]))
    assert torch.equal(moved[1], torch.tensor([[10.0, 2, 3], [20, 2, 3], [30, 2, 3]]))


# ---- runs

INFERRED = [
    "vae", "wide", "mixture", "belief-net", "helmholtz", "autoencoder", "flow", "moons", "gan", "classes",
]  # fmt: skip


@pytest.fixture(scope="module")
def trained(small_runs: SmallRuns, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch; no test changes them."""
    return small_runs.copied([*INFERRED, "made"], tmp_path_factory.mktemp("runs"))


@pytest.mark.parametrize("name", INFERRED)
def test_the_file_holds_the_codes_of_the_images(trained: Path, tmp_path: Path, capsys: Captured, name: str) -> None:
    _, err = printed(capsys, "infer", trained / name, "--count", 12, "--out", tmp_path / "z.npz")
    model, data = Run(trained / name).load(), Run(trained / name).data
    assert isinstance(model, Infers) and model.inference in err
    with np.load(tmp_path / "z.npz", allow_pickle=False) as file:
        arrays = dict(file)
    x = data.held("test").first(12)
    with torch.no_grad():
        assert np.allclose(arrays["z"], model.encode(x.to(model.dtype)), atol=1e-4)
    assert ("labels" in arrays) == (name != "moons")
    if name != "moons":
        assert (arrays["labels"] == data.dataset.test.labels[:12].numpy()).all()  # type: ignore[union-attr]
    assert ("stddev" in arrays) == isinstance(model, VAE)
    if isinstance(model, VAE):
        with torch.no_grad():
            assert np.allclose(arrays["stddev"], model.posterior(x).stddev, atol=1e-5)


def test_all_images_of_a_split_by_default(trained: Path) -> None:
    opened = Run(trained / "vae")
    assert len(infer_run(opened).z) == len(opened.data.held("test"))
    assert len(infer_run(opened, "valid").z) == 20


DRAWN = {
    "latents": ["vae", "wide", "belief-net", "helmholtz", "autoencoder", "flow", "moons", "gan", "classes"],
    "posterior": ["mixture", "belief-net"],
    "traversals": ["vae", "wide", "belief-net", "helmholtz", "autoencoder", "flow", "gan", "classes"],
    "reconstructions": ["gan", "classes"],
    "interpolations": ["gan", "classes"],
}


@pytest.mark.parametrize(("what", "name"), [(what, name) for what, names in DRAWN.items() for name in names])
def test_pictures(trained: Path, tmp_path: Path, capsys: Captured, what: str, name: str) -> None:
    for file in ("a.png", "b.png"):
        _, err = printed(capsys, "draw", what, trained / name, "--count", 5, "--out", tmp_path / file)
    assert err.startswith(f"{what}: ")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("what", "name", "words"),
    [
        ("latents", "made", "no latents"),
        ("latents", "mixture", "draw posterior"),
        ("posterior", "vae", "mixture"),
        ("posterior", "moons", "mixture"),
        ("traversals", "made", "decodes"),
        ("traversals", "mixture", "components"),
        ("traversals", "moons", "images"),
    ],
)
def test_drawings_that_are_not_possible_state_the_reason(
    trained: Path, tmp_path: Path, capsys: Captured, what: str, name: str, words: str
) -> None:
    capsys.readouterr()
    assert run("draw", what, trained / name, "--out", tmp_path / "a.png") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert words in line


def test_what_cannot_be_inferred_is_refused_in_one_line(trained: Path, tmp_path: Path, capsys: Captured) -> None:
    refused(lambda: infer_run(Run(trained / "made")), "no latents", kind=NotComputable)
    for words in (
        [trained / "made", "--out", tmp_path / "z.npz"],
        [trained / "vae", "--out", tmp_path / "z.npy"],
        [trained / "vae", "--count", 0, "--out", tmp_path / "z.npz"],
        [tmp_path, "--out", tmp_path / "z.npz"],
    ):
        capsys.readouterr()
        assert run("infer", *words) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_codes_that_are_not_pairs_are_refused() -> None:
    for points in (torch.zeros(4, 3), torch.zeros(0, 2), torch.full((2, 2), torch.nan)):
        with pytest.raises(InputError):
            code_scatter(points, None, axes=("a", "b"))
    with pytest.raises(InputError):
        code_scatter(torch.zeros(4, 2), torch.zeros(3), axes=("a", "b"))

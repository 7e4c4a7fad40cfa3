"""The public face: what `import ancestral` offers."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import ancestral
from ancestral.core.errors import InputError, NotComputable
from ancestral.data.datasets import load_dataset

SMALL = {"data": "digits", "epochs": 1, "train_size": 200, "valid_size": 50}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ancestral.Run:
    settings = ancestral.VAESettings(latents=2, hidden=(8,))
    return ancestral.fit("vae", tmp_path_factory.mktemp("public") / "run", model=settings, **SMALL)


def test_every_public_name_is_there_and_listed() -> None:
    for name in ancestral.__all__:
        assert getattr(ancestral, name) is not None
    assert set(ancestral.__all__) <= set(dir(ancestral))
    assert ancestral.__version__ == version("ancestral")
    assert (Path(ancestral.__file__).parent / "py.typed").exists()


def test_the_listing_needs_no_torch() -> None:
    names = "dir(ancestral); ancestral.Family; ancestral.VAESettings"
    program = f"import sys, ancestral; {names}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = ancestral.nonsense


def test_settings_as_keywords_and_as_dataclasses(tmp_path: Path, run: ancestral.Run) -> None:
    data = ancestral.DataSettings("digits", train_size=200, valid_size=50)
    training = ancestral.TrainingSettings(epochs=1)
    other = ancestral.fit("vae", tmp_path / "a", data=data, training=training, latents=2, hidden=[8])
    assert other.settings == run.settings


def test_a_misspelt_setting_suggests_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean epochs"):
        ancestral.fit("vae", tmp_path / "a", data="digits", epoch=3)
    with pytest.raises(InputError, match="did you mean vae"):
        ancestral.fit("vea", tmp_path / "a", data="digits")
    assert not (tmp_path / "a").exists()


def test_each_verb_takes_a_run_or_its_folder(run: ancestral.Run) -> None:
    for of in (run, run.path, str(run.path)):
        assert ancestral.evaluate(of).method == "ELBO"
        assert ancestral.sample(of, 3, seed=1).shape == (3, 1, 8, 8)
        assert ancestral.infer(of, count=5).z.shape == (5, 2)
        assert ancestral.complete(of, "left", count=2, draws=1).drawn.shape == (1, 2, 1, 8, 8)
        assert ancestral.explain(of, count=20).total.count == 20
        assert ancestral.quality(of, count=60).count == 60
        assert ancestral.detect(of, "noise", count=40, trials=20).against == "noise"
    assert all(check.passed for check in ancestral.verify(run.path))
    assert len(run.scores()) == 1


def test_a_model_by_itself_is_used_on_named_data(
    run: ancestral.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ancestral.load(run.path)
    assert isinstance(model, ancestral.LatentModel)
    by_run = ancestral.evaluate(run)
    assert ancestral.evaluate(model, data="digits", pixels="threshold").nats == by_run.nats
    assert torch.equal(ancestral.sample(model, 3, seed=1), ancestral.sample(run, 3, seed=1))
    assert torch.equal(ancestral.infer(model, data="digits", count=5).z, ancestral.infer(run, count=5).z)
    assert ancestral.complete(model, "left", data="digits", count=2).drawn.shape == (4, 2, 1, 8, 8)
    assert ancestral.explain(model, data="digits", count=20).total.count == 20
    assert ancestral.quality(model, data="digits", count=60).count == 60
    assert all(check.passed for check in ancestral.check_model(model))
    assert not list(tmp_path.iterdir())  # nothing is stored


def test_a_run_takes_other_data(run: ancestral.Run, tmp_path: Path) -> None:
    images = load_dataset("digits").test.images.numpy()[:50]
    np.save(tmp_path / "some.npy", images)
    stored = run.scores()
    other = ancestral.evaluate(run, data=tmp_path / "some.npy")
    assert (other.count, other.space) == (50, "some, binary, threshold 0.5")
    assert other.nats == ancestral.evaluate(ancestral.load(run.path), data="digits", pixels="threshold", count=50).nats
    assert run.scores() == stored
    assert torch.equal(ancestral.infer(run, data=tmp_path / "some.npy").z, ancestral.infer(run, count=50).z)
    assert ancestral.complete(run, "left", data=tmp_path / "some.npy", count=2).drawn.shape == (4, 2, 1, 8, 8)


def test_what_a_model_cannot_be_asked(run: ancestral.Run) -> None:
    model = ancestral.load(run.path)
    with pytest.raises(InputError, match="data="):
        ancestral.evaluate(model)
    with pytest.raises(InputError, match="shape"):
        ancestral.evaluate(model, data="digits", pad_to=16)
    with pytest.raises(InputError, match="unknown argument .colour"):
        ancestral.evaluate(run, data="digits", colour=3)
    with pytest.raises(InputError, match="unknown argument .colour"):
        ancestral.evaluate(model, data="digits", colour=3)
    with pytest.raises(NotComputable, match="no classes"):
        ancestral.sample(model, label=3)


def test_a_run_shows_its_pictures(run: ancestral.Run) -> None:
    assert {"samples", "manifold", "curves"} <= set(run.drawings())
    assert isinstance(run.show("samples", count=4), Figure)
    with pytest.raises(InputError, match="did you mean samples"):
        run.show("smaples")
    with pytest.raises(NotComputable, match="mixture"):
        run.show("components")
    assert run.report().read_text().lower().startswith("<!doctype html>")

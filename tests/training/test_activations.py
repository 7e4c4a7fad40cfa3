"""The memory that a step saves for its backward pass is computed without allocating it."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ancestral.data.pixels import Batch, PixelBatches, PixelSpace
from ancestral.families.build import build_model
from ancestral.families.family import DataSpec
from ancestral.families.run_settings import Settings, settings_for
from ancestral.models.base import ExactModel, Model
from ancestral.runs.fit import build_step
from ancestral.runs.step_memory import most_bytes
from ancestral.settings.training import TrainingSettings
from ancestral.training.activations import META, CountingEngine, activation_bytes, without_values
from ancestral.training.engine import Engine
from ancestral.training.steps import GradientStep, Step

SIDE, IMAGES, LEVELS = 12, 24, 16
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "mixture": ("mixture", {}),
    "sums over particles": ("belief-net", {"method": "vimco", "latents": (30, 20), "hidden": (50,)}),
    "wake and sleep": ("belief-net", {"method": "wake-sleep", "latents": (30,)}),
    "made": ("made", {"hidden": (100, 60)}),
    "made of levels": ("made", {"pixels": "levels", "output": "logistic"}),
    "pixelcnn": ("pixelcnn", {}),
    "categorical pixelcnn": ("pixelcnn", {"pixels": "levels", "output": "categorical"}),
    "vae": ("vae", {}),
    "wide vae": ("vae", {"hidden": (700, 900)}),
    "convolutions": ("vae", {"network": "cnn"}),
    "importance samples": ("vae", {"objective": "iwae", "importance_samples": 20}),
    "doubly reparameterised": ("vae", {"objective": "dreg", "importance_samples": 4}),
    "mixture of posteriors": ("vae", {"prior": "vamp", "components": 40}),
    "prior of a flow": ("vae", {"prior": "flow"}),
    "autoencoder": ("autoencoder", {}),
    "flow": ("flow", {}),
    "affine flow": ("flow", {"layers": "affine"}),
    "variational dequantisation": ("flow", {"dequantisation": "variational"}),
    "points": ("flow", {"data": "moons", "layers": "affine", "depth": 12}),
    "autoregressive points": ("flow", {"data": "moons", "layers": "maf"}),
    "gan": ("gan", {"average": 0.9}),
    "convolutional gan": ("gan", {"network": "cnn"}),
    "penalty of a gradient": ("gan", {"loss": "wasserstein"}),
    "penalty and classes": ("gan", {"r1": 1.0, "spectral_norm": True, "classes": 10}),
}


def prepared(case: str) -> tuple[Settings, PixelBatches, Model]:
    family, values = CASES[case]
    settings = settings_for(family, **values)
    torch.manual_seed(0)
    if "data" in values:
        train = PixelBatches(torch.rand(IMAGES, 2), PixelSpace("points", 0))
        return settings, train, build_model(family, settings.model, DataSpec((2,), 0, "points"))
    space = PixelSpace(settings.data.pixels or "threshold", LEVELS)
    raw = torch.randint(LEVELS, (IMAGES, 1, SIDE, SIDE), dtype=torch.uint8)
    train = PixelBatches(raw, space, labels=torch.arange(IMAGES) % 10)
    spec = DataSpec((1, SIDE, SIDE), LEVELS, space.name, 10, proportions=(0.1,) * 10)
    return settings, train, build_model(family, settings.model, spec)


def measured(settings: Settings, train: PixelBatches, model: Model, images: int = IMAGES) -> int:
    labels = None if train.labels is None else torch.empty(images, dtype=torch.long, device=META)
    batch = Batch(torch.empty(images, *train.event_shape, device=META), labels)
    found = activation_bytes(model, lambda engine, model: build_step(settings, engine, model, train), batch)
    assert found is not None
    return found


def kept(settings: Settings, train: PixelBatches, model: Model) -> int:
    """What a step on the CPU keeps."""
    engine = CountingEngine(torch.device("cpu"))
    with saved_tensors_hooks(engine.pack, lambda packed: packed.tensor):
        step = build_step(settings, engine, copy.deepcopy(model).train(), train)
        step(next(train.shuffled(0, IMAGES)), 0)
    return engine.most


@pytest.mark.parametrize("case", CASES)
def test_the_measured_memory_is_that_of_the_saved_tensors(case: str) -> None:
    settings, train, model = prepared(case)
    found, real = measured(settings, train, model), kept(settings, train, model)
    assert 0.9 * real < found <= real


@pytest.mark.parametrize("case", CASES)
def test_the_bound_from_the_settings_is_above_it(case: str) -> None:
    settings, train, model = prepared(case)
    assert measured(settings, train, model, 100) < 100 * most_bytes(settings.model, train)


class TwoLayers(ExactModel):
    """Its step keeps the images and the output of the exponential, and the weights of the last layer as they are."""

    event_shape, spaces, levels = (4, 5), ("unit",), None

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(20, 30), nn.Linear(30, 1)

    def log_prob(self, x: Tensor) -> Tensor:
        _ = (self.layer(x.flatten(1)) ** 2).sum()  # autograd lets this go
        return self.last(self.layer(x.flatten(1)).exp())[:, 0]


def gradient_step(engine: Engine, model: Model) -> Step:
    return GradientStep(engine, model, lambda model, batch: {"loss": -model.log_prob(batch.x)}, TrainingSettings(), 1)


def test_saved_bytes_agree_with_a_sum_by_hand() -> None:
    for images in (1, 7, 10**9):
        batch = Batch(torch.empty(images, 4, 5, device=META))
        assert activation_bytes(TwoLayers(), gradient_step, batch) == 4 * images * (20 + 30)


def test_measuring_does_not_change_the_model() -> None:
    settings, train, model = prepared("flow")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    measured(settings, train, model)
    assert torch.equal(torch.get_rng_state(), random) and not model.state_dict()[next(iter(before))].is_meta
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(value.is_meta for value in without_values(model).state_dict().values())


def test_a_step_that_needs_values_is_not_measured() -> None:
    def step(engine: Engine, model: Model) -> Any:
        return lambda batch, number: math.sqrt(batch.x.sum().item())

    assert activation_bytes(TwoLayers(), step, Batch(torch.empty(2, 4, 5, device=META))) is None

"""Modules as JSON and back: limits of a description, and the classes that it may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import refused
from torch import nn

import ancestral.networks.gated
import ancestral.networks.masked_flow
from ancestral.core import serialization
from ancestral.core.allowance import MAX_NUMBER, Allowance
from ancestral.core.serialization import from_config, registered, to_config
from ancestral.families.autoregressive.made import MADE
from ancestral.families.mixture.model import MixtureOfBernoullis
from ancestral.models.base import Model, load_saved
from ancestral.networks.mlp import MLP

assert ancestral.networks.gated and ancestral.networks.masked_flow


@registered
class Tied(MixtureOfBernoullis):
    """Two names for one parameter."""

    def __init__(self, event_shape: list[int]) -> None:
        super().__init__(event_shape, 2)
        self.again = self.w


@registered
class ReadsNumbers(MixtureOfBernoullis):
    """Its constructor reads a number out of a tensor, as NumPy or `item` do."""

    def __init__(self, event_shape: list[int], way: str, steps: int = 1) -> None:
        super().__init__(event_shape, 2)
        numbers = torch.arange(3.0)
        self.read = numbers.sum().item() if way == "item" else float(numbers.numpy()[1])


@pytest.fixture
def classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes that a test registers are forgotten after it."""
    monkeypatch.setattr(serialization, "_CLASSES", dict(serialization._CLASSES))


def filled(model: Model, folder: Path) -> Model:
    model.save(folder)
    return load_saved(folder)


# ---- what is saved


def test_tied_weights_are_saved_and_stay_tied(tmp_path: Path) -> None:
    model = Tied([1, 2, 2])
    loaded = filled(model, tmp_path)
    assert isinstance(loaded, Tied) and loaded.again is loaded.w and torch.equal(loaded.w, model.w)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    weights["again"] = weights["again"] + 1
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    refused(lambda: load_saved(tmp_path), "different values", "Tied")


@pytest.mark.parametrize("way", ["item", "numpy"])
def test_a_constructor_may_read_numbers_out_of_tensors(tmp_path: Path, way: str) -> None:
    model = ReadsNumbers([1, 2, 2], way)
    loaded = filled(model, tmp_path)
    assert isinstance(loaded, ReadsNumbers) and loaded.read == model.read and torch.equal(loaded.w, model.w)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    model = MixtureOfBernoullis([1, 2, 2], 2)
    with torch.no_grad():
        model.w[0, 0] = value
    model.save(tmp_path)
    refused(lambda: load_saved(tmp_path), "model.safetensors", "not finite", "w")


def test_weights_of_another_type_are_refused(tmp_path: Path) -> None:
    model = MixtureOfBernoullis([1, 2, 2], 2)
    model.save(tmp_path)
    weights = {name: tensor.view(torch.int32) for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(weights, tmp_path / "model.safetensors")
    refused(lambda: load_saved(tmp_path), "does not fit")


# ---- classes of one name


def test_two_classes_of_one_name_are_refused(classes: None) -> None:
    def made() -> type[nn.Module]:
        @registered
        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()

        return Twice

    first = made()
    assert to_config(made()()) == {"class": "own:Twice"}, "a definition that is run again replaces the first"
    with pytest.raises(TypeError, match="not registered"):
        to_config(first())

    @registered
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()

    for action in (lambda: to_config(Twice()), lambda: from_config({"class": "own:Twice"})):
        refused(action, "2 registered classes", "own:Twice", "rename")


# ---- what a description may ask for

SHAPE = {"event_shape": [1, 8, 8]}
WRONG: dict[str, Any] = {
    "list for a class": {"class": []},
    "mapping for a class": {"class": {}},
    "no class": {"event_shape": {}},
    "negative": {"class": "MixtureOfBernoullis", "event_shape": [-8], "components": 3},
    "negative components": {"class": "MixtureOfBernoullis", **SHAPE, "components": -1},
    "real": {"class": "MixtureOfBernoullis", **SHAPE, "components": 1e308},
    "text": {"class": "MixtureOfBernoullis", **SHAPE, "components": ""},
    "null": {"class": "MixtureOfBernoullis", "event_shape": None, "components": 3},
    "huge": {"class": "MixtureOfBernoullis", **SHAPE, "components": 2**31},
    "product": {"class": "MixtureOfBernoullis", "event_shape": [2**20, 2**20], "components": 2},
    "overflow": {"class": "MixtureOfBernoullis", "event_shape": [2**20] * 30, "components": 2},
    "activation": {"class": "MADE", **SHAPE, "activation": "unknown"},
    "orderings": {"class": "MADE", **SHAPE, "hidden": [8], "orderings": 10**6},
    "more orderings": {"class": "MADE", **SHAPE, "hidden": [8], "orderings": 10**7},
    "width": {"class": "MADE", **SHAPE, "hidden": [10**9]},
    "layers": {"class": "MLP", "in_shape": [1], "hidden": [1] * 50_000, "out_shape": [1]},
    "blocks": {"class": "GatedConvNet", "in_channels": 1, "out_channels": 1, "sides": [2, 2], "blocks": 10**6},
    "masked": {"class": "MaskedMLP", "features": 2, "hidden": [2**20] * 3},
    "side": {"class": "MADE", "event_shape": [1, 1024, 1024], "hidden": [8]},
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_a_description_beyond_its_weights_is_refused(case: str, device: str) -> None:
    weights = {"w": torch.zeros(64, 3), "b": torch.zeros(3)}
    with torch.device(device):
        refused(lambda: from_config(WRONG[case], weights))


def test_nesting_and_length_are_bounded() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"class": "Inverse", "bijection": deep}
    refused(lambda: from_config(deep), "nested")
    refused(lambda: from_config([0] * 200_000), "values")


def test_an_error_in_a_constructor_is_one_line(classes: None) -> None:
    @registered
    class Fails(nn.Module):
        def __init__(self, kind: str) -> None:
            raise {"key": KeyError, "memory": MemoryError, "depth": RecursionError, "zero": ZeroDivisionError}[kind](
                "a\nb"
            )

    for kind in ("key", "memory", "depth", "zero"):
        refused(lambda: from_config({"class": "own:Fails", "kind": kind}), "Fails", "does not fit")  # noqa: B023


def test_seeds_and_sizes_of_the_weights_pass() -> None:
    seed = 2**63 - 1
    model = MADE([1, 4, 4], hidden=[8], orderings=40, seed=seed)
    again = from_config(to_config(model), model.state_dict())
    assert torch.equal(again.positions, model.positions) and again._arguments["seed"] == seed
    wide = {"embedding": torch.empty(MAX_NUMBER + 5, 1, device="meta")}
    Allowance.of(wide.values()).check({"rows": MAX_NUMBER + 5})
    refused(lambda: Allowance().check({"rows": MAX_NUMBER + 5}), "rows")


def test_a_module_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    refused(lambda: ReadsNumbers([1, 2, 2], "item", steps=MAX_NUMBER + 1).save(tmp_path), "steps")


def test_modules_made_outside_of_from_config_have_no_bounds() -> None:
    """The bounds hold inside `from_config` only."""
    refused(lambda: from_config(WRONG["side"], {}), "too large")
    big = MLP([2], [3000], [2])
    big.register_buffer("mask", torch.empty(1 << 25, device="meta"))
    assert sum(1 for _ in big.parameters()) == 4

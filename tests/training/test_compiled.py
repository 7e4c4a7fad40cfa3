"""The compiled step: which steps are compiled, equal results, and what happens where torch cannot compile."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ancestral
from ancestral.core.errors import InputError, TrainingDiverged
from ancestral.core.threads import without_denormals
from ancestral.data.pixels import Batch
from ancestral.settings.training import TrainingSettings
from ancestral.training import compiled
from ancestral.training.checkpoint import load_state
from ancestral.training.compiled import CompiledGradient
from ancestral.training.engine import PlainEngine
from ancestral.training.steps import GradientStep

ROWS = 4


class Noisy(nn.Module):
    """A linear layer with noise, for a loss of shape (B,)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.unused = nn.Linear(3, 2), nn.Parameter(torch.zeros(2))


def loss_of(model: Noisy, batch: Batch) -> dict[str, Tensor]:
    found = model.layer(batch.x)
    return {"loss": (found + torch.randn_like(found)).square().sum(1)}


def batch_of(rows: int = ROWS, seed: int = 1) -> Batch:
    return Batch(torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)))


def step_of(compile: bool, objective: Any = loss_of, **settings: Any) -> GradientStep:
    chosen = TrainingSettings(batch_size=ROWS, compile=compile, **settings)
    return GradientStep(PlainEngine(), Noisy(), objective, chosen, 10)  # type: ignore[arg-type]


def trained(step: GradientStep, sizes: tuple[int, ...]) -> list[Tensor]:
    """The weights and losses of some steps."""
    found = []
    for number, rows in enumerate(sizes):
        torch.manual_seed(number)
        found.append(step(batch_of(rows, number), number)["loss"])
    return [*found, *(weight.detach() for weight in step.module.parameters())]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the compiler by the function itself. The number of images of each call of a graph."""
    calls: list[int] = []

    def instead(function: Callable[[Batch], Any], *_: object) -> Callable[[Batch], Any]:
        def graph(batch: Batch) -> Any:
            calls.append(len(batch.x))
            return function(batch)

        return graph

    monkeypatch.setattr(compiled, "graph_of", instead)
    monkeypatch.setattr(compiled, "may_compile", nullcontext)  # importing the compiler takes two seconds
    return calls


def test_whole_batches_after_the_first_step_are_compiled_with_equal_results(graphs: list[int]) -> None:
    sizes = (ROWS, ROWS, ROWS - 1, ROWS)
    found, expected = trained(step_of(True), sizes), trained(step_of(False), sizes)
    assert graphs == [ROWS, ROWS]  # not step 0, and not the smaller batch
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_a_training_continues_without_a_graph_where_torch_cannot_compile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost: the noise of the failed attempt is drawn again. The mode is part of the state."""
    attempts = []

    def fails(batch: Batch) -> None:
        attempts.append(torch.randn(7))
        raise RecursionError("maximum recursion depth exceeded\nand more")

    monkeypatch.setattr(compiled, "graph_of", lambda *_: fails)
    monkeypatch.setattr(compiled, "may_compile", nullcontext)
    step = step_of(True)
    with caplog.at_level(logging.WARNING, logger="ancestral"):
        found = trained(step, (ROWS, ROWS, ROWS))
    assert all(torch.equal(one, other) for one, other in zip(found, trained(step_of(False), (ROWS,) * 3), strict=True))
    (said,) = caplog.messages
    assert said.startswith("--compile: the training continues without it") and "\n" not in said
    assert said.endswith("RecursionError: maximum recursion depth exceeded")
    again = step_of(True)
    again.restore(step.state())
    again(batch_of(), 3)
    assert len(attempts) == 1


def test_a_graph_that_no_longer_fits_is_left(graphs: list[int], caplog: pytest.LogCaptureFixture) -> None:
    step = step_of(True)
    trained(step, (ROWS, ROWS, ROWS))
    assert step.compiled is not None

    def refuses(batch: Batch) -> Any:
        raise RuntimeError("a guard failed")

    step.compiled._graph = refuses
    assert torch.isfinite(step(batch_of(), 3)["loss"]).all() and step.compiled.failed
    assert "it changes from step to step" in caplog.text


def test_torch_may_compile_again_for_another_number_of_threads(
    graphs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of threads is among the conditions of a graph; without this, the training went on in eager mode."""
    compiling: list[int] = []

    def counted() -> Any:
        compiling.append(torch.get_num_threads())
        return nullcontext()

    monkeypatch.setattr(compiled, "may_compile", counted)
    before, step = torch.get_num_threads(), step_of(True)
    try:
        for number in range(9):
            torch.set_num_threads(1 if number < 5 else 2)
            step(batch_of(), number)
    finally:
        torch.set_num_threads(before)
    assert compiling == [1] * compiled.COMPILING + [2] * compiled.COMPILING


def test_a_mistake_in_an_objective_ends_the_training(graphs: list[int]) -> None:
    def broken(model: Noisy, batch: Batch) -> dict[str, Tensor]:
        return {"loss": loss_of(model, batch)["loss"] * (torch.nan if batch.x[0, 0] == 7 else 1)}

    step = step_of(True, broken)
    trained(step, (ROWS, ROWS))
    wrong = Batch(torch.full((ROWS, 3), 7.0))
    with pytest.raises(TrainingDiverged, match="at step 3"):
        step(wrong, 2)


def test_gradients_that_share_memory_are_copied(graphs: list[int]) -> None:
    """Clipping scales gradients in place. Two weights with one gradient tensor would be scaled twice."""
    first, second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    one = CompiledGradient(lambda batch: {"loss": batch.x @ (first + second)}, [first, second], ROWS)
    found = one(batch_of(), 1)
    assert found is not None
    left, right = found.gradients
    assert left is not None and right is not None and torch.equal(left, right)
    assert left.data_ptr() != right.data_ptr()


def test_compile_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="16-mixed"):
        TrainingSettings(compile=True, precision="16-mixed")
    with pytest.raises(InputError, match="--compile: not with --shards 2"):
        ancestral.fit("vae", data="digits", out=tmp_path / "run", compile=True, shards=2)
    assert not (tmp_path / "run").exists()


def test_a_step_that_is_not_compiled_says_so(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    sizes = {"train_size": 40, "valid_size": 10, "epochs": 1, "batch_size": 20}
    ancestral.fit("gan", data="digits", out=tmp_path / "gan", compile=True, **sizes)
    assert "--compile has no effect" in caplog.text


def test_denormal_moments_become_zero_and_weights_stay_those_of_torch() -> None:
    """A moment of a weight without gradient decays to denormal numbers, which make the update slow."""
    with without_denormals():
        if torch.full((1,), 1e-39).mul(2).count_nonzero():
            pytest.skip("this processor has no such mode")
    ours, theirs = (step_of(False) for _ in range(2))
    of_torch = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
    found = []
    for optimizer, update in (
        (ours.optimizer, ours.optimizer.step),
        (theirs.optimizer, partial(of_torch, theirs.optimizer)),
    ):
        weight = optimizer.param_groups[0]["params"][0]
        weight.grad = torch.ones_like(weight)
        update()
        optimizer.state[weight]["exp_avg"].fill_(1e-38)
        weight.grad = torch.zeros_like(weight)
        for _ in range(5):
            update()
        found.append((weight, optimizer.state[weight]["exp_avg"]))
    (weight, moment), (weight_of_torch, moment_of_torch) = found
    assert torch.equal(weight, weight_of_torch)
    assert moment.count_nonzero() == 0
    assert moment_of_torch.count_nonzero() == weight.numel()  # the mode of the process is as before


SIZES: dict[str, Any] = {"train_size": 40, "valid_size": 8, "batch_size": 8, "hidden": (6,), "log_every": 1}

CHECKPOINT = "checkpoint/state.safetensors"
OWN: dict[str, dict[str, Any]] = {
    "vae": {"data": "digits", "latents": 2, "network": "mlp"},
    "flow": {"data": "moons", "depth": 2, "layers": "affine"},
    "made": {"data": "digits"},
}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vae", "flow", "made"])
def test_torch_compiles_a_training_which_resumes_to_the_bit(family: str, tmp_path: Path) -> None:
    """The real compiler: the same numbers after an interruption, and those of eager mode up to rounding."""
    settings = SIZES | OWN[family]
    ancestral.fit(family, out=tmp_path / "whole", compile=True, epochs=3, **settings)
    ancestral.fit(family, out=tmp_path / "parts", compile=True, epochs=2, **settings)
    ancestral.fit(family, out=tmp_path / "parts", compile=True, epochs=3, resume=True, **settings)
    ancestral.fit(family, out=tmp_path / "eager", epochs=3, **settings)
    whole, parts, eager = (load_state(tmp_path / name / CHECKPOINT)[0] for name in ("whole", "parts", "eager"))
    assert not bool(whole["step.compiled.failed"])
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
        if name.startswith("model."):
            assert torch.allclose(tensor, eager[name], atol=1e-4), name
    assert any(not torch.equal(tensor, whole[name]) for name, tensor in eager.items())  # rounding differs

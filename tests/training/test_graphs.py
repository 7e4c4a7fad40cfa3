"""Steps recorded as one graph: equal results, which steps are replayed, and what cannot be recorded.

`CpuRecorder` records operations and repeats them on the same memory, with the same numbers of Python, as a CUDA graph
does. It refuses what a CUDA graph refuses: operations whose results the host reads.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import ancestral
from ancestral.core.errors import InputError
from ancestral.data.pixels import Batch
from ancestral.settings.training import TrainingSettings
from ancestral.training import graphs
from ancestral.training.checkpoint import load_state
from ancestral.training.engine import PlainEngine
from ancestral.training.graphs import CudaRecorder
from ancestral.training.objectives import Terms
from ancestral.training.operations import read_by_host
from ancestral.training.steps import GradientStep

ROWS, EPOCH = 4, 8


class Recording(TorchDispatchMode):
    """Lists operations with their arguments and results, and keeps what they overwrite."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if read_by_host(func, tree_leaves((args, kwargs))):
            raise RuntimeError(f"operation not permitted during a recording: {func}")
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.before += [(one, one.clone()) for one in tree_leaves(value) if isinstance(one, Tensor)]
        result = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, [one for one in tree_leaves(result) if isinstance(one, Tensor)]))
        return result

    @torch.no_grad()
    def undo(self) -> None:
        """A recording computes nothing."""
        for tensor, value in reversed(self.before):
            tensor.copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, results in self.calls:
            again = [one for one in tree_leaves(func(*args, **kwargs)) if isinstance(one, Tensor)]
            for known, new in zip(results, again, strict=True):
                if known.data_ptr() != new.data_ptr():
                    known.copy_(new)


Recording.__torch_dispatch__ = inspect.unwrap(Recording.__torch_dispatch__)  # as in `Operations`


class CpuRecorder:
    """A recorder for the CPU, which counts its replays."""

    def __init__(self) -> None:
        self.recorded = self.replays = 0

    def beside(self, function: Callable[[], Terms]) -> Terms:
        return function()

    def record(self, function: Callable[[], Terms]) -> tuple[Terms, Callable[[], object]]:
        state = torch.get_rng_state()
        with Recording() as recording:
            found = function()
        recording.undo()
        torch.set_rng_state(state)
        self.recorded += 1

        def replay() -> None:
            self.replays += 1
            recording.replay()

        return found, replay


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> CpuRecorder:
    made = CpuRecorder()
    monkeypatch.setattr(graphs, "recorder_for", lambda device: made)
    return made


class Noisy(nn.Module):
    """A linear layer with noise, for a loss of shape (B,)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.unused = nn.Linear(3, 2), nn.Parameter(torch.zeros(2))
        self.calls, self.scale = 0, torch.ones(2)


def loss_of(model: Noisy, batch: Batch) -> Terms:
    found = model.layer(batch.x)
    return {"loss": (found + torch.randn_like(found)).square().sum(1)}


def counting(model: Noisy, batch: Batch) -> Terms:
    model.calls += 1
    return {"loss": loss_of(model, batch)["loss"] * model.calls}


def replacing(model: Noisy, batch: Batch) -> Terms:
    model.scale = model.scale + 1
    return {"loss": (model.layer(batch.x) * model.scale).square().sum(1)}


def scheduled(model: Noisy, batch: Batch) -> Terms:
    """Equal in the compared steps; only that the moment is read shows that it changes later."""
    assert batch.moment is not None
    return {"loss": loss_of(model, batch)["loss"] * (3 if batch.moment.step > 4 else 1)}


def reading(model: Noisy, batch: Batch) -> Terms:
    return loss_of(model, batch) if bool((batch.x > -100).all()) else {}


def scaled(model: Noisy, batch: Batch) -> Terms:
    return {"loss": loss_of(model, batch)["loss"] * (1 + model.calls)}


def batch_of(rows: int = ROWS, seed: int = 1) -> Batch:
    return Batch(torch.randn(rows, 3, generator=torch.Generator().manual_seed(seed)))


def step_of(graph: bool, objective: Any = loss_of, **settings: Any) -> GradientStep:
    chosen = TrainingSettings(batch_size=ROWS, cuda_graph=graph, epochs=4, **settings)
    return GradientStep(PlainEngine(), Noisy(), objective, chosen, 4 * EPOCH)  # type: ignore[arg-type]


def trained(step: GradientStep, sizes: tuple[int, ...], first: int = 0) -> list[Tensor]:
    """The losses of some steps and the weights after them."""
    found = []
    for number, rows in enumerate(sizes, first):
        torch.manual_seed(number)
        found.append(step(batch_of(rows, number), number)["loss"])
    return [*found, *(weight.detach() for weight in step.module.parameters())]


def assert_equal(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


# these learning rates are exact in single precision, which a graph reads them in
RISING: dict[str, Any] = {"learning_rate": 0.25, "warmup_steps": 16}


@pytest.mark.parametrize(
    "settings",
    [{}, RISING, RISING | {"optimizer": "sgd", "momentum": 0.5, "clip_norm": 0.01}, {"optimizer": "adamw"}],
    ids=["adam", "rising rate", "sgd, clipped", "adamw"],
)
def test_replayed_steps_equal_those_of_eager_mode_to_the_bit(recorder: CpuRecorder, settings: dict[str, Any]) -> None:
    sizes = (ROWS,) * 6 + (ROWS - 1,) + (ROWS,) * 4
    step = step_of(True, **settings)
    assert_equal(trained(step, sizes), trained(step_of(False, **settings), sizes))
    # eager mode: the first three, the smaller batch, and the first two of the second epoch
    assert (recorder.recorded, recorder.replays) == (1, 5)


def test_a_resumed_training_equals_one_without_a_break(recorder: CpuRecorder) -> None:
    whole = step_of(True, **RISING)
    expected = trained(whole, (ROWS,) * 12)
    before, after = step_of(True, **RISING), step_of(True, **RISING)
    trained(before, (ROWS,) * 5)
    after.module.load_state_dict(before.module.state_dict())
    after.restore(before.state())
    assert_equal(trained(after, (ROWS,) * 7, 5), expected[5:])
    assert recorder.recorded == 3  # once in each of the three


@pytest.mark.parametrize(
    ("objective", "reason"),
    [
        (counting, "it changes from step to step"),
        (replacing, "it changes from step to step"),
        (scheduled, "it changes from step to step"),
        (reading, "it reads results in Python"),
    ],
)
def test_what_cannot_be_recorded_continues_in_eager_mode(
    recorder: CpuRecorder, caplog: pytest.LogCaptureFixture, objective: Any, reason: str
) -> None:
    with caplog.at_level(logging.WARNING, logger="ancestral"):
        found = trained(step_of(True, objective), (ROWS,) * 8)
    assert_equal(found, trained(step_of(False, objective), (ROWS,) * 8))
    (said,) = caplog.messages
    assert said.startswith("--cuda-graph: the training continues without it") and reason in said
    assert recorder.recorded == 0


def test_a_change_between_epochs_is_noticed(recorder: CpuRecorder, caplog: pytest.LogCaptureFixture) -> None:
    """A number of Python that an epoch changes would stay the same in replays."""
    steps = [step_of(True, scaled), step_of(False, scaled)]
    for step in steps:
        trained(step, (ROWS,) * EPOCH)
        step.module.model.calls = 3
    found, expected = (trained(step, (ROWS,) * 3, EPOCH) for step in steps)
    assert_equal(found, expected)
    assert "it changes from step to step" in caplog.text
    assert recorder.replays == EPOCH - 3


def test_a_failed_recording_loses_nothing(
    recorder: CpuRecorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    marks: list[bool] = []

    def fails(function: Callable[[], Terms]) -> Any:
        marks.extend(group["capturable"] for group in step.optimizer.param_groups)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(recorder, "record", fails)
    step = step_of(True)
    assert_equal(trained(step, (ROWS,) * 6), trained(step_of(False), (ROWS,) * 6))
    (said,) = caplog.messages
    assert "\n" not in said and "RuntimeError: operation not permitted" in said
    assert marks == [True]
    assert not any(group["capturable"] for group in step.optimizer.param_groups)


SIZES: dict[str, Any] = {"train_size": 44, "valid_size": 8, "batch_size": 8, "log_every": 1, "hidden": (6,)}


def assert_equal_runs(family: str, folder: Path, **settings: Any) -> None:
    """A run with a break, in recorded steps, has the checkpoint of a run in eager mode."""
    settings = SIZES | settings
    ancestral.fit(family, out=folder / "graph", cuda_graph=True, epochs=2, **settings)
    ancestral.fit(family, out=folder / "graph", cuda_graph=True, epochs=3, resume=True, **settings)
    ancestral.fit(family, out=folder / "eager", epochs=3, **settings)
    found, expected = (load_state(folder / name / "checkpoint/state.safetensors")[0] for name in ("graph", "eager"))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name


def test_a_gan_has_a_recording_for_each_kind_of_step(recorder: CpuRecorder, tmp_path: Path) -> None:
    """The generator is trained in every second step, and its average and last losses are not part of a recording."""
    settings: dict[str, Any] = {"critic_hidden": (6,), "critic_steps": 2, "average": 0.5, "clip_norm": 0.1}
    assert_equal_runs("gan", tmp_path, data="moons", batch_size=4, train_size=50, **settings)
    assert recorder.recorded == 4 and recorder.replays > 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("vae", {"data": "digits", "latents": 2, "network": "mlp", "average_weights": 0.9, "clip_norm": 0.1}),
        ("flow", {"data": "moons", "depth": 2}),
        ("made", {"data": "digits"}),
        ("any-order", {"data": "digits"}),
    ],
)
def test_recorded_trainings_equal_those_of_eager_mode(
    recorder: CpuRecorder, tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    assert_equal_runs(family, tmp_path, **settings)
    assert recorder.recorded == 2 and recorder.replays > 4


def test_a_recording_is_refused_or_has_no_effect_where_it_cannot_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="--cuda-graph: not with --precision 16-mixed"):
        TrainingSettings(cuda_graph=True, precision="16-mixed")
    with pytest.raises(InputError, match="--cuda-graph: not with --compile"):
        TrainingSettings(cuda_graph=True, compile=True)
    with pytest.raises(InputError, match="--cuda-graph: not with --shards 2"):
        ancestral.fit("vae", data="digits", out=tmp_path / "run", cuda_graph=True, shards=2)
    assert step_of(True).graph is None
    assert caplog.messages == ["--cuda-graph has no effect: this training uses the device cpu, not a CUDA device"]
    monkeypatch.setattr(graphs, "recorder_for", lambda device: CpuRecorder())
    assert step_of(True, optimizer="rmsprop").graph is None
    assert "no effect with --optimizer rmsprop: choose adam or adamw or sgd" in caplog.text


def test_a_failed_cuda_graph_leaves_stream_and_generator_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """`torch.cuda.graph` keeps its stream in use if its end fails. Here with a CUDA of names only."""
    streams = ["default"]

    class Generator:
        def __init__(self, device: object = None) -> None:
            self.state: object = None

        def set_state(self, state: object) -> None:
            self.state = state

        def graphsafe_get_state(self) -> object:
            return self.state

        graphsafe_set_state = set_state

    @contextmanager
    def graph(made: object, stream: str) -> Iterator[None]:
        streams.append(stream)
        yield
        raise RuntimeError("invalid capture")

    own = Generator()
    of_cuda = {
        "CUDAGraph": object,
        "graph": graph,
        "Stream": lambda device: "own",
        "current_stream": lambda device: streams[-1],
        "set_stream": streams.append,
        "get_rng_state": lambda device: "state",
        "default_generators": [own],
    }
    for name, value in of_cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch, "Generator", Generator)
    with pytest.raises(RuntimeError, match="invalid capture"):
        CudaRecorder(torch.device("cuda:0")).record(dict)
    assert streams == ["default", "own", "default"] and own.state == "state"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_equal_eager_mode(tmp_path: Path) -> None:
    assert_equal_runs("vae", tmp_path, data="digits", latents=2, network="mlp", device="cuda")

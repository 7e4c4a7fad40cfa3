"""Encoder, decoder and log-probability of a model as ONNX programs, which are checked against the model."""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from ancestral.core.errors import InputError, NotComputable
from ancestral.core.files import write_atomically
from ancestral.core.random import seed_for, seeded_noise
from ancestral.core.text import type_in_words, with_article
from ancestral.models.base import Decodes, ExactModel, Infers, Model, SamplesCodes
from ancestral.runs.run import Run

NEEDED = ("onnx", "onnxruntime", "onnxscript")
TRACED, CHECKED = 5, (1, 3, 17)  # batch sizes for tracing and for the check
TOLERANCE = 1e-4  # relative to the largest value of a batch
METHODS = {"encoder": "encode", "decoder": "decode", "log_prob": "log_prob"}


class Program(NamedTuple):
    """An ONNX program of a model, or the reason why there is none.

    Args:      name: `encoder`, `decoder` or `log_prob`. path: of the file, or None. detail: the largest difference from
               the model, or the reason, in words.
    """

    name: str
    path: Path | None
    detail: str


def write_programs(run: Run, folder: Path) -> list[Program]:
    """Write the possible programs of a run's model as NAME.onnx, for any batch size.

    ONNX Runtime executes each program on samples of the model and their codes; the outputs are compared with the model.

    Raises:    NotComputable: no program is possible. InputError: packages are missing.
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        raise InputError(f"ONNX programs need {' and '.join(lacking)}: pip install 'ancestral[export]'")
    model = run.load()
    found = [_written(run, model, name, folder) for name in METHODS]
    if not any(program.path for program in found):
        reasons = "; ".join(program.detail for program in found)
        raise NotComputable(f"{type_in_words(model)} cannot be exported as a program: {reasons}")
    return found


def _written(run: Run, model: Model, name: str, folder: Path) -> Program:
    if reason := _impossible(model, name):
        return Program(name, None, reason)
    module = _Method(model, METHODS[name]).eval()
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{name}.onnx"
        try:
            with _quiet(), torch.no_grad():
                _trace(module, _inputs(model, name, TRACED), path)
            _finish(path, run, name)
        except InputError:
            raise
        except Exception as error:  # tracing fails with many types of exceptions and long messages
            return Program(name, None, f"the {name} cannot be exported ({type(error).__name__})")
        difference, scale = _compare(model, name, path)
        if not difference <= TOLERANCE * scale:
            return Program(
                name,
                None,
                f"the program of the {name} differs from the model by {difference:.2g}, so it is not written",
            )
        write_atomically(folder / path.name, path.read_bytes())
    return Program(name, folder / path.name, f"differs from the model by at most {difference:.1e}")


def _impossible(model: Model, name: str) -> str:
    """Why a model cannot have a program, or ""."""
    kind = type(model).__name__
    if name == "encoder" and not isinstance(model, Infers):
        return f"{with_article(kind)} has no encoder"
    if name == "encoder" and model.encodes_by_search:
        return f"{with_article(kind)} has no encoder network: it finds codes by optimisation"
    if name == "decoder" and not isinstance(model, Decodes):
        return f"{with_article(kind)} has no decoder"
    if name == "decoder" and not isinstance(model, SamplesCodes | Infers):
        return f"{with_article(kind)} cannot sample codes, so its decoder cannot be checked"
    if name == "log_prob" and not isinstance(model, ExactModel):
        return f"{with_article(kind)} has no exact log p(x)"
    return ""


class _Method(nn.Module):
    """One method of a model as a module."""

    def __init__(self, model: Model, method: str) -> None:
        super().__init__()
        self.model, self.method = model, method

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.model, self.method)(x)


@torch.no_grad()
def _inputs(model: Model, name: str, count: int) -> Tensor:
    """Random inputs of a program: samples of the model, or codes."""
    with seeded_noise(seed_for(count, "program", name)):
        if name == "decoder" and isinstance(model, SamplesCodes):
            return model.codes(count).to(model.dtype)
        x = model.sample(count).to(model.dtype)
        return model.encode(x).to(model.dtype) if name == "decoder" and isinstance(model, Infers) else x


def _trace(module: nn.Module, example: Tensor, path: Path) -> None:
    torch.onnx.export(
        module,
        (example,),
        str(path),
        dynamo=True,
        external_data=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the output of the exporter and disable argument checks, which cannot be exported."""
    checks = Distribution._validate_args
    disabled = logging.root.manager.disable
    Distribution.set_default_validate_args(False)
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        Distribution.set_default_validate_args(checks)


def _finish(path: Path, run: Run, name: str) -> None:
    """Remove the paths of source files from a program, and add its name and the SHA-256 of the weights."""
    import onnx

    program: Any = onnx.load(path)
    graphs = [program.graph, *program.functions]
    for graph in graphs:
        values = [] if graph is not program.graph else [*graph.input, *graph.output, *graph.initializer]
        for part in (graph, *graph.node, *graph.value_info, *values):
            part.doc_string = ""
            del part.metadata_props[:]
    del program.metadata_props[:]
    known = {"family": run.settings.family, "program": name, "space": run.record["data"]["space"]}
    for key, value in {**known, "weights_sha256": run.weights_sha256 or ""}.items():
        program.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(program)
    onnx.save(program, path)


def _compare(model: Model, name: str, path: Path) -> tuple[float, float]:
    """The largest difference between program and model over several batch sizes, and the scale of the values."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst, scale = 0.0, 1.0
    for count in CHECKED:
        x = _inputs(model, name, count)
        with torch.no_grad():
            expected = getattr(model, METHODS[name])(x)
        try:
            found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        except Exception:  # the program does not accept this batch size
            return float("inf"), scale
        if found.shape != expected.shape:
            return float("inf"), scale
        same = found == expected  # including infinities
        worst = max(worst, torch.where(same, 0.0, (found - expected).abs()).nan_to_num(nan=float("inf")).max().item())
        scale = max(scale, expected[expected.isfinite()].abs().max().item() if expected.isfinite().any() else 1.0)
    return worst, scale

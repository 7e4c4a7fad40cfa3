"""Models as ONNX programs: they compute what the model computes, for any number of images, and name no place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import printed, refused, run
from small_runs import SmallRuns

from ancestral import export
from ancestral.core.errors import NotComputable
from ancestral.models.base import Model
from ancestral.runs import programs
from ancestral.runs.run import Run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ALLOWED = {
    "mixture": {"encoder", "decoder", "log_prob"},
    "vae": {"encoder", "decoder"},
    "belief-net": {"encoder", "decoder", "log_prob"},
    "helmholtz": {"encoder", "decoder"},
    "made": {"log_prob"},
    "autoencoder": {"encoder", "decoder"},
    "flow": {"encoder", "decoder"},
    "moons": {"encoder", "decoder", "log_prob"},
    "classes": {"decoder"},
}
QUICK = ("mixture", "made")


def _cases() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ALLOWED]


@pytest.mark.parametrize("name", _cases())
def test_programs_compute_what_the_model_computes(name: str, small_runs: SmallRuns, tmp_path: Path) -> None:
    opened = Run(small_runs.copied([name], tmp_path) / name)
    found = export(opened, format="onnx")
    assert {path.stem for path in found.paths} == ALLOWED[name] == {line.split(":")[0] for line in found.details}
    assert {line.split(":")[0] for line in found.left_out} == {f"no {n}" for n in {*programs.METHODS} - ALLOWED[name]}
    model: Any = opened.load()
    torch.manual_seed(3)
    for path in found.paths:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for count in (2, 40):
            with torch.no_grad():
                x = model.sample(count).to(model.dtype)
                if path.stem == "decoder":
                    x = model.codes(count) if name == "classes" else model.encode(x)
                expected = getattr(model, programs.METHODS[path.stem])(x)
            (given,) = session.run(None, {"x": x.numpy()})
            torch.testing.assert_close(torch.from_numpy(given), expected, rtol=1e-4, atol=1e-4)
        content = path.read_bytes()
        for place in ("/ancestral/", "/site-packages/", str(tmp_path), str(Path.home())):
            assert place.encode() not in content, place
        metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
        assert metadata["weights_sha256"] == opened.weights_sha256 and metadata["program"] == path.stem


def test_a_program_that_differs_is_not_kept(
    small_runs: SmallRuns, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    source = small_runs.copied(["made"], tmp_path) / "made"
    trace = programs._trace

    class Shifted(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) + 0.1

    monkeypatch.setattr(programs, "_trace", lambda module, *rest: trace(Shifted(module), *rest))
    assert run("export", source, "--format", "onnx") == 2
    assert "differs from the model by 0.1" in capsys.readouterr().err and not (source / "onnx").exists()


def test_a_program_of_one_size_of_batch_is_not_kept(small_runs: SmallRuns, tmp_path: Path, monkeypatch: Any) -> None:
    source = small_runs.copied(["made"], tmp_path) / "made"

    def fixed(module: torch.nn.Module, example: torch.Tensor, path: Path) -> None:
        torch.onnx.export(
            module, (example,), str(path), dynamo=True, external_data=False, input_names=["x"], verbose=False
        )

    monkeypatch.setattr(programs, "_trace", fixed)
    refused(lambda: export(source, format="onnx"), "differs from the model by inf", kind=NotComputable)


def test_programs_that_cannot_be_exported_are_reported(
    small_runs: SmallRuns, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    source = small_runs.copied(["made"], tmp_path) / "made"

    def fails(*arguments: Any) -> None:
        raise RuntimeError("a page\nof advice")

    monkeypatch.setattr(programs, "_trace", fails)
    refused(
        lambda: export(source, format="onnx"),
        "has no encoder",
        "has no decoder",
        "log_prob cannot be exported",
        kind=NotComputable,
    )
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    refused(lambda: export(source, format="onnx"), "onnxruntime", "ancestral[export]")
    assert isinstance(Run(source).load(), Model) and not (source / "onnx").exists()


def test_the_command_names_the_files(small_runs: SmallRuns, tmp_path: Path, capsys: Any) -> None:
    source = small_runs.copied(["made"], tmp_path) / "made"
    _, told = printed(capsys, "export", source, "--format", "onnx", "--out", tmp_path / "programs")
    assert f"exported: {tmp_path}/programs/log_prob.onnx" in told and "no encoder: a MADE has no encoder" in told
    assert "log_prob: differs from the model by at most" in told
    assert torch.distributions.Distribution._validate_args, "the checks of arguments are on again"

"""Reading a model from a folder: its description, its weights, and the check that they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ancestral.core.errors import InputError
from ancestral.core.files import json_from, read_bytes, sha256_of
from ancestral.core.serialization import from_config

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MAX_CONFIG_BYTES = 4 << 20
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
M = TypeVar("M", bound=nn.Module)


def read_model(
    folder: Path | str, kind: type[M], sha256: Mapping[str, str] | None = None, given: Mapping[str, Any] | None = None
) -> M:
    """The model saved in `folder`, in evaluation mode, on the CPU.

    The model is first constructed without memory and checked against the weights file, so that a description from an
    unknown source cannot use more memory than the weights file has bytes.

    Args:      kind: required class. sha256: expected hashes of `config.json` and `model.safetensors`, by name, if
               known.
    Raises:    InputError: files are missing, damaged or changed, a class is unknown, or weights do not fit or are not
               finite.
    """
    config, weights = _contents(folder, sha256)
    with torch.random.fork_rng(devices=[]):  # initial weights are overwritten; keep the caller's generator
        _refuse_misfit(_without_memory(config, weights, given), kind, weights, folder, bool(given))
        model: M = from_config(config, weights, given)
    _fill(model, weights, Path(folder) / WEIGHTS)
    return model.eval()


def read_into(folder: Path | str, model: M, sha256: Mapping[str, str] | None = None) -> M:
    """Load the weights in `folder` into the user's model, and set it to evaluation mode.

    Args:      model: a model that fits the weights. sha256: as in `read_model`.
    Raises:    InputError: as `read_model`; the model is then unchanged.
    """
    _, weights = _contents(folder, sha256)
    _refuse_misfit(model, nn.Module, weights, folder, given=True)
    _fill(model, weights, Path(folder) / WEIGHTS)
    return model.eval()


def _contents(folder: Path | str, sha256: Mapping[str, str] | None) -> tuple[Any, dict[str, Tensor]]:
    """The description and the weights of a folder.

    Raises:    InputError: files are missing, damaged or changed, or weights are not finite.
    """
    described, path = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    contents = {file.name: read_bytes(file, most) for file, most in ((described, MAX_CONFIG_BYTES), (path, None))}
    for name, expected in (sha256 or {}).items():
        if sha256_of(contents[name]) != expected:
            raise InputError(f"{Path(folder) / name} was changed or is damaged (its SHA-256 differs): restore the file")
    config = json_from(contents[described.name], described)
    try:
        weights = safetensors.torch.load(contents[path.name])
    except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    _refuse_infinite(weights, path)
    return config, weights


def _refuse_infinite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises:    InputError: a weight is infinite or NaN."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path} has weights that are not finite, at {name}: train again or restore the file")


def _without_memory(config: Any, weights: Mapping[str, Tensor], given: Mapping[str, Any] | None) -> Any:
    """The module of a description, with tensors without values (device "meta") if its constructors allow that.

    Raises:    InputError: as `from_config`.
    """
    try:
        with torch.device("meta"):
            return from_config(config, weights, given)
    except InputError as error:
        if "meta" not in str(error.__cause__).lower():
            raise
    # a constructor reads values of tensors, so the tensors must have values
    return from_config(config, weights, given)


def _refuse_misfit(
    described: Any, kind: type[nn.Module], weights: Mapping[str, Tensor], folder: Path | str, given: bool = False
) -> None:
    """Raises:    InputError: not a model, or a model whose weights have other names or shapes."""
    if not isinstance(described, kind):
        raise InputError(f"{Path(folder) / CONFIG} does not describe a model")
    expected, stored = _signature(described.state_dict()), _signature(weights)
    if expected != stored:
        odd = sorted(set(expected.items()) ^ set(stored.items()))[0][0]
        against = "the modules that were given" if given else str(Path(folder) / CONFIG)
        raise InputError(
            f"{Path(folder) / WEIGHTS} does not fit {against} at {odd!r}: the file has {_shape(odd, stored)}, the "
            f"model has {_shape(odd, expected)}"
        )


def _shape(name: str, signature: Mapping[str, tuple[str, ...]]) -> str:
    return f"shape {'x'.join(signature[name][1:]) or '()'}" if name in signature else "nothing"


def _signature(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Shape of each tensor, and its type; all floating-point types are equal, because the run sets the precision."""
    return {
        name: ("float" if tensor.dtype in FLOATS else str(tensor.dtype), *map(str, tensor.shape))
        for name, tensor in tensors.items()
    }


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load the stored weights into a model that they fit.

    Raises:    InputError: weights that are shared in the model differ in the file.
    """
    dtypes = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())
    model.load_state_dict(weights)
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor, weights[name].to(tensor.dtype)):
            raise InputError(f"{path} has different values for weights that {type(model).__name__} shares: {name}")

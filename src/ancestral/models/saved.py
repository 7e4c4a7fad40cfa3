"""The model that a folder holds: its description, its weights, and whether they belong together."""

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

    The description is built without memory first and held against the weights file, so that a
    description from a stranger cannot ask for more memory than the file has bytes.

    Args:      kind: what it must be. sha256: of `config.json` and `model.safetensors`, by name, where they are known.
    Raises:    InputError: files missing, damaged or changed, unknown classes, weights that do not fit or are not
               finite.
    """
    config, weights = _contents(folder, sha256)
    with torch.random.fork_rng(devices=[]):  # the fresh weights are overwritten; the caller's draws go on as before
        _refuse_misfit(_without_memory(config, weights, given), kind, weights, folder, bool(given))
        model: M = from_config(config, weights, given)
    _fill(model, weights, Path(folder) / WEIGHTS)
    return model.eval()


def read_into(folder: Path | str, model: M, sha256: Mapping[str, str] | None = None) -> M:
    """The weights saved in `folder`, in a model that a person made; it is put into evaluation mode.

    Args:      model: whatever the folder describes. sha256: as of `read_model`.
    Raises:    InputError: as `read_model`; the model is left as it was.
    """
    _, weights = _contents(folder, sha256)
    _refuse_misfit(model, nn.Module, weights, folder, given=True)
    _fill(model, weights, Path(folder) / WEIGHTS)
    return model.eval()


def _contents(folder: Path | str, sha256: Mapping[str, str] | None) -> tuple[Any, dict[str, Tensor]]:
    """The description and the weights of a folder.

    Raises:    InputError: files missing, damaged or changed, or weights that are not finite.
    """
    described, path = Path(folder) / CONFIG, Path(folder) / WEIGHTS
    contents = {file.name: read_bytes(file, most) for file, most in ((described, MAX_CONFIG_BYTES), (path, None))}
    for name, expected in (sha256 or {}).items():
        if sha256_of(contents[name]) != expected:
            raise InputError(f"{Path(folder) / name} was changed or is damaged: its SHA-256 is not the recorded one")
    config = json_from(contents[described.name], described)
    try:
        weights = safetensors.torch.load(contents[path.name])
    except (OSError, KeyError, ValueError, RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    _refuse_infinite(weights, path)
    return config, weights


def _refuse_infinite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises:    InputError: a weight is infinite or not a number."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{path} has weights that are not finite: {name}")


def _without_memory(config: Any, weights: Mapping[str, Tensor], given: Mapping[str, Any] | None) -> Any:
    """What a description is of, with tensors that have a shape and no values where its constructors allow that.

    Raises:    InputError: as `from_config`.
    """
    try:
        with torch.device("meta"):
            return from_config(config, weights, given)
    except InputError as error:
        if "meta" not in str(error.__cause__).lower():
            raise
    # a constructor reads numbers out of tensors, which then must have values
    return from_config(config, weights, given)


def _refuse_misfit(
    described: Any, kind: type[nn.Module], weights: Mapping[str, Tensor], folder: Path | str, given: bool = False
) -> None:
    """Raises:    InputError: no model, or one with other weights than these."""
    if not isinstance(described, kind):
        raise InputError(f"{Path(folder) / CONFIG} does not describe a model")
    expected, stored = _signature(described.state_dict()), _signature(weights)
    if expected != stored:
        odd = sorted(set(expected.items()) ^ set(stored.items()))[0][0]
        against = "the modules that were given" if given else str(Path(folder) / CONFIG)
        raise InputError(
            f"{Path(folder) / WEIGHTS} does not fit {against} at {odd!r}: {_shape(odd, stored)} stored, "
            f"{_shape(odd, expected)} there"
        )


def _shape(name: str, signature: Mapping[str, tuple[str, ...]]) -> str:
    return f"shape {'x'.join(signature[name][1:]) or '()'}" if name in signature else "nothing"


def _signature(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """Shape of each tensor, and its type where that is none of real numbers, whose precision is the run's."""
    return {
        name: ("float" if tensor.dtype in FLOATS else str(tensor.dtype), *map(str, tensor.shape))
        for name, tensor in tensors.items()
    }


def _fill(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put the stored weights into a model that they fit.

    Raises:    InputError: weights that share memory in the model differ in the file.
    """
    dtypes = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    if len(dtypes) == 1:
        model.to(dtypes.pop())
    model.load_state_dict(weights)
    for name, tensor in model.state_dict().items():
        if not torch.equal(tensor, weights[name].to(tensor.dtype)):
            raise InputError(f"{path} has different values for weights that {type(model).__name__} shares: {name}")

"""The state of a training in one file: tensors and JSON, written atomically, no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically


def save_state(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON facts into one file, so that they cannot disagree after a crash."""
    # clone: safetensors refuses tensors that share memory, as tied weights would
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, safetensors.torch.save(own, {"facts": json.dumps(facts)}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` wrote.

    Raises:    InputError: missing, truncated or damaged.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
        if not isinstance(facts, dict) or not isinstance(facts.get("log_bytes"), int):
            raise ValueError("its facts are not those of a training")
        return safetensors.torch.load_file(path), facts
    except (OSError, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"the checkpoint {path} cannot be read ({error}); train anew without --resume") from error


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under names that begin with `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """All of an optimiser's moments, by `index.name`. Its settings are the run's, and are not stored again."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took."""
    described = optimizer.state_dict()
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": described["param_groups"]})

"""Checkpoints: the state of a training in one file of tensors and JSON, written atomically, without pickle."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from ancestral.core.digest import digest_of
from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically

log = logging.getLogger("ancestral")


def save_state(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON facts into one file, with a SHA-256 over both, so that damage is detected."""
    # clone: safetensors does not accept tensors that share memory, such as tied weights
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(facts)
    write_atomically(path, safetensors.torch.save(own, {"facts": text, "sha256": digest_of(own, text)}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and facts that `save_state` wrote. Checkpoints of earlier versions have no hash: with a notice.

    Raises:    InputError: the file is missing, truncated, damaged or changed.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = file.metadata() or {}
        text = stored["facts"]
        facts = json.loads(text)
        if not isinstance(facts, dict) or type(facts.get("log_bytes")) is not int or facts["log_bytes"] < 0:
            raise ValueError("it is not the checkpoint of a training")
        tensors = safetensors.torch.load_file(path)
        # old checkpoints have no hash at all; a new one always has a hash of the log, so its own hash must be there
        if "log_sha256" in facts or set(stored) != {"facts"}:
            if stored.get("sha256") != digest_of(tensors, text):
                raise ValueError("its SHA-256 differs: the file was changed or is damaged")
        else:
            log.warning(
                "the checkpoint %s has no SHA-256 (an earlier version wrote it): it is used without a check", path
            )
        return tensors, facts
    except (OSError, KeyError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"the checkpoint {path} cannot be read ({problem}); train again without --resume") from error


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, with `prefix.` before each name."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix.`, by their names without it."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """All moments of an optimiser, by `index.name`. Its settings are in the settings of the run."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, entries in state.items()
        for name, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Restore the moments from `optimizer_tensors`.

    A moment gets the memory layout of its weight. A file has no layout, and the fused optimisers go through the memory
    of weight and moments in parallel.
    """
    described = optimizer.state_dict()
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        weight = weights[int(index)]
        if tensor.shape == weight.shape:
            tensor = torch.empty_like(weight, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": described["param_groups"]})

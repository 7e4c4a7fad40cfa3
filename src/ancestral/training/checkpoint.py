"""The state of a training in one file: tensors and JSON, written atomically, no pickle."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim import Optimizer

from ancestral.core.errors import InputError
from ancestral.core.files import write_atomically

log = logging.getLogger("ancestral")


def save_state(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write tensors and JSON facts into one file, with the SHA-256 of both, so that they cannot disagree."""
    # clone: safetensors refuses tensors that share memory, as tied weights would
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(facts)
    write_atomically(path, safetensors.torch.save(own, {"facts": text, "sha256": digest_of(own, text)}))


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_state` wrote. A checkpoint of an earlier version has no hash; a notice says so.

    Raises:    InputError: missing, truncated, damaged or changed.
    """
    try:
        with safetensors.safe_open(path, "pt") as file:
            stored = file.metadata() or {}
        text = stored["facts"]
        facts = json.loads(text)
        if not isinstance(facts, dict) or type(facts.get("log_bytes")) is not int or facts["log_bytes"] < 0:
            raise ValueError("its facts are not those of a training")
        tensors = safetensors.torch.load_file(path)
        # a new checkpoint whose hash was lost must not pass for an old one, which has no hash of the log either
        if "log_sha256" in facts or set(stored) != {"facts"}:
            if stored.get("sha256") != digest_of(tensors, text):
                raise ValueError("its contents do not match its SHA-256: the file was changed or is damaged")
        else:
            log.warning(
                "the checkpoint %s has no SHA-256 (it was made by an earlier version): it is used as it is", path
            )
        return tensors, facts
    except (OSError, KeyError, ValueError, RecursionError, safetensors.SafetensorError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"the checkpoint {path} cannot be read ({problem}); train anew without --resume") from error


def digest_of(tensors: dict[str, Tensor], facts: str = "") -> str:
    """SHA-256 of the facts and of each tensor's name, type, shape and bytes, whatever their order in the file.

    Args:      tensors: contiguous, on the CPU.
    """
    total = hashlib.sha256(facts.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


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

"""Deep generative models: train, measure and use them.

    import ancestral

    run = ancestral.fit("vae", "runs/first", data="digits", latents=2, epochs=20)
    score = ancestral.evaluate(run, samples=1000)   # a lower bound, and it says so
    model = ancestral.load("runs/first")
    images = model.sample(64)

`ancestral.check_model(model)` holds any model, yours too, against the contract of its kind.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ancestral.evaluation.contract import check_model
    from ancestral.models.base import Model, load_model
    from ancestral.runs.evaluate import score_run as evaluate
    from ancestral.runs.fit import fit
    from ancestral.runs.quality import measure_run as measure
    from ancestral.runs.run import Run, load
    from ancestral.sweeps.worker import sweep

__all__ = ["Model", "Run", "check_model", "evaluate", "fit", "load", "load_model", "measure", "sweep"]
# name here: module and name there; torch is imported only once one of them is asked for
_EXPORTS = {
    "Model": ("ancestral.models.base", "Model"),
    "Run": ("ancestral.runs.run", "Run"),
    "check_model": ("ancestral.evaluation.contract", "check_model"),
    "evaluate": ("ancestral.runs.evaluate", "score_run"),
    "fit": ("ancestral.runs.fit", "fit"),
    "load": ("ancestral.runs.run", "load"),
    "load_model": ("ancestral.models.base", "load_model"),
    "measure": ("ancestral.runs.quality", "measure_run"),
    "sweep": ("ancestral.sweeps.worker", "sweep"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ancestral' has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value

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
    from ancestral.fitting import fit
    from ancestral.measuring import measure_run as measure
    from ancestral.models.kinds import Model, load_model
    from ancestral.run import Run, load
    from ancestral.scoring import score_run as evaluate
    from ancestral.sweeping.worker import sweep

__all__ = ["Model", "Run", "check_model", "evaluate", "fit", "load", "load_model", "measure", "sweep"]
# name here: module and name there; torch is imported only once one of them is asked for
_EXPORTS = {
    "Model": ("ancestral.models.kinds", "Model"),
    "Run": ("ancestral.run", "Run"),
    "check_model": ("ancestral.evaluation.contract", "check_model"),
    "evaluate": ("ancestral.scoring", "score_run"),
    "fit": ("ancestral.fitting", "fit"),
    "load": ("ancestral.run", "load"),
    "load_model": ("ancestral.models.kinds", "load_model"),
    "measure": ("ancestral.measuring", "measure_run"),
    "sweep": ("ancestral.sweeping.worker", "sweep"),
}


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ancestral' has no attribute {name!r}")
    module, attribute = _EXPORTS[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value

"""Deep generative models: train, score and use them.

    import ancestral

    run = ancestral.fit("vae", "runs/first", data="digits", latents=2, epochs=20)
    score = ancestral.evaluate(run, samples=1000)   # a lower bound, labelled as one
    model = ancestral.load("runs/first")
    images = model.sample(64)

`ancestral.check_model(model)` checks any model, yours too, against the contract of its kind. `dir(ancestral)` lists all
public names; torch is imported once one of them that needs it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version

    from ancestral.api.functions import (
        bracket,
        complete,
        detect,
        evaluate,
        explain,
        infer,
        quality,
        sample,
        verify,
    )
    from ancestral.api.models import build, fit, load
    from ancestral.api.publishing import export
    from ancestral.api.run import Run
    from ancestral.api.surveys import compare, datasets
    from ancestral.core.errors import (
        InputError,
        Interrupted,
        NotComputable,
        TrainingDiverged,
        TrainingUnhealthy,
    )
    from ancestral.core.serialization import registered
    from ancestral.data.pixels import Batch
    from ancestral.evaluation.contract import check_model
    from ancestral.evaluation.score import Score
    from ancestral.families.autoregressive.settings import MADESettings, PixelCNNSettings
    from ancestral.families.belief_net.settings import BeliefNetSettings
    from ancestral.families.build import load_model
    from ancestral.families.catalogue import register_family
    from ancestral.families.family import DataSpec, Drawing, Family, StepContext, Subject
    from ancestral.families.flow.settings import FlowSettings
    from ancestral.families.gan.settings import GANSettings
    from ancestral.families.mixture.settings import MixtureSettings
    from ancestral.families.score_parts import ScoreParts
    from ancestral.families.vae.settings import AutoencoderSettings, VAESettings
    from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model
    from ancestral.settings.data import DataSettings
    from ancestral.settings.family import FamilySettings
    from ancestral.settings.training import TrainingSettings
    from ancestral.sweeps.worker import Sweep, sweep
    from ancestral.training.reporters import Reporter

    __version__ = version("ancestral")

__all__ = [
    "AutoencoderSettings",
    "Batch",
    "BeliefNetSettings",
    "DataSettings",
    "DataSpec",
    "Drawing",
    "ExactModel",
    "Family",
    "FamilySettings",
    "FlowSettings",
    "GANSettings",
    "ImplicitModel",
    "InputError",
    "Interrupted",
    "LatentModel",
    "MADESettings",
    "MixtureSettings",
    "Model",
    "NotComputable",
    "PixelCNNSettings",
    "Reporter",
    "Run",
    "Score",
    "ScoreParts",
    "StepContext",
    "Subject",
    "Sweep",
    "TrainingDiverged",
    "TrainingSettings",
    "TrainingUnhealthy",
    "VAESettings",
    "__version__",
    "bracket",
    "build",
    "check_model",
    "compare",
    "complete",
    "datasets",
    "detect",
    "evaluate",
    "explain",
    "export",
    "fit",
    "infer",
    "load",
    "load_model",
    "quality",
    "register_family",
    "registered",
    "sample",
    "sweep",
    "verify",
]
_PLACES = {
    "api.run": "Run",
    "api.functions": "bracket complete detect evaluate explain infer quality sample verify",
    "api.models": "build fit load",
    "api.publishing": "export",
    "api.surveys": "compare datasets",
    "core.errors": "InputError Interrupted NotComputable TrainingDiverged TrainingUnhealthy",
    "core.serialization": "registered",
    "data.pixels": "Batch",
    "evaluation.contract": "check_model",
    "evaluation.score": "Score",
    "families.build": "load_model",
    "families.vae.settings": "AutoencoderSettings VAESettings",
    "families.mixture.settings": "MixtureSettings",
    "families.gan.settings": "GANSettings",
    "families.flow.settings": "FlowSettings",
    "families.belief_net.settings": "BeliefNetSettings",
    "families.autoregressive.settings": "MADESettings PixelCNNSettings",
    "families.catalogue": "register_family",
    "families.family": "DataSpec Drawing Family StepContext Subject",
    "families.score_parts": "ScoreParts",
    "models.base": "ExactModel ImplicitModel LatentModel Model",
    "settings.data": "DataSettings",
    "settings.family": "FamilySettings",
    "settings.training": "TrainingSettings",
    "sweeps.worker": "Sweep sweep",
    "training.reporters": "Reporter",
}
_MODULES = {name: f"ancestral.{module}" for module, names in _PLACES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("ancestral")
    elif name in _MODULES:
        value = getattr(importlib.import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module 'ancestral' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Deep generative models: train, score and use them.

    import ancestral

    run = ancestral.fit("vae", "runs/first", data="digits", latents=2, epochs=20)
    score = ancestral.evaluate(run, samples=1000)   # a lower bound, labelled as one
    model = ancestral.load("runs/first")
    images = model.sample(64)

`ancestral.check_model(model)` checks any model, yours too, against the contract of its kind. `dir(ancestral)` lists all
public names; torch is imported once one of them that needs it is used.
"""

from typing import Any

from ancestral.core.public import exports

_get, __dir__, __all__ = exports(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name != "__version__":
        return _get(name)
    from importlib.metadata import version

    return version("ancestral")

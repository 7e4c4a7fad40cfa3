"""The three kinds of model, and the optional abilities of models."""

from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model

__all__ = ["ExactModel", "ImplicitModel", "LatentModel", "Model"]

"""The three kinds of model and the abilities that a model may have."""

from ancestral.models.base import ExactModel, ImplicitModel, LatentModel, Model

__all__ = ["ExactModel", "ImplicitModel", "LatentModel", "Model"]

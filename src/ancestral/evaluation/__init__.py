"""Scores of models, sample quality and detection."""

from ancestral.core.public import exports

__getattr__, __dir__, __all__ = exports(__name__, __file__)

"""Objectives and the log of a training."""

from ancestral.core.public import exports

__getattr__, __dir__, __all__ = exports(__name__, __file__)

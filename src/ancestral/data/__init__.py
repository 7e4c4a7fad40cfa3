"""Data sets, kinds of pixels, masks, and data with known densities."""

from ancestral.core.public import exports

__getattr__, __dir__, __all__ = exports(__name__, __file__)

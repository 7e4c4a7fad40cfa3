"""University of Amsterdam, Deep Learning, 2020, practical 3: VAEs, GANs and flows."""

from ancestral.studies.uva2020.recipe import STUDY

__all__ = ["STUDY"]

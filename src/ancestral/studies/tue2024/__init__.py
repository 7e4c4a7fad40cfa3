"""TU Eindhoven, 2AMU20, 2024, assignment 2: a VAE with a learned prior, learning rates, sample quality."""

from ancestral.studies.tue2024.recipe import STUDY

__all__ = ["STUDY"]

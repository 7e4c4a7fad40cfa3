"""A comparison of all families on MNIST."""

from ancestral.studies.families.recipe import STUDY

__all__ = ["STUDY"]

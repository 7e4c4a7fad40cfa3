"""All families side by side on MNIST."""

from ancestral.studies.families.recipe import STUDY

__all__ = ["STUDY"]

"""A comparison of all families on data whose distribution is known."""

from ancestral.studies.truth.recipe import STUDY

__all__ = ["STUDY"]

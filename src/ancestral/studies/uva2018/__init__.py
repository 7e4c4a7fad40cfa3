"""University of Amsterdam, Deep Learning, 2018, assignment 3: a mixture, sigmoid belief nets and a first VAE."""

from ancestral.studies.uva2018.recipe import STUDY

__all__ = ["STUDY"]

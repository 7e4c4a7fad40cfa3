"""CSDS 600, homework 1: MADE, KL divergences, pushforward densities, a convolutional Gaussian VAE."""

from ancestral.studies.csds600.recipe import STUDY

__all__ = ["STUDY"]

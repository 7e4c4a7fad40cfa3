"""The catalogue of drawings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ancestral.reports.pictures.completion import completions
from ancestral.reports.pictures.detection import frankenstein_sheet
from ancestral.reports.pictures.explanation import split, surprise
from ancestral.reports.pictures.latents import latents, posterior, traversals
from ancestral.reports.pictures.training import curves, vanishing_gradient

if TYPE_CHECKING:
    from matplotlib.figure import Figure

from ancestral.reports.pictures.density import deformation, density
from ancestral.reports.pictures.latents import interpolations, manifold, reconstructions, walks
from ancestral.reports.pictures.samples import components, neighbours, samples, steps

DRAWINGS: dict[str, Callable[..., Figure]] = {
    "samples": samples,
    "reconstructions": reconstructions,
    "interpolations": interpolations,
    "walks": walks,
    "manifold": manifold,
    "components": components,
    "steps": steps,
    "curves": curves,
    "vanishing-gradient": vanishing_gradient,
    "density": density,
    "deformation": deformation,
    "completions": completions,
    "latents": latents,
    "posterior": posterior,
    "traversals": traversals,
    "neighbours": neighbours,
    "frankenstein": frankenstein_sheet,
    "surprise": surprise,
    "split": split,
}

ON_REQUEST = ("vanishing-gradient",)
"""Drawings that train something first, and so are not on every page."""

"""Public names of `ancestral.figures`."""

from ancestral.figures.curves import learning_curves as learning_curves
from ancestral.figures.densities import Plane as Plane
from ancestral.figures.densities import draw_planes as draw_planes
from ancestral.figures.grids import image_grid as image_grid
from ancestral.figures.series import Curve as Curve

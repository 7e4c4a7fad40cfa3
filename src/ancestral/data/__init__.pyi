"""Public names of `ancestral.data`."""

from ancestral.data.anomalies import frankenstein as frankenstein
from ancestral.data.datasets import load_dataset as load_dataset
from ancestral.data.masks import seen_pixels as seen_pixels
from ancestral.data.pixels import PixelBatches as PixelBatches
from ancestral.data.pixels import PixelSpace as PixelSpace
from ancestral.data.toy import density_of as density_of

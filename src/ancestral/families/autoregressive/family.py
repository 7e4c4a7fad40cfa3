"""The records of the autoregressive models MADE and PixelCNN."""

from ancestral.families.autoregressive.settings import MADESettings, PixelCNNSettings
from ancestral.families.family import Family

NETWORK = {
    "network": "images (B, C, H, W) in [-1, 1] to the parameters of each pixel given the earlier ones in reading order"
}
HERE = "ancestral.families.autoregressive"
MADE = Family(
    name="made",
    settings=MADESettings,
    build=f"{HERE}.made:build_made",
    tiny=f"{HERE}.tiny:MADES",
    objective=f"{HERE}.objectives:objective_for",
    explorer=f"{HERE}.portable:autoregressive",
    networks=NETWORK,
)
PIXELCNN = Family(
    name="pixelcnn",
    settings=PixelCNNSettings,
    build=f"{HERE}.pixelcnn:build_pixelcnn",
    initialise=f"{HERE}.pixelcnn:begin_at_frequencies",
    tiny=f"{HERE}.tiny:PIXELCNNS",
    explorer=f"{HERE}.portable:autoregressive",
    networks=NETWORK,
)

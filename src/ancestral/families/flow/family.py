"""The record of the normalizing flows, of points and of images."""

from ancestral.families.family import Family
from ancestral.families.flow.settings import FlowSettings

HERE = "ancestral.families.flow"
FAMILY = Family(
    name="flow",
    settings=FlowSettings,
    build=f"{HERE}.points:build_flow",
    initialise=f"{HERE}.points:standardise",
    tiny=f"{HERE}.tiny:TINY",
    score_parts=f"{HERE}.score_parts:score_parts",
    explorer=f"{HERE}.portable:flow",
    networks={
        "conditioner": "a function (inputs, outputs) -> module, called once per coupling: (B, inputs) to (B, outputs), "
        "for images (B, inputs, H, W) to (B, outputs, H, W)"
    },
)

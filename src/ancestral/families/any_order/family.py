"""The record of the any-order autoregressive models."""

from ancestral.families.any_order.settings import AnyOrderSettings
from ancestral.families.family import Family

HERE = "ancestral.families.any_order"
FAMILY = Family(
    name="any-order",
    settings=AnyOrderSettings,
    build=f"{HERE}.build:build_any_order",
    tiny=f"{HERE}.tiny:TINY",
    initialise=f"{HERE}.initialise:begin_at_marginals",
    objective=f"{HERE}.objective:objective_for",
    held_out=f"{HERE}.objective:held_out",
    explorer=f"{HERE}.portable:any_order",
    networks={
        "predictor": "observed pixels (0 where a pixel is hidden) followed by the masks (1 where it is observed), as "
        "channels of one image, to the parameters of every pixel; with classes or a vector, one more channel for each "
        "class or entry"
    },
)

"""The handbook's diagrams, each drawn by a function."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

from building.svg import BLUE, FILL, GREEN, INK, NONE, ORANGE, PINK, SOFT, Canvas

SEVEN = ["######", "....#.", "...#..", "..#...", ".#....", ".#...."]
BLURRED = ["+####+", "....#+", "..+#+.", "..#+..", ".+#...", ".#+..."]


class Diagram(NamedTuple):
    """A drawing, and in words what it shows."""

    title: str
    description: str
    draw: Callable[[], Canvas]


def latent_variable_model() -> Canvas:
    c = Canvas(360, 170)
    c.box(200, 78, 300, 140, NONE, SOFT, 8)
    c.text(342, 138, "each image", SOFT, 12, "end")
    c.node(110, 74, "*z*")
    c.node(270, 74, "*x*", fill=FILL)
    c.arrow([(131, 68), (249, 68)])
    c.text(190, 54, "*p*(*x* | *z*)")
    c.arrow([(249, 82), (131, 82)], BLUE, dashed=True)
    c.text(190, 100, "*p*(*z* | *x*)", BLUE)
    c.arrow([(4, 74), (89, 74)])
    c.text(24, 58, "*p*(*z*)")
    c.text(110, 112, "latent", SOFT, 12)
    c.text(270, 112, "observed", SOFT, 12)
    return c


def encoder_and_decoder() -> Canvas:
    c = Canvas(400, 190)
    c.picture(32, 70, SEVEN, 8)
    c.text(32, 112, "*x*")
    c.arrow([(60, 70), (84, 70)])
    c.polygon([(85, 34), (139, 52), (139, 88), (85, 106)], FILL, INK)
    c.text(112, 70, "encoder", size=12)
    c.arrow([(139, 70), (161, 70)])
    c.block(179, 70, 34, 46, "*μ*\n*σ*", NONE)
    c.arrow([(197, 70), (217, 70)])
    c.node(235, 70, "*z*", 17)
    c.arrow([(253, 70), (275, 70)])
    c.polygon([(275, 52), (329, 34), (329, 106), (275, 88)], FILL, INK)
    c.text(302, 70, "decoder", size=12)
    c.arrow([(329, 70), (346, 70)])
    c.picture(371, 70, BLURRED, 8)
    c.text(371, 112, "*p*(*x* | *z*)", size=13)
    c.arrow([(235, 130), (235, 88)], ORANGE)
    c.text(235, 144, "*ε* from N(0, *I*)", ORANGE, 13)
    c.text(235, 30, "*z* = *μ* + *σε*", size=13)
    c.text(112, 144, "*q*(*z* | *x*)", BLUE, 13)
    c.line([(85, 126), (85, 130), (190, 130), (190, 126)], BLUE)
    c.text(200, 176, "train: left to right · sample: draw *z* from *p*(*z*), then decode", SOFT, 12)
    return c


INPUTS = (1, 2, 3, 4)  # degrees: of the pixels, of the units of two hidden layers, of the outputs
HIDDEN = (1, 1, 2, 2, 3)
COLOURS = {1: BLUE, 2: ORANGE, 3: GREEN, 4: PINK}


def kept(before: tuple[int, ...], after: tuple[int, ...], last: bool) -> list[tuple[int, int]]:
    """Index pairs of the connections that MADE keeps: degree m to m' if m <= m', to an output if m < m'."""
    pairs = [(i, j) for i in range(len(before)) for j in range(len(after))]
    return [(i, j) for i, j in pairs if (before[i] < after[j] if last else before[i] <= after[j])]


LAYERS = (INPUTS, HIDDEN, HIDDEN, INPUTS)


def masks() -> Canvas:
    c = Canvas(400, 300)
    columns = (50.0, 137.0, 221.0, 305.0)
    heights = [[150 + 52 * (i - (len(layer) - 1) / 2) for i in range(len(layer))] for layer in LAYERS]
    for k, (before, after) in enumerate(pairwise(LAYERS)):
        for i, j in kept(before, after, last=k == 2):
            ends = [(columns[k] + 14, heights[k][i]), (columns[k + 1] - 14, heights[k + 1][j])]
            c.line(ends, COLOURS[before[i]], 1.4)
    for k, layer in enumerate(LAYERS):
        for degree, y in zip(layer, heights[k], strict=True):
            c.circle(columns[k], y, 14, FILL if k == 0 else NONE, COLOURS[degree])
            c.text(columns[k], y, str(degree), COLOURS[degree], 13)
    for degree, y in zip(INPUTS, heights[0], strict=True):
        c.text(22, y, f"*x*_{degree}")
    earlier = ("", " | *x*_1", " | *x*_1, *x*_2", " | *x*_1, *x*_2, *x*_3")
    for degree, given, y in zip(INPUTS, earlier, heights[3], strict=True):
        c.text(323, y, f"*p*(*x*_{degree}{given})", size=11, anchor="start")
    for x, label in zip(columns, ("pixels", "hidden", "hidden", "outputs"), strict=True):
        c.text(x, 290, label, SOFT, 12)
    return c


def coupling_layer() -> Canvas:
    c = Canvas(380, 200)
    for y, name in ((45, "a"), (150, "b")):
        c.block(30, y, 44, 30, f"*x*_{name}", NONE)
        c.block(350, y, 44, 30, f"*z*_{name}", NONE)
    c.arrow([(52, 45), (328, 45)])
    c.text(240, 30, "unchanged", SOFT, 12)
    c.line([(120, 45), (120, 72)])
    c.arrow([(120, 45), (120, 78)])
    c.circle(120, 45, 2.5, INK)
    c.block(165, 95, 130, 32, "networks *t*, *s*")
    c.arrow([(135, 111), (135, 137)], BLUE)
    c.arrow([(215, 111), (215, 137)], ORANGE)
    c.text(127, 124, "*t*", BLUE, anchor="end")
    c.text(224, 124, "*e*^s", ORANGE, anchor="start")
    c.arrow([(52, 150), (122, 150)])
    c.node(135, 150, "+", 12)
    c.arrow([(147, 150), (202, 150)])
    c.node(215, 150, "×", 12)
    c.arrow([(227, 150), (328, 150)])
    c.text(190, 187, "log |det| = sum of *s*, since each *z*_b depends on one *x*_b only", SOFT, 12)
    return c


def two_players() -> Canvas:
    c = Canvas(400, 190)
    c.node(24, 60, "*z*", 18)
    c.arrow([(43, 60), (66, 60)])
    c.polygon([(67, 44), (139, 26), (139, 94), (67, 76)], FILL, INK)
    c.text(104, 60, "generator", size=12)
    c.arrow([(139, 60), (160, 60)])
    c.picture(186, 60, BLURRED, 8)
    c.text(186, 24, "*G*(*z*)", size=13)
    c.picture(186, 140, SEVEN, 8)
    c.text(120, 140, "real image *x*", size=13)
    c.arrow([(212, 60), (256, 90)])
    c.arrow([(212, 140), (256, 110)])
    c.polygon([(257, 64), (337, 82), (337, 118), (257, 136)], FILL, INK)
    c.text(297, 100, "discriminator", size=11)
    c.arrow([(337, 100), (358, 100)])
    c.text(380, 92, "*D*", size=13)
    c.text(380, 110, "0 … 1", size=12)
    c.line([(380, 80), (380, 12), (104, 12)], ORANGE, dashed=True)
    c.arrow([(104, 12), (104, 33)], ORANGE, dashed=True)
    c.text(300, 26, "gradient", ORANGE, 12)
    c.text(297, 152, "probability that", SOFT, 12)
    c.text(297, 167, "its input is real", SOFT, 12)
    return c


def dequantisation() -> Canvas:
    """Four levels, equally often; below, with noise, their bins and a density that has the same masses."""
    c = Canvas(400, 250)
    left, width, masses = 70.0, 70.0, (0.15, 0.4, 0.3, 0.15)
    for base, lower in ((95.0, False), (215.0, True)):
        c.line([(left - 10, base), (left + 4 * width + 14, base)], SOFT)
        for level in range(5 if lower else 4):
            x = left + level * width
            c.line([(x, base), (x, base + 4)], SOFT)
            c.text(x, base + 14, str(level), SOFT, 12)
    for level, mass in enumerate(masses):
        x = left + level * width
        c.line([(x, 95), (x, 95 - 170 * mass)], BLUE, 2.5)
        c.circle(x, 95 - 170 * mass, 4, BLUE, BLUE)
        high = 170 * mass
        c.box(x + width / 2, 215 - high / 2, width, high, FILL, BLUE, 0)
    curve = [
        (left + width * t, 215 - 170 * sum(m * _bump(t - k) for k, m in enumerate(masses)))
        for t in [0.05 * i - 0.1 for i in range(85)]
    ]
    c.line(curve, ORANGE, 2)
    c.text(40, 50, "*P*(*x*)", BLUE, anchor="end")
    c.text(40, 170, "*x* + *u*", BLUE, anchor="end")
    c.text(355, 150, "density *p*", ORANGE, 12, "middle")
    c.text(355, 30, "levels: points", SOFT, 12, "middle")
    c.text(220, 243, "*u* uniform in [0, 1): each level fills its bin", SOFT, 12)
    return c


def _bump(t: float) -> float:
    """A bin of width one with soft edges, whose integral is one."""
    return 1 / (1 + math.exp(-14 * t)) - 1 / (1 + math.exp(-14 * (t - 1)))


def bracket() -> Canvas:
    c = Canvas(400, 210)
    c.arrow([(40, 180), (390, 180)], SOFT)
    c.arrow([(40, 180), (40, 8)], SOFT)
    c.text(34, 18, "nats", SOFT, 12, "end")
    c.text(215, 198, "more draws, more temperatures", SOFT, 12)
    xs = [40.0 + 5 * i for i in range(69)]
    lower = [(x, 90 + 78 / (1 + 0.025 * (x - 40))) for x in xs]
    upper = [(x, 90 - 62 / (1 + 0.025 * (x - 40))) for x in xs]
    c.polygon([*lower, *reversed(upper)], FILL)
    c.line([(40, 90), (384, 90)], INK, dashed=True)
    c.line(lower, BLUE, 2)
    c.line(upper, ORANGE, 2)
    c.text(330, 58, "log *p*(*x*)")
    c.line([(330, 67), (330, 86)], SOFT, 1)
    c.text(105, 150, "lower bound", BLUE, 13, "start")
    c.text(105, 38, "upper bound", ORANGE, 13, "start")
    return c


DIAGRAMS = {
    "latent-variable-model": Diagram(
        "A latent-variable model",
        "A latent z is drawn from the prior p(z), then an observed image x from p(x given z). The posterior "
        "p(z given x) leads back from x to z. One z for each image.",
        latent_variable_model,
    ),
    "encoder-and-decoder": Diagram(
        "Encoder and decoder of a VAE",
        "An image x goes into the encoder, which returns a mean and a standard deviation. Noise from a standard normal "
        "distribution, scaled and shifted by them, gives z. The decoder turns z into a distribution of images.",
        encoder_and_decoder,
    ),
    "masks": Diagram(
        "The connections that the masks of a MADE with four inputs keep",
        "A network of four pixels, two hidden layers of five units and four outputs. Each node shows its degree. "
        "A connection to a hidden unit needs a degree that is not smaller; a connection to an output needs a larger "
        "degree. The first output has no connection.",
        masks,
    ),
    "coupling-layer": Diagram(
        "An affine coupling layer",
        "The part a of x is copied to z. Networks read it and compute t and s. The part b of x is shifted by t and "
        "multiplied by e to the power s, which gives the part b of z.",
        coupling_layer,
    ),
    "gan": Diagram(
        "A generative adversarial network",
        "The generator turns noise z into an image. The discriminator receives generated and real images and returns "
        "the probability that its input is real. The gradient of the discriminator's output trains the generator.",
        two_players,
    ),
    "dequantisation": Diagram(
        "Dequantisation: bins and noise",
        "Above, probabilities of the four levels 0 to 3 at four points. Below, uniform noise has spread each level "
        "over a bin of width one, and a smooth density follows the bins.",
        dequantisation,
    ),
    "bracket": Diagram(
        "Lower and upper bounds that enclose log p(x)",
        "A lower bound rises and an upper bound falls towards log p(x) as the number of draws and temperatures grows.",
        bracket,
    ),
}


def drawn(name: str, paper: str = NONE) -> str:
    """The SVG of a diagram."""
    diagram = DIAGRAMS[name]
    return diagram.draw().svg(f"diagram-{name}", diagram.title, diagram.description, paper)

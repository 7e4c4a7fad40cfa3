"""Shapes, arrows and labels of a diagram, as SVG that follows the page into its dark mode.

Colours are CSS variables of `_static/handbook.css`. Where there is no style sheet, as in a notebook, the colours beside
them hold.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

INK = "var(--diagram-ink, #1f2328)"
SOFT = "var(--diagram-soft, #59636e)"
FILL = "var(--diagram-fill, #eef1f4)"
BLUE = "var(--diagram-blue, #0072b2)"
ORANGE = "var(--diagram-orange, #b04a00)"
GREEN = "var(--diagram-green, #00795a)"
PINK = "var(--diagram-pink, #a8447f)"
NONE = "none"

MARK = re.compile(r"\*(.+?)\*|_(\w)|\^(\w)")
HEAD = 7.0  # length of an arrow's head

Point = tuple[float, float]


def spans(text: str) -> str:
    """A label: `*z*` is italic, `_1` a subscript, `^2` a superscript."""
    written, at, height = "", 0, 0.0
    for found in [*MARK.finditer(text), None]:
        plain = text[at : found.start() if found else None]
        pieces = [(plain, 0.0, "")] if plain else []
        if found:
            at = found.end()
            styles = ((0.0, ' font-style="italic"'), (4.0, ' font-size="72%"'), (-5.0, ' font-size="72%"'))
            pieces += [(word, *style) for word, style in zip(found.groups(), styles, strict=True) if word]
        for word, wanted, style in pieces:
            written += f'<tspan dy="{wanted - height:g}"{style}>{escape(word)}</tspan>'
            height = wanted
    return written


class Canvas:
    """A drawing of fixed width and height; x to the right, y downwards, in pixels of a phone's page."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.parts: list[str] = []

    def line(self, points: Sequence[Point], colour: str = INK, width: float = 1.5, dashed: bool = False) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
            f' stroke-linejoin="round"{dash}/>'
        )

    def arrow(self, points: Sequence[Point], colour: str = INK, width: float = 1.5, dashed: bool = False) -> None:
        """A line through points with a head at its end."""
        (x0, y0), (x1, y1) = points[-2:]
        length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
        u, v = (x1 - x0) / length, (y1 - y0) / length
        neck = (x1 - HEAD * u, y1 - HEAD * v)
        self.line([*points[:-1], neck], colour, width, dashed)
        half = 0.45 * HEAD
        self.polygon(
            [(x1, y1), (neck[0] - half * v, neck[1] + half * u), (neck[0] + half * v, neck[1] - half * u)], colour
        )

    def polygon(self, points: Sequence[Point], fill: str = FILL, stroke: str = NONE) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polygon points="{path}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>')

    def circle(self, x: float, y: float, radius: float, fill: str = NONE, stroke: str = INK) -> None:
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, fill: str = FILL, stroke: str = INK, round_: float = 4
    ) -> None:
        """A rectangle around its centre."""
        self.parts.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}" rx="{round_:g}"'
            f' fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'
        )

    def text(self, x: float, y: float, label: str, colour: str = INK, size: float = 14, anchor: str = "middle") -> None:
        """A label whose middle, start or end is at x and whose middle line is y."""
        self.parts.append(
            f'<text x="{x:g}" y="{y + 0.35 * size:g}" fill="{colour}" font-size="{size:g}" text-anchor="{anchor}">'
            f"{spans(label)}</text>"
        )

    def node(self, x: float, y: float, label: str, radius: float = 20, fill: str = NONE) -> None:
        self.circle(x, y, radius, fill)
        self.text(x, y, label)

    def block(self, x: float, y: float, width: float, height: float, label: str, fill: str = FILL) -> None:
        """A box with a label of one or more lines."""
        self.box(x, y, width, height, fill)
        lines = label.split("\n")
        for i, line in enumerate(lines):
            self.text(x, y + 17 * (i - (len(lines) - 1) / 2), line)

    def picture(self, x: float, y: float, cells: Sequence[str], size: float = 9, colour: str = INK) -> None:
        """A small image around its centre: `#` is a dark pixel, `+` a grey one."""
        high, wide = len(cells), len(cells[0])
        left, top = x - wide * size / 2, y - high * size / 2
        shade = {"#": "1", "+": "0.4"}
        for row, line in enumerate(cells):
            for column, cell in enumerate(line):
                if cell in shade:
                    self.parts.append(
                        f'<rect x="{left + column * size:g}" y="{top + row * size:g}" width="{size:g}"'
                        f' height="{size:g}" fill="{colour}" fill-opacity="{shade[cell]}"/>'
                    )
        self.box(x, y, wide * size, high * size, NONE, SOFT, 0)

    def svg(self, name: str, title: str, description: str, paper: str = NONE) -> str:
        """The drawing with its title and description, which screen readers read.

        Args:      name: unique on a page. paper: the colour behind it, for places whose colour is not known.
        """
        back = "" if paper == NONE else f'<rect width="100%" height="100%" fill="{paper}"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width:g} {self.height:g}"'
            f' width="{self.width:g}" height="{self.height:g}" role="img" font-family="sans-serif"'
            f' aria-labelledby="{name}-title {name}-description">'
            f'<title id="{name}-title">{escape(title)}</title>'
            f'<desc id="{name}-description">{escape(description)}</desc>'
            f"{back}{''.join(self.parts)}</svg>"
        )

"""Legends of single panels, for figures where each panel has its own legend."""

from __future__ import annotations

from typing import Any

from ancestral.figures.style import LINE_HEIGHT, TEXT_SIZE, UNIT, WIDTH, Page, draw_key, text_style, text_width

KEY_WIDTH, KEY_GAP = 18.0, 8.0  # points: of a key's line, and between two keys
Key = tuple[str, str, Any]  # label, colour, dashes


def key_rows(looks: dict[str, tuple[str, Any]], wide: float) -> list[list[Key]]:
    """The keys of one panel, in rows that fit into `wide` points unless a single key is wider."""
    rows: list[list[Key]] = []
    left = 0.0
    for label, look in looks.items():
        needed = text_width(label, TEXT_SIZE) + KEY_WIDTH
        if not rows or needed > left:
            rows.append([])
            left = wide
        rows[-1].append((label, *look))
        left -= needed + KEY_GAP
    return rows


def draw_keys(page: Page, panel: int, rows: list[list[Key]], left: float) -> None:
    """Draw rows of keys between the title and the plot of a panel, after the layout. left: of the panel, points."""
    figure = page.figure
    width, height = WIDTH / UNIT, figure.bbox.height / UNIT
    top = page.axes[panel].get_position().y1 * height
    for k, row in enumerate(reversed(rows)):
        x, y = left, top + 8 + k * TEXT_SIZE * LINE_HEIGHT
        for label, colour, dashes in row:
            draw_key(figure, (x, x + 7, x + 14), (y + 3,) * 3, colour, dashes)
            figure.text((x + 18) / width, y / height, label, **text_style())
            x += text_width(label, TEXT_SIZE) + KEY_WIDTH + KEY_GAP

"""What the theme leaves out for readers who cannot see or use a mouse: the level of headings in the list of pages."""

from __future__ import annotations

from typing import Any


def with_levels(app: Any, name: str, template: str, context: dict[str, Any], doctree: object) -> None:
    """Captions of the list of pages are marked as headings, and a heading has a level."""
    tree = context.get("furo_navigation_tree", "")
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Any) -> dict[str, bool]:
    app.connect("html-page-context", with_levels, priority=900)  # after the theme's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}

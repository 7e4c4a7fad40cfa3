"""The list at the top of a study: what was asked, and links to the tables, pictures and numbers that answer it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ancestral.reports.html import Report


@dataclass
class Entry:
    """One section in the list.

    Args:      links: (target, what it says) of tables and figures. numbers: the same of rows of other tables.
    """

    target: str
    title: str
    asked: str
    links: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, str]] = field(default_factory=list)


def entries_of(report: Report) -> list[Entry]:
    """The sections of a report in order, each with what it shows; numbering is that of the page."""
    entries = [Entry(f"section-{i}", one.title, one.asked) for i, one in enumerate(report.sections, 1)]
    tables = figures = 0
    for entry, section in zip(entries, report.sections, strict=True):
        for table in section.tables:
            tables += 1
            entry.links.append((f"table-{tables}", f"Table {tables}"))
            for row, to in sorted(table.row_links.items()):
                entries[to - 1].numbers.append((f"table-{tables}-row-{row + 1}", table.rows[row][0]))
        for _ in section.figures:
            figures += 1
            entry.links.append((f"figure-{figures}", f"Figure {figures}"))
    return entries

"""Tables as HTML, each cell a figure with a word below it. Everything is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """What stands in one place.

    Attributes:
        text: the figure.
        note: a line below it, smaller.
        strong: the figure is what the table is about.
    """

    text: str
    note: str = ""
    strong: bool = False


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """HTML of a table that scrolls by itself where it is too wide.

    Args:
        head: titles of the columns.
        rows: as many cells each.
    """
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto"><table class="pv-compare">'
        f"<thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.strong else escape(cell.text)
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f"<td>{text}{note}</td>"

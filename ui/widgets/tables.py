"""HTML tables whose cells contain a value and a note below it; all text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Cell:
    """The content of one table cell.

    Attributes:
        text: the value.
        note: a smaller line below it.
        strong: whether to emphasize the value.
        error: whether the value counts errors, and is to look like it.
    """

    text: str
    note: str = ""
    strong: bool = False
    error: bool = False


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *, first: int | None = None) -> str:
    """Return HTML of a table that scrolls horizontally if it is too wide.

    Args:
        head: titles of the columns.
        rows: rows with one cell per column.
        first: width of the first column in percent, so that tables below each other have their columns in
            line; default: what its cells need.
    """
    widths = "" if first is None else f'<colgroup><col style="width:{first}%"></colgroup>'
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        '<div style="overflow-x:auto" tabindex="0" role="group" aria-label="Table"><table class="pv-compare">'
        f"{widths}<thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.strong else escape(cell.text)
    if cell.error:
        text = f'<b class="pv-error">{escape(cell.text)}</b>'
    note = f"<small>{escape(cell.note)}</small>" if cell.note else ""
    return f"<td>{text}{note}</td>"

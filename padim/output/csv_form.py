"""The two forms of CSV: commas with decimal points, or semicolons with decimal commas."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from io import StringIO
from typing import Literal

__all__ = ["CSV_FORMS", "CsvForm", "form_line", "in_form"]

CsvForm = Literal["comma", "semicolon"]
CSV_FORMS: dict[CsvForm, str] = {"comma": "Comma, 1.5", "semicolon": "Semicolon, 1,5"}
"""The forms with their names on screen."""

_DECIMAL = re.compile(r"[+-]?\d+\.\d+([eE][+-]?\d+)?", re.ASCII)
_MARK = "\ufeff"


def form_line(cells: Iterable[object], form: CsvForm) -> str:
    """Return one line of CSV; in the form of semicolons decimal numbers get a comma for their point."""
    out = StringIO()
    if form == "comma":
        csv.writer(out).writerow(cells)
    else:
        csv.writer(out, delimiter=";").writerow(map(_with_comma, cells))
    return out.getvalue()


def in_form(content: bytes, form: CsvForm) -> bytes:
    """Return a CSV file of the program in another form; its byte order mark stays.

    Args:
        content: the file in the form of commas, UTF-8.
        form: the form that is asked for.
    """
    if form == "comma":
        return content
    text = content.decode("utf-8")
    marked = text.startswith(_MARK)
    rows = csv.reader(StringIO(text.removeprefix(_MARK), newline=""))
    return ((_MARK if marked else "") + "".join(form_line(row, form) for row in rows)).encode("utf-8")


def _with_comma(cell: object) -> object:
    text = str(cell)
    return text.replace(".", ",") if _DECIMAL.fullmatch(text) else cell

"""The two forms of CSV files."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.output.csv_form import in_form
from padim.output.results import csv_file

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=12)


def rows_of(content: bytes, delimiter: str) -> list[list[str]]:
    text = content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@given(st.lists(st.tuples(TEXTS, NUMBERS, st.integers()), min_size=1, max_size=8))
def test_semicolons_hold_the_same_cells_with_decimal_commas(rows: list[tuple[str, float, int]]) -> None:
    content = csv_file((f"{text};a", f"{number:.6g}", whole) for text, number, whole in rows)
    other = in_form(content, "semicolon")
    assert other.startswith("\ufeff".encode())
    for before, after in zip(rows_of(content, ","), rows_of(other, ";"), strict=True):
        assert after[0] == before[0], "text stays as it is"
        assert after[1] == before[1].replace(".", ",")
        assert after[2] == before[2]
    assert in_form(content, "comma") is content


@pytest.mark.parametrize("text", ["part.png", "1.2.3", "3 × 1.5", "'=1.5+2"])
def test_only_numbers_get_a_comma(text: str) -> None:
    assert rows_of(in_form(csv_file([(text, "2.5")]), "semicolon"), ";") == [[text, "2,5"]]

"""Errors of the inspection look like errors and can be filtered, also by defect type."""

from __future__ import annotations

from typing import Any

import pytest

from padim.analysis.metrics import Figure, KindFigures
from padim.decision.operating_points import Rate
from padim.decision.verdicts import VerdictCounts
from ui import evaluate
from ui.inspect import Row, Show


@pytest.mark.parametrize(
    ("label", "verdict", "shown"),
    [
        ("good", "reject", "false_reject"),
        ("good", "review", None),
        ("good", "accept", None),
        ("defect", "accept", "miss"),
        ("defect", "review", None),
        ("defect", "reject", None),
        (None, "reject", None),
        (None, "accept", None),
    ],
)
def test_labelled_images_are_filtered_by_their_error(label: Any, verdict: Any, shown: str | None) -> None:
    item: Any = None
    row = Row(item, 0, verdict, 0, label=label)
    errors: tuple[Show, ...] = ("false_reject", "miss")
    assert [name for name in errors if row.is_shown(name)] == ([shown] if shown else [])
    assert row.is_shown("all")


def test_defect_types_are_listed_with_the_worst_first() -> None:
    none = Figure(None, "not measured")
    kinds = [
        KindFigures(name, none, Rate.counted(caught, of), VerdictCounts(of - caught, 0, caught), none, none)
        for name, caught, of in (("chip", 6, 6), ("scratch", 1, 6), ("stain", 3, 6))
    ]
    report: Any = type("Report", (), {"kinds": kinds})
    head, rows = evaluate.errors_by_type(report)
    assert head[1] == "Missed defects (escapes)"
    assert [row[0].text for row in rows] == ["scratch", "stain", "chip"]
    assert [row[1].text for row in rows] == ["5 of 6", "3 of 6", "0 of 6"]
    assert [row[1].error for row in rows] == [True, True, False]
    assert rows[0][1].note == f"95 %: {(1 - kinds[1].caught.high) * 100:.0f} to 100 %"


def test_cells_of_errors_are_red_where_there_are_any() -> None:
    assert evaluate.cell_text("miss", 3) == ":red[Missed defects: 3]"
    assert evaluate.cell_text("miss", 0) == "Missed defects: 0"
    assert evaluate.cell_text("caught", 3) == "Defect, rejected: 3"

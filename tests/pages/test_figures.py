"""The tab Figures: its numbers are those of the records, and it says what is not known."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from padim import Padim
from padim.records.figures.error_costs import ErrorCostSettings
from padim.records.inspections import InspectionQuery, InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.records.workspace_settings import WorkspaceSettings
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.records.figures.a_line import ALine, record
from ui.app import workspace
from ui.figures import FigureTable

BEGIN = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=5)


def line_of(entry: Entry, model: Padim) -> ALine:
    """The line on which a model inspects."""
    value = model.state.fitted.quantizer.to_value
    rate = model.false_reject_rate_
    levels = model.state.part_scores(model.config.min_area)
    return ALine(
        entry.id,
        workspace.scoring_identity(entry),
        model.threshold_,
        1 / (value(2) - value(1)),
        np.array([value(int(one)) for one in levels]),
        (rate.expected, rate.upper, rate.n),
    )


@pytest.fixture
def recorded(add_model: AddModel, small_model: Padim, home: Path) -> Callable[..., Entry]:
    """Record inspections of a model in the workspace."""

    def make(number: int = 150, **given: float) -> Entry:
        entry = add_model("Flange")
        record(
            home,
            line_of(entry, small_model),
            number,
            begin=BEGIN,
            every=timedelta(minutes=40),
            **{"decided": 1.0, "audit": 0.3, "second": 0.5, "defective": 0.2, "drift": 4.0, **given},  # type: ignore[arg-type]
        )
        return entry

    return make


def test_without_records_it_says_where_they_come_from() -> None:
    page = Session("figures")
    assert "No figures yet" in page.text
    page.click("figures-inspect")


def test_every_figure_is_drawn_and_the_key_numbers_are_those_of_the_records(
    recorded: Callable[..., Entry], home: Path
) -> None:
    recorded()
    page = Session("figures")
    records = InspectionRecords(home)
    rejected = records.count(InspectionQuery(verdicts=["reject"]))
    confirmed = records.count(InspectionQuery(verdicts=["reject"], decision="reject"))
    overkill = records.count(InspectionQuery(verdicts=["reject"], decision="accept"))
    for shown in (
        f"{records.count():,}",
        f"{rejected:,} (",
        f"<dd>{confirmed:,}</dd>",
        f"<dd>{overkill:,} (",
    ):
        assert shown in page.text
    assert f"{overkill} of {overkill + confirmed}" in page.text
    for by in ("hour", "shift", "lot", "station", "version"):
        page.set("segmented_control", "figures-by-counts", by)
    expected = {
        "missed": "drawn at random",
        "reviewers": "Cohen’s kappa, the agreement beyond chance",
        "defects": "by the place of their centers",
        "rejects": "more rejects than that explains",
        "drift": "above its limits since",
        "costs": "the defects accepted",
    }
    for section, words in expected.items():
        page.set("segmented_control", "figures-section", section)
        assert words in page.text
        assert page.app.get("plotly_chart")
    page.set("segmented_control", "figures-section", "drift")
    assert "brightness rose by" in page.text
    # A filter that leaves one lot.
    (lot,) = [one for one in page.app.selectbox if (one.key or "").startswith("figures-lot")]
    lot.set_value("L2")
    page.run()
    assert f"{records.count(InspectionQuery(lot='L2')):,}</dd>" in page.text


def test_what_nobody_has_decided_is_not_known(recorded: Callable[..., Entry], home: Path) -> None:
    recorded(number=60, decided=0.0)
    page = Session("figures")
    assert "no audit yet" in page.text
    assert "Nobody has decided a reject yet" in page.text
    expected = {
        "missed": "No audit yet",
        "reviewers": "No second opinions yet",
        "defects": "No decisions yet",
        "costs": "No decisions yet",
    }
    for section, words in expected.items():
        page.set("segmented_control", "figures-section", section)
        assert words in page.text
    # A decision counts at once.
    page.set("segmented_control", "figures-section", "counts")
    (first, *_) = InspectionRecords(home).page(InspectionQuery(verdicts=["reject"])).items
    ReviewRecords(home).decide(first.id, "Anna", "accept")
    assert "1 of 1" in page.run().text


def test_costs_are_typed_once(recorded: Callable[..., Entry], home: Path) -> None:
    entry = recorded(number=60)
    page = Session("figures").set("segmented_control", "figures-section", "costs")
    assert "examples until you save" in page.text
    page.app.number_input(key=f"figures-miss-{entry.id}").set_value(500.0)
    page.app.number_input(key=f"figures-defective-{entry.id}").set_value(2.0)
    page.click(f"figures-costs-save-{entry.id}")
    assert "examples until you save" not in page.text
    stored = WorkspaceSettings(home, entry.id).get(ErrorCostSettings)
    assert (stored.missed_defect, stored.defective) == (500.0, 0.02)
    again = Session("figures").set("segmented_control", "figures-section", "costs")
    assert again.app.number_input(key=f"figures-miss-{entry.id}").value == 500.0
    page.app.number_input(key=f"figures-miss-{entry.id}").set_value(0.0)
    page.app.number_input(key=f"figures-false-{entry.id}").set_value(0.0)
    page.click(f"figures-costs-save-{entry.id}")
    assert "must cost something" in page.text


def test_a_table_as_csv_holds_no_formula() -> None:
    table = FigureTable.of(
        ("type", "defects", "share"), [("=HYPERLINK(1)", 3, 0.12345678), ("dent", -1, None)]
    )
    rows = list(csv.reader(io.StringIO(table.csv().decode("utf-8-sig"))))
    assert rows == [["type", "defects", "share"], ["'=HYPERLINK(1)", "3", "0.123457"], ["dent", "-1", ""]]

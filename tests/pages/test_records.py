"""The Records page: the list and its filters, one record in full, exports, and what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import update

from padim.data.datasets import open_dataset
from padim.records.database import RecordsDatabase
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.records.schema import EVIDENCE
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from tests.pages.session import Session
from tests.recorded import new
from tests.records.test_exports import image
from ui import records
from ui.jobs import watch


@pytest.fixture
def filled(home: Path) -> Path:
    """A workspace with 60 inspections of two lots; the first was reviewed."""
    store = InspectionRecords(home, draw=lambda: 0.999)
    store.add(
        [
            new(
                number,
                3.0 if number < 20 else 1.0,
                data=image(number),
                context={"lot": "early" if number < 20 else "late", "serial": f"S{number}"},
            )
            for number in range(60)
        ]
    )
    reviews = ReviewRecords(home)
    reviews.decide(1, "Anna", "reject", "scratch", "by the edge")
    reviews.decide(1, "Ben", "accept", second=True)
    return home


def table(page: Session) -> list[str]:
    return list(page.app.dataframe[0].value["Name"])


def test_without_records_the_page_says_what_makes_them(home: Path) -> None:
    assert "No records yet" in Session("records").text


def test_the_list_is_filtered_and_turned(filled: Path) -> None:
    page = Session("records")
    assert table(page)[0] == "part 0059.png"
    assert len(table(page)) == records.PAGE
    assert "1 to 50 of 60" in page.text
    page.click("records-next")
    assert table(page)[-1] == "part 0000.png"
    assert "51 to 60 of 60" in page.text
    page.set("selectbox", "records-verdict", "reject")
    assert len(table(page)) == 20
    assert "1 to 20 of 20 found, of 60 on record" in page.text
    page.set("selectbox", "records-decision", "reject")
    assert table(page) == ["part 0000.png"]
    page.set("selectbox", "records-decision", None).set("selectbox", "records-lot", "late")
    assert "No record is like that" in page.text
    page.set("selectbox", "records-verdict", None).set("text_input", "records-contains", "s42")
    assert table(page) == ["part 0042.png"]


def test_a_record_is_opened_in_full(filled: Path) -> None:
    page = Session("records", record="1")
    for words in (
        *("part 0000.png", "Reject", "S0", "early", "Anna", "by the edge", "scratch"),
        *("Second opinion: accepted", "contradict each other", "no longer on this server", "10 × 8 px"),
    ):
        assert words in page.text, words
    assert "No longer kept" not in page.text
    page.click("record-back")
    assert table(page)[0] == "part 0059.png"
    assert "There is no record 99" in Session("records", record="99").text


def test_a_record_opens_with_what_is_left(filled: Path) -> None:
    store = InspectionRecords(filled)
    one = store.get(1)
    assert one is not None
    store.files.original_path(one.sha256).unlink()
    store.files.map_path(one.uid).unlink()
    page = Session("records", record="1")
    assert "Small image" in page.text
    assert "the file of the image is gone" in page.text
    with RecordsDatabase(filled).writing() as connection:
        connection.execute(update(EVIDENCE).values(thumbnail=None))
    page = Session("records", record="1")
    assert "No image is kept" in page.text
    assert "Anna" in page.text


def test_what_the_filters_select_is_exported(filled: Path) -> None:
    page = Session("records").set("selectbox", "records-verdict", "reject")
    page.set("selectbox", "records-export-kind", "coco").click("records-export")
    job = next(job for job in watch.registry()._jobs.values() if job.key.startswith("records-export"))
    assert "1 record in it" in page.text
    assert [sample.kind for sample in open_dataset(job.result.path).samples.values()] == ["scratch"]


def test_what_is_kept_is_set(filled: Path) -> None:
    page = Session("records")
    assert "20 original images" in page.text
    page.app.radio(key="records-keep").set_value("none")
    page.click("records-originals-save")
    assert WorkspaceSettings(filled).get(OriginalsSettings).keep == "none"

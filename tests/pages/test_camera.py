"""The camera on Inspect, Run: each image is scored, listed and recorded like an upload, named by the time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import streamlit as st

from padim.records.inspections import InspectionRecords
from padim.storage.model_folders import Entry
from tests.pages.session import AddModel, Session
from tests.parts import defects
from ui import run_records

ONE, TWO = (data for _, data in defects(2) if isinstance(data, bytes))


def opened(entry: Entry) -> Session:
    page = Session("run", model=entry.id)
    return page.set("segmented_control", "tests-origin", "camera")


def take(page: Session, data: bytes) -> Session:
    page.app.camera_input[0].set_value(("camera.jpg", data, "image/jpeg"))
    return page.run()


def test_each_image_is_scored_listed_and_recorded(add_model: AddModel, home: Path) -> None:
    page = opened(add_model("Plate"))
    assert "No image? The computer needs a camera" in page.text
    for number, data in enumerate((ONE, TWO), 1):
        take(page, data)
        assert page.app.camera_input[0].value is None, "it is ready for the next image"
        assert f"{number} on record" in page.text
    found = InspectionRecords(home).page().items
    assert len(found) == 2
    for one in found:
        assert re.fullmatch(r"camera \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\.jpg", one.name)
        assert one.source == "app"


def test_no_pattern_reads_the_name_of_the_time(add_model: AddModel, home: Path) -> None:
    page = opened(add_model("Plate"))
    fields = page.app.session_state[f"padim:{run_records.SessionFields.__module__}.SessionFields"]
    fields.pattern, fields.values = "{lot}-{serial}", {"lot": "A7"}
    page.run()
    take(page, ONE)
    (one,) = InspectionRecords(home).page().items
    assert (one.lot, one.serial) == ("A7", "")


def test_what_is_no_image_is_named(add_model: AddModel) -> None:
    page = take(opened(add_model("Plate")), b"no image")
    assert "camera " in page.text
    assert "1 file cannot be used" in [one.label for one in page.app.expander]


@pytest.mark.parametrize(
    ("url", "works"),
    [
        ("http://127.0.0.1:8501/inspect", True),
        ("http://localhost:8501/inspect", True),
        ("https://line-3.example.com/inspect", True),
        ("http://line-3.example.com/inspect", False),
    ],
)
def test_browsers_open_no_camera_for_other_machines_without_https(
    url: str, works: bool, add_model: AddModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(st.context), "url", property(lambda _: url))
    page = opened(add_model("Plate"))
    assert bool(page.app.camera_input) is works
    assert ("only for addresses with https" in page.text) is not works

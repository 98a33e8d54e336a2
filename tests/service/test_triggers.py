"""A machine names a file and gets its result; what it may not name is said, and nothing counts twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from padim import Padim
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.sink_parts import TriggerSettings
from padim.service.triggers import FileTrigger
from tests.parts import part, png
from tests.service.conftest import PART_NUMBER, Line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is allowed, with a good part and a defect, and a file outside of it."""
    (tmp_path / "in" / "today").mkdir(parents=True)
    (tmp_path / "in" / "today" / "good.png").write_bytes(png(part(101)))
    (tmp_path / "in" / "bad.png").write_bytes(png(part(100, defect=True)))
    (tmp_path / "in" / "torn.png").write_bytes(png(part(100))[:200])
    (tmp_path / "secret.png").write_bytes(png(part(100)))
    (tmp_path / "in" / "link.png").symlink_to(tmp_path / "secret.png")
    return tmp_path / "in"


@pytest.fixture
def trigger(line: Line, folder: Path) -> FileTrigger:
    return FileTrigger(
        line.root, TriggerSettings(folder=str(folder), target=line.model_id, station="ST-1"), who="PLC 1"
    )


def test_a_file_is_inspected_as_everywhere_and_put_on_record(
    line: Line, folder: Path, trigger: FileTrigger, small_model: Padim
) -> None:
    expected = next(iter(small_model.predict([("bad.png", (folder / "bad.png").read_bytes())])))
    found = trigger({"path": "bad.png", "serial": " SN  7 ", "part_number": PART_NUMBER, "lot": "L1"})
    assert (found["verdict"], found["score_level"]) == (expected.verdict, expected.score_level)
    assert "error" not in found
    (kept,) = InspectionRecords(line.root).iterate(InspectionQuery())
    assert (kept.uid, kept.source, kept.who) == (found["id"], "trigger", "PLC 1")
    assert (kept.serial, kept.part_number, kept.lot, kept.station) == ("SN 7", PART_NUMBER, "L1", "ST-1")
    absolute = trigger({"path": str(folder / "today" / "good.png"), "station": "ST-2"})
    assert absolute["verdict"] == "accept"
    assert absolute["station"] == "ST-2"


def test_a_repeated_request_is_on_record_once_and_another_part_is_not_taken_for_it(
    line: Line, trigger: FileTrigger
) -> None:
    first = trigger({"path": "bad.png", "id": 1})
    again = trigger({"path": "bad.png", "id": "1"})
    assert again["id"] == first["id"]
    assert again["request"] == "1"
    other = trigger({"path": "today/good.png", "id": "1"})  # the controller counts from 1 again
    assert other["verdict"] == "accept"
    assert InspectionRecords(line.root).count() == 2


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"path": "../secret.png"}, "not below an allowed folder"),
        ({"path": "link.png"}, "not below an allowed folder"),
        ({"path": "/etc/passwd"}, "not below an allowed folder"),
        ({"path": "none.png"}, "there is no such file"),
        ({"path": "torn.png"}, "damaged or cut short"),
        ({}, "names no file"),
        ({"path": ["a"]}, "must be a text"),
        ({"path": "bad.png", "seriall": "1"}, "did you mean “serial”"),
        ({"path": "bad.png", "part_number": "FL-999"}, "has no model"),
    ],
)
def test_what_cannot_be_inspected_is_said_and_not_on_record(
    line: Line, trigger: FileTrigger, request_: dict[str, Any], said: str
) -> None:
    found = trigger(request_ | {"id": "r1"})
    assert said in found["error"]
    assert "verdict" not in found
    assert found["request"] == "r1"
    assert InspectionRecords(line.root).count() == 0


def test_without_a_model_the_part_number_chooses_it(line: Line, folder: Path) -> None:
    trigger = FileTrigger(line.root, TriggerSettings(folder=str(folder)))
    assert trigger({"path": "bad.png", "part_number": PART_NUMBER})["model_id"] == line.model_id
    assert "send “part_number”" in trigger({"path": "bad.png"})["error"]


def test_a_file_beyond_the_limit_names_the_setting(line: Line, folder: Path) -> None:
    trigger = FileTrigger(
        line.root, TriggerSettings(folder=str(folder), target=line.model_id, megabytes=0.001)
    )
    assert "“megabytes” of the trigger" in trigger({"path": "bad.png"})["error"]


def test_requests_beyond_the_queue_are_told_to_come_again(line: Line, folder: Path) -> None:
    trigger = FileTrigger(line.root, TriggerSettings(folder=str(folder), target=line.model_id))
    answers: list[dict[str, Any]] = []
    with trigger._turn:
        threads = [
            threading.Thread(target=lambda: answers.append(trigger({"path": "none.png"}))) for _ in range(64)
        ]
        for thread in threads:
            thread.start()
        while trigger._waiting < 64:
            pass
        assert "ask again later" in trigger({"path": "bad.png"})["error"]
    for thread in threads:
        thread.join()
    assert len(answers) == 64
    assert trigger._waiting == 0

"""CSV files that another program reads: whole lines, each once, whatever happens in between."""

from __future__ import annotations

import csv
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from padim.records.sink_settings import CsvDropSettings
from padim.service.sinks.base import SinkAwayError
from padim.service.sinks.csv_drop import CSV_DROP_COLUMNS, CsvDropSink
from tests.service.sinking import message

DAY = "inspections-2026-03-02.csv"


def opened(folder: Path, **given: Any) -> CsvDropSink:
    sink = CsvDropSink(CsvDropSettings(**{"name": "line", "folder": str(folder), **given}), folder)
    sink.open()
    return sink


def rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8-sig")
    assert text.endswith("\r\n")
    return list(csv.DictReader(StringIO(text, newline=""), delimiter=delimiter))


def test_a_file_a_day_has_a_line_for_each_inspection(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    first, second = message(name="Teil ü.png"), message(name="b\nc.png", reasons=["a", "b"])
    other_day = message(inspected="2026-03-03T23:59:59.000000Z")
    for one in (first, second, other_day):
        sink.send(one)
    assert sorted(one.name for one in tmp_path.iterdir()) == [DAY, "inspections-2026-03-03.csv"]
    found = rows(tmp_path / DAY)
    assert [one["message_id"] for one in found] == [first.uid, second.uid]
    assert [one["name"] for one in found] == ["Teil ü.png", "b c.png"]
    assert tuple(found[0]) == CSV_DROP_COLUMNS
    assert (found[0]["verdict"], found[0]["score"], found[0]["regions"]) == ("reject", "3.0", "1")
    assert found[1]["reasons"] == "a; b"


def test_a_formula_in_a_name_is_no_formula(tmp_path: Path) -> None:
    opened(tmp_path).send(message(name="=cmd|' /C calc'!A0"))
    assert rows(tmp_path / DAY)[0]["name"].startswith("'=")


def test_what_comes_again_is_written_once(tmp_path: Path) -> None:
    one, other = message(), message()
    for each in (one, other, one):
        opened(tmp_path).send(each)
    assert [row["message_id"] for row in rows(tmp_path / DAY)] == [one.uid, other.uid]


@pytest.mark.parametrize("left", [1, 40, 300])
def test_half_a_line_is_replaced_by_the_whole(tmp_path: Path, left: int) -> None:
    """As after a power failure, wherever in the line it was."""
    first, second = message(), message()
    sink = opened(tmp_path)
    sink.send(first)
    before = (tmp_path / DAY).stat().st_size
    sink.send(second)
    whole = (tmp_path / DAY).read_bytes()
    os.truncate(tmp_path / DAY, min(before + left, len(whole) - 1))
    opened(tmp_path).send(second)
    assert (tmp_path / DAY).read_bytes() == whole


def test_a_file_for_each_inspection(tmp_path: Path) -> None:
    sink = opened(tmp_path, per="inspection", form="semicolon", prefix="line 4")
    one = message()
    sink.send(one)
    sink.send(one)
    (path,) = tmp_path.iterdir()
    assert path.name == f"line 4-20260302T060100-{one.uid}.csv"
    (row,) = rows(path, ";")
    assert row["score"] == "3,0"


def test_alarms_and_tests_have_files_of_their_own(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.send(message("alarm"))
    sink.send(message("test", text="Is it there?"))
    assert rows(tmp_path / "inspections-alarms.csv")[0]["text"] == "The disk is full."
    assert rows(tmp_path / "inspections-tests.csv")[0]["text"] == "Is it there?"


def test_a_share_that_is_gone_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    sink = opened(share)
    share.rmdir()
    with pytest.raises(SinkAwayError, match="there is no such folder; make it, or connect the share"):
        sink.send(message())
    assert sink.health()
    assert not share.exists()


def test_a_file_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / DAY).mkdir()  # also root cannot write there
    with pytest.raises(SinkAwayError, match="cannot be written"):
        opened(tmp_path).send(message())

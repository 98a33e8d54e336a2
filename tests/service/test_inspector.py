"""Inspecting a group of images: the same verdicts as everywhere, each on record once."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence

import pytest

from padim import Padim
from padim.errors import StorageError
from padim.records.inspection import InspectionContext, NewInspection
from padim.records.inspections import InspectionRecords
from padim.service.inspecting_models import InspectingModel, InspectingModels
from padim.service.inspector import InspectionRequest, Inspector
from tests.parts import part, png
from tests.service.conftest import PART_NUMBER, Line

CONTEXT = InspectionContext("Ann", "service", part_number=PART_NUMBER, lot="L1")


@pytest.fixture
def using(line: Line) -> InspectingModel:
    return InspectingModels(line.root).of_model(line.model_id)


def request(seed: int, *, defect: bool = False) -> InspectionRequest:
    return InspectionRequest(f"part {seed}.png", png(part(seed, defect=defect)), CONTEXT)


def test_results_are_those_of_the_model_and_of_the_record(
    line: Line, using: InspectingModel, small_model: Padim
) -> None:
    requests = [request(seed, defect=seed % 2 == 0) for seed in range(100, 108)]
    results = Inspector().inspect(requests, using)
    expected = list(small_model.predict([(one.name, one.content) for one in requests]))
    records = InspectionRecords(line.root)
    for one, same, asked in zip(results, expected, requests, strict=True):
        assert one.document is not None
        assert one.prediction is not None
        assert one.uid == asked.uid == one.document["id"]
        assert one.document["score_level"] == same.score_level
        assert one.document["verdict"] == same.verdict
        assert (one.prediction.mask == same.mask).all()
        assert one.record_id is not None
        kept = records.get(one.record_id)
        assert kept is not None
        assert (kept.score_level, kept.verdict, kept.lot) == (same.score_level, same.verdict, "L1")
        assert kept.version_number == 1
        json.dumps(one.document, allow_nan=False)
    assert {one.document["verdict"] for one in results if one.document} == {"accept", "reject"}


def test_what_is_asked_for_again_is_neither_scored_nor_recorded_again(
    line: Line, using: InspectingModel
) -> None:
    asked = request(100, defect=True)
    first, second = Inspector().inspect([asked, asked], using)
    third = Inspector().inspect([asked], using)[0]
    assert [one.repeated for one in (first, second, third)] == [False, True, True]
    assert first.document == second.document == third.document
    assert first.record_id == second.record_id == third.record_id
    assert third.prediction is None
    assert InspectionRecords(line.root).count() == 1


def test_a_bad_image_costs_only_itself(line: Line, using: InspectingModel) -> None:
    bad = InspectionRequest("part 7.png", b"no image", CONTEXT)
    results = Inspector().inspect([request(100), bad, request(101)], using)
    assert [bool(one.error) for one in results] == [False, True, False]
    assert results[1].document is None
    assert results[1].name == "part 7.png"
    assert InspectionRecords(line.root).count() == 2


def test_without_its_database_an_image_is_inspected_and_recorded_later(
    line: Line, using: InspectingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageError("the disk is full")

    inspector = Inspector()
    with monkeypatch.context() as patch:
        patch.setattr(InspectionRecords, "add", away)
        results = inspector.inspect([request(100)], using)
    assert results[0].problem == "the disk is full"
    assert results[0].document is not None
    again = inspector.record(results, using.root)
    assert again[0].problem == ""
    assert again[0].record_id is not None
    assert InspectionRecords(line.root).count() == 1
    assert inspector.record(again, using.root) == again


def test_one_that_the_database_does_not_take_costs_only_itself(
    line: Line, using: InspectingModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = InspectionRecords.add

    def choosy(self: InspectionRecords, new: Sequence[NewInspection]) -> list[int]:
        if any(one.name == "part 101.png" for one in new):
            raise ValueError("no such text")
        return add(self, new)

    monkeypatch.setattr(InspectionRecords, "add", choosy)
    results = Inspector().inspect([request(100), request(101), request(102)], using)
    assert [bool(one.problem) for one in results] == [False, True, False]
    assert InspectionRecords(line.root).count() == 2


def test_nothing_is_recorded_where_that_is_not_wanted(line: Line, using: InspectingModel) -> None:
    results = Inspector(record=False).inspect([request(100)], using)
    assert results[0].document is not None
    assert results[0].record_id is None
    assert results[0].problem == ""
    assert InspectionRecords(line.root).count() == 0


def test_an_inspection_has_32_hex_digits_of_its_own() -> None:
    first, second = request(1), request(1)
    assert first.uid != second.uid
    assert uuid.UUID(first.uid).hex == first.uid

"""The order of the review queue: audits are where nobody expects them, and nothing moves by a decision."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from padim.records.inspection import InspectionVerdict
from padim.records.inspection_query import InspectionOrder, InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.review_queue import next_inspections
from padim.records.reviews import ReviewRecords
from tests.recorded import new

WAITING = InspectionQuery(waits=True)
# Of 30 images every fifth is accepted, and drawn.
NUMBER, EVERY = 30, 5


@pytest.fixture
def records(tmp_path: Path) -> InspectionRecords:
    found = InspectionRecords(tmp_path, draw=lambda: 0.0)
    found.add([new(i, 1.0 if i % EVERY == 0 else 2.5 + i / 10) for i in range(NUMBER)])
    return found


def names(records: InspectionRecords, order: InspectionOrder = "worst", number: int = NUMBER) -> list[int]:
    return [one.id for one in next_inspections(records, WAITING, order, number)]


@pytest.mark.parametrize("order", ["worst", "nearest"])
def test_audits_are_spread_evenly_and_the_others_keep_their_order(
    records: InspectionRecords, order: InspectionOrder
) -> None:
    queue = next_inspections(records, WAITING, order, NUMBER)
    assert len({one.id for one in queue}) == NUMBER
    others = [one.severity for one in queue if not one.audited]
    assert others == sorted(others, reverse=order == "worst")
    places = [place for place, one in enumerate(queue) if one.audited]
    assert len(places) == NUMBER // EVERY
    assert {after - before for before, after in pairwise(places)} == {5}


def test_working_through_the_queue_meets_everyone_once_in_the_order_that_was_shown(
    records: InspectionRecords, tmp_path: Path
) -> None:
    reviews, shown_first = ReviewRecords(tmp_path), names(records)
    met = []
    for _ in range(NUMBER):
        shown = names(records, number=4)
        met.append(shown[0])
        reviews.decide(shown[0], "Anna", "accept")
        # The next one has been loaded by then: it must be the one that comes.
        assert names(records, number=3) == shown[1:4]
    assert met == shown_first
    assert names(records) == []


def test_a_filter_that_leaves_only_audits_shows_them(records: InspectionRecords) -> None:
    verdicts: tuple[InspectionVerdict, ...] = ("accept",)
    accepted = InspectionQuery(waits=True, verdicts=verdicts)
    assert len(next_inspections(records, accepted, "worst", 50)) == NUMBER // EVERY


def test_without_audits_the_order_decides_alone(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    rows = records.add([new(0, 3.0), new(1, 5.0), new(2, 1.0), new(3, 4.0)])
    assert names(records) == [rows[1], rows[3], rows[0]]


def test_second_opinions_begin_with_what_the_first_person_was_not_sure_of(
    records: InspectionRecords, tmp_path: Path
) -> None:
    reviews, queue = ReviewRecords(tmp_path), names(records)
    for place, row in enumerate(queue[:6]):
        reviews.decide(row, "Anna", "unsure" if place == 3 else "reject")
    second = InspectionQuery(second_for="Ben")
    found = [one.id for one in next_inspections(records, second, "worst", 3)]
    assert found[0] == queue[3]
    assert len(set(found)) == 3
    assert next_inspections(records, InspectionQuery(second_for="Anna"), "worst", 3) == []

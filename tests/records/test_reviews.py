"""Reviews: events are never changed, and what an inspection shows follows from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from padim.errors import PadimError
from padim.records.database import RecordsDatabase
from padim.records.inspection import Inspection
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.reviews import AlreadyDecidedError, ReviewEvent, ReviewOutcome, ReviewRecords, outcome_of
from padim.records.schema import REVIEWS
from tests.recorded import new

ON_EACH_DATABASE = True

PEOPLE = ("Anna", "Ben")


@pytest.fixture
def desk(tmp_path: Path) -> tuple[InspectionRecords, ReviewRecords, list[int]]:
    """Three rejects and one accepted part on record."""
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    rows = records.add([new(0), new(1), new(2), new(3, 1.0)])
    return records, ReviewRecords(tmp_path), rows


Desk = tuple[InspectionRecords, ReviewRecords, list[int]]


def shown(records: InspectionRecords, row: int) -> Inspection:
    """Return an inspection that is on record."""
    found = records.get(row)
    assert found is not None
    return found


def test_a_decision_takes_it_out_of_the_queue_and_an_undo_puts_it_back(desk: Desk) -> None:
    records, reviews, rows = desk
    event = reviews.decide(rows[0], "Anna", "reject", "scratch", "deep")
    found = shown(records, rows[0])
    assert (found.waits, found.decision, found.decided_by, found.defect_type) == (
        False,
        "reject",
        "Anna",
        "scratch",
    )
    assert found.decided_at == event.at
    undone = reviews.undo("Anna")
    assert undone is not None
    assert undone.undoes == event.id
    found = shown(records, rows[0])
    assert (found.waits, found.decision, found.decided_by, found.defect_type) == (True, None, None, "")
    assert [one.kind for one in reviews.events(rows[0])] == ["decision", "undo"]
    assert reviews.undo("Anna") is None


def test_undo_takes_back_ones_own_latest_only(desk: Desk) -> None:
    records, reviews, rows = desk
    reviews.decide(rows[0], "Anna", "reject")
    reviews.decide(rows[1], "Anna", "accept")
    reviews.decide(rows[2], "Ben", "accept")
    reviews.undo("Anna")
    assert [shown(records, row).decision for row in rows] == ["reject", None, "accept", None]
    reviews.undo("Anna")
    assert [shown(records, row).decision for row in rows] == [None, None, "accept", None]
    assert reviews.last_of("Anna") is None


def test_somebody_elses_decision_is_not_overwritten(desk: Desk) -> None:
    records, reviews, rows = desk
    reviews.decide(rows[0], "Anna", "reject")
    with pytest.raises(AlreadyDecidedError, match=r"decided by Anna meanwhile \(reject\)") as caught:
        reviews.decide(rows[0], "Ben", "accept")
    assert caught.value.by == "Anna"
    assert shown(records, rows[0]).decision == "reject"
    reviews.decide(rows[0], "Anna", "accept")  # one's own can be replaced
    assert shown(records, rows[0]).decision == "accept"
    assert len(reviews.events(rows[0])) == 2


def test_second_opinions_and_disagreements(desk: Desk) -> None:
    records, reviews, rows = desk
    with pytest.raises(PadimError, match="no first opinion"):
        reviews.decide(rows[0], "Ben", "accept", second=True)
    reviews.decide(rows[0], "Anna", "reject", "scratch")
    with pytest.raises(PadimError, match="somebody else"):
        reviews.decide(rows[0], "Anna", "accept", second=True)
    for_ben, for_anna = InspectionQuery(second_for="Ben"), InspectionQuery(second_for="Anna")
    assert [one.id for one in records.iterate(for_ben)] == [rows[0]]
    assert records.count(for_anna) == 0
    reviews.decide(rows[0], "Ben", "accept", second=True)
    found = shown(records, rows[0])
    assert (found.decision, found.second_decision, found.second_by, found.disagrees) == (
        "reject",
        "accept",
        "Ben",
        True,
    )
    assert records.count(for_ben) == 0
    with pytest.raises(AlreadyDecidedError, match="second opinion was given by Ben"):
        reviews.decide(rows[0], "Cleo", "accept", second=True)
    assert [one.id for one in records.iterate(InspectionQuery(disagrees=True))] == [rows[0]]
    reviews.decide(rows[0], "Cleo", "reject", "scratch", instead=True)
    found = shown(records, rows[0])
    assert (found.decision, found.decided_by, found.disagrees) == ("reject", "Cleo", False)


def test_the_same_message_twice_is_one_event(desk: Desk) -> None:
    _, reviews, rows = desk
    for _ in range(2):
        reviews.decide(rows[0], "Anna", "reject", uid="a" * 32)
        reviews.comment(rows[0], "Anna", "deep", uid="b" * 32)
    assert len(reviews.events(rows[0])) == 2
    for _ in range(2):
        reviews.undo("Anna", uid="c" * 32)
    assert [one.kind for one in reviews.events(rows[0])] == ["decision", "comment", "undo"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"who": "  "}, "say who decides"),
        ({"who": "x" * 81}, "a name has at most 80"),
        ({"comment": "x" * 2001}, "a comment has at most 2,000"),
        ({"decision": "accept", "defect_type": "scratch"}, "only a part that is rejected"),
        ({"inspection_id": 99}, "there is no inspection 99"),
    ],
)
def test_what_is_refused_is_not_recorded(desk: Desk, given: dict[str, Any], message: str) -> None:
    _, reviews, rows = desk
    values = {"inspection_id": rows[0], "who": "Anna", "decision": "reject", **given}
    with pytest.raises(PadimError, match=message):
        reviews.decide(**values)
    with pytest.raises(PadimError, match="comment is empty"):
        reviews.comment(rows[0], "Anna", " ")
    assert reviews.events(rows[0]) == []


# -- the rule, against a plain replay -----------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(PEOPLE),
        st.sampled_from(["accept", "reject", "unsure", "undo", "comment"]),
        st.booleans(),
    ),
    max_size=12,
)


def replayed(events: list[ReviewEvent]) -> ReviewOutcome:
    """Play events on two stacks, first and second opinions, of which undos remove what they name."""
    first: list[ReviewEvent] = []
    second: list[ReviewEvent] = []
    for event in events:
        if event.kind == "decision":
            (second if event.second else first).append(event)
        elif event.kind == "undo":
            for stack in (first, second):
                stack[:] = [one for one in stack if one.id != event.undoes]
    if not first:
        return ReviewOutcome()
    one = first[-1]
    if not second:
        return ReviewOutcome(one.decision, one.who, one.at, one.defect_type)
    other = second[-1]
    differ = sorted([str(one.decision), str(other.decision)]) == ["accept", "reject"]
    return ReviewOutcome(
        *(one.decision, one.who, one.at, one.defect_type),
        *(other.decision, other.who, other.at, other.defect_type),
        disagrees=differ and other.id > one.id,
    )


@settings(max_examples=25)  # each has a database of its own
@given(steps=STEPS)
def test_the_record_follows_from_its_events(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any, bool]]
) -> None:
    root = tmp_path_factory.mktemp("desk")
    records, reviews = InspectionRecords(root, draw=lambda: 0.999), ReviewRecords(root)
    (row,) = records.add([new(0, levels=None, original=None)])
    before: list[ReviewEvent] = []
    for who, what, second in steps:
        try:
            if what == "undo":
                reviews.undo(who)
            elif what == "comment":
                reviews.comment(row, who, "seen")
            else:
                reviews.decide(row, who, what, second=second)
        except PadimError:
            pass
        events = reviews.events(row)
        assert events[: len(before)] == before  # appended, never overwritten
        before = events
        state, found = replayed(events), shown(records, row)
        assert outcome_of(events) == state
        for name in ReviewOutcome.__dataclass_fields__:
            assert getattr(found, name) == getattr(state, name), name
        assert found.waits == (state.decision is None)


def test_events_of_a_later_clock_keep_their_order(tmp_path: Path) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    # A clock that is set back between two events changes nothing: the order of recording counts.
    events = [
        ReviewEvent(1, 1, at, "Anna", "decision", "reject", "", "", False, None),
        ReviewEvent(2, 1, at - timedelta(hours=1), "Anna", "decision", "accept", "", "", False, None),
    ]
    assert outcome_of(events).decision == "accept"


def test_the_table_has_every_event(desk: Desk, tmp_path: Path) -> None:
    _, reviews, rows = desk
    reviews.decide(rows[0], "Anna", "reject")
    reviews.undo("Anna")
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is not None
        assert len(connection.execute(select(REVIEWS.c.id)).all()) == 2

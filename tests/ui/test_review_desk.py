"""The review desk: what the browser is sent, and what becomes of what it reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from tests.recorded import new
from ui import review_desk
from ui.review_desk import DeskState

ALL = InspectionQuery()


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of six rejects, the last the worst, and one accepted part."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    made = [*(new(number, 3 + number / 10) for number in range(6)), new(6, 1.0)]
    return InspectionRecords(tmp_path, draw=lambda: 0.999).add(made)


def sent(now: DeskState, mode: review_desk.DeskMode = "queue", who: str = "Anna") -> dict[str, Any]:
    """Return what the browser is sent, worst first."""
    return review_desk.message(now, mode, review_desk.asked(mode, ALL, who), "worst", who)


def action(serial: int, kind: str = "decide", **values: Any) -> dict[str, Any]:
    """Return an action as the browser reports it."""
    return {"serial": serial, "uid": f"{serial:032x}", "kind": kind, **values}


def names(message: dict[str, Any]) -> list[int]:
    """Return the rows in a message, in order."""
    return [item["id"] for item in message["items"]]


def test_the_queue_is_what_awaits_a_person_in_order(rows: list[int]) -> None:
    message = sent(DeskState())
    assert names(message) == rows[5::-1]
    assert (message["total"], message["locked"]) == (6, False)
    item = message["items"][0]
    assert item["said"] == "Rejected by the model"
    assert item["reasons"] == ["Score 3.5 above the threshold 2."]
    assert item["regions"] == [[4, 6, 10, 8]]
    # The map of 16 x 16 pixels covers the image of 48 x 64.
    assert item["matrix"] == [4.0, 0.0, 0.0, 3.0, 0.0, 0.0]
    assert ("Threshold", "2") in item["facts"]


def test_without_a_name_nothing_is_decided(rows: list[int]) -> None:
    now = DeskState()
    assert sent(now, who="")["locked"]
    review_desk.on_actions(now, "queue", "", [action(1, id=rows[0], decision="accept")])
    assert sent(now)["total"] == 6
    assert "say who decides" in now.refusals[0]["text"]


def test_decisions_comments_and_undo_are_recorded_once_and_in_order(rows: list[int]) -> None:
    now = DeskState()
    actions = [
        action(1, id=rows[5], decision="reject", type="scratch"),
        action(2, "comment", id=rows[4], text="deep"),
        action(3, id=rows[4], decision="accept"),
    ]
    review_desk.on_actions(now, "queue", "Anna", actions)
    review_desk.on_actions(now, "queue", "Anna", actions)  # sent again with the next one
    message = sent(now)
    assert (message["handled"], message["done"], message["total"]) == (3, 2, 4)
    assert message["types"] == ["scratch"]
    review_desk.on_actions(now, "queue", "Anna", [*actions, action(4, "undo", id=rows[4])])
    message = sent(now)
    assert names(message)[0] == rows[4]  # it is shown at once, wherever it lies in the list
    assert message["returned"] == {"serial": 4, "id": rows[4]}
    assert [event.kind for event in review_desk.reviews().events(rows[4])] == ["comment", "decision", "undo"]
    # A server that was started again has forgotten the serial numbers: the identifiers remain.
    again = DeskState()
    review_desk.on_actions(again, "queue", "Anna", actions)
    assert len(review_desk.reviews().events(rows[5])) == 1


def test_what_somebody_else_has_decided_meanwhile_is_said(rows: list[int], tmp_path: Path) -> None:
    now = DeskState()
    sent(now)
    ReviewRecords(tmp_path).decide(rows[5], "Ben", "accept")
    review_desk.on_actions(now, "queue", "Anna", [action(1, id=rows[5], decision="reject")])
    message = sent(now)
    assert rows[5] not in names(message)
    assert "decided by Ben meanwhile" in message["refusals"][0]["text"]
    assert "accept" not in message["refusals"][0]["text"], "a second opinion is blind"
    assert message["handled"] == 1


def test_audits_are_among_the_others_and_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    made = [new(number, 1.0 if number % 4 == 0 else 4.0) for number in range(12)]
    audited = InspectionRecords(tmp_path, draw=lambda: 0.0).add(made)[::4]
    message = sent(DeskState())
    places = [place for place, row in enumerate(names(message)) if row in audited]
    assert message["total"] == 12
    assert places
    assert places != list(range(12))[-3:]
    assert "audit" not in str(message["items"]).casefold()


def test_images_use_the_places_of_those_that_have_left(rows: list[int], tmp_path: Path) -> None:
    now, records = DeskState(), InspectionRecords(tmp_path)
    items = [one for row in rows if (one := records.get(row)) is not None]
    assert now.slots(items[:3]) == [0, 1, 2]
    assert now.slots([items[2], items[3], items[1]]) == [2, 0, 1]
    assert now.slots([items[4], items[2]]) in ([0, 2], [1, 2])


def test_undoing_a_comment_is_not_undoing_a_decision(rows: list[int]) -> None:
    now = DeskState()
    review_desk.on_actions(
        now,
        "queue",
        "Anna",
        [action(1, id=rows[5], decision="accept"), action(2, "comment", id=rows[4], text="odd")],
    )
    review_desk.on_actions(now, "queue", "Anna", [action(3, "undo", id=rows[4])])
    message = sent(now)
    assert (message["done"], message["total"]) == (1, 5)
    review_desk.on_actions(now, "queue", "Anna", [action(4, "undo", id=None)])
    assert (sent(now)["done"], sent(now)["total"]) == (0, 6)


def test_a_second_opinion_is_blind_and_a_disagreement_is_settled(rows: list[int], tmp_path: Path) -> None:
    first = DeskState()
    review_desk.on_actions(
        first,
        "queue",
        "Anna",
        [
            action(1, id=rows[0], decision="reject", type="scratch"),
            action(2, "comment", id=rows[0], text="deep"),
        ],
    )
    assert sent(first, "second")["items"] == []  # not of one's own
    second = DeskState()
    message = sent(second, "second", "Ben")
    assert names(message) == [rows[0]]
    assert message["items"][0]["history"] == []
    assert "Anna" not in str(message["items"])
    review_desk.on_actions(second, "second", "Ben", [action(3, id=rows[0], decision="accept")])
    message = sent(second, "disagreements", "Ben")
    assert names(message) == [rows[0]]
    history = message["items"][0]["history"]
    assert [line.partition(",")[0] for line in history] == [
        "Anna rejected (scratch)",
        "Anna",
        "Ben accepted in a second opinion",
    ]
    review_desk.on_actions(second, "disagreements", "Cleo", [action(4, id=rows[0], decision="accept")])
    found = InspectionRecords(tmp_path).get(rows[0])
    assert found is not None
    assert (found.decision, found.decided_by, found.disagrees) == ("accept", "Cleo", False)


def test_more_are_sent_when_the_browser_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    slim = {"levels": None, "original": None}
    InspectionRecords(tmp_path, draw=lambda: 0.999).add([new(number, 3.0, **slim) for number in range(30)])
    now = DeskState()
    assert len(sent(now)["items"]) == review_desk.AHEAD
    review_desk.on_actions(now, "queue", "Anna", [action(1, "more", id=None)])
    assert len(sent(now)["items"]) == 2 * review_desk.AHEAD


def test_a_record_whose_files_are_gone_is_shown_with_what_is_left(rows: list[int], tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path)
    for path in [*records.files.maps.rglob("*.png"), *records.files.originals.rglob("*")]:
        if path.is_file():
            path.unlink()
    item = sent(DeskState())["items"][0]
    assert item["heat"] == ""
    assert item["note"] == (
        "Shown is the small copy: the file of the image is gone. Its heatmap is not kept."
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        "accept",
        [{"serial": 1}],
        [action(1, id=-1, decision="accept")],
        [action(2**60, id=1, decision="accept")],
        [action(1, id=1, decision="destroy")],
        [{**action(1, id=1, decision="accept"), "uid": "../../x"}],
    ],
)
def test_a_bad_message_changes_nothing(rows: list[int], value: object) -> None:
    now = DeskState()
    review_desk.on_actions(now, "queue", "Anna", value)
    assert now == DeskState()
    assert sent(now)["total"] == 6

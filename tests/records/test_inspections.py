"""Inspections on record: what is stored comes back, pages are complete, files follow the settings."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.errors import PadimError, StorageError
from padim.records.database import RecordsDatabase
from padim.records.inspection import Inspection
from padim.records.inspection_query import InspectionOrder, InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.schema import INSPECTIONS
from padim.records.workspace_settings import AuditSettings, OriginalsSettings, WorkspaceSettings
from tests.recorded import FIRST, new, thumbnail

ON_EACH_DATABASE = True


def never() -> float:
    """Draw a number that no audit takes."""
    return 0.999


def test_without_a_database_there_is_nothing_and_none_is_created(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path)
    assert records.page().items == ()
    assert records.count() == 0
    assert records.get(1) is None
    assert records.columns(None, ["score"]) == {"score": []}
    assert records.choices("lot") == []
    assert list(tmp_path.iterdir()) == []


def test_an_inspection_comes_back_as_it_was_recorded(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    one = new(
        7, 3.5, context={"serial": "4711", "lot": "L1", "station": "east", "shift": "early"}, notes=("dark",)
    )
    (number,) = records.add([one])
    found = records.get(number)
    assert isinstance(found, Inspection)
    for name in (
        "uid",
        "sha256",
        "name",
        "size",
        "judged",
        "score",
        "reasons",
        "regions",
        "notes",
        "threshold",
    ):
        assert getattr(found, name) == getattr(one, name), name
    assert (found.who, found.serial, found.lot, found.station, found.shift) == (
        "Anna",
        "4711",
        "L1",
        "east",
        "early",
    )
    assert found.waits
    assert not found.audited
    assert found.decision is None
    assert found.nearness == pytest.approx(0.75)
    assert records.thumbnail(number) == thumbnail(7)
    assert records.thumbnails([number, number + 1]) == {number: thumbnail(7)}
    levels = records.levels(number)
    assert levels is not None
    np.testing.assert_array_equal(levels, one.levels)
    assert records.original(number) == b"image 7"
    assert records.evidence(number).original_gone == ""


def test_recording_again_changes_nothing(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    first = records.add([new(1), new(2)])
    again = records.add([new(2), new(3), new(3)])
    assert again[0] == first[1]
    assert again[1] == again[2]
    assert records.count() == 3


def test_nothing_is_recorded_if_a_file_cannot_be_written(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    records.add([new(1)])
    with pytest.raises(StorageError):
        records.add([new(2), replace(new(3), original=tmp_path / "gone.png")])
    assert records.count() == 1


@pytest.mark.parametrize(("score", "waits"), [(1.0, False), (3.0, True)])
def test_what_awaits_a_person(tmp_path: Path, score: float, waits: bool) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    (number,) = records.add([new(1, score)])
    found = records.get(number)
    assert found is not None
    assert found.waits == waits
    assert found.audit_probability == (None if waits else 0.02)
    # What awaits nobody has no files: only the small image.
    assert records.evidence(number).has_map == records.evidence(number).has_original == waits
    if not waits:
        assert "by the settings" in records.evidence(number).original_gone


def test_a_random_share_of_the_accepted_is_audited(tmp_path: Path) -> None:
    WorkspaceSettings(tmp_path).set(AuditSettings(share=0.25), "Anna")
    draws = itertools.cycle([0.1, 0.3, 0.24999, 0.25])
    records = InspectionRecords(tmp_path, draw=lambda: next(draws))
    rows = records.add([new(number, 1.0) for number in range(8)])
    audited = [one.name for one in records.iterate(InspectionQuery(audited=True))]
    assert audited == ["part 0000.png", "part 0002.png", "part 0004.png", "part 0006.png"]
    assert records.count(InspectionQuery(waits=True)) == 4
    assert records.evidence(rows[0]).has_map


def test_the_default_draw_takes_about_its_share(tmp_path: Path) -> None:
    WorkspaceSettings(tmp_path).set(AuditSettings(share=0.5), "Anna")
    records = InspectionRecords(tmp_path)
    records.add([new(number, 1.0, levels=None, original=None) for number in range(400)])
    # 400 draws of 1/2: outside of 120 to 280 less than once in 10^14 runs.
    assert 120 < records.count(InspectionQuery(audited=True)) < 280


@pytest.mark.parametrize(
    ("keep", "kept"), [("review", [True, False]), ("all", [True, True]), ("none", [False] * 2)]
)
def test_originals_are_kept_where_the_setting_says_so(tmp_path: Path, keep: Any, kept: list[bool]) -> None:
    folder = tmp_path / "elsewhere"
    WorkspaceSettings(tmp_path).set(OriginalsSettings(keep=keep, folder=str(folder)), "Anna")
    records = InspectionRecords(tmp_path, draw=never)
    rows = records.add([new(1, 3.0), new(2, 1.0)])
    assert [records.original(row) is not None for row in rows] == kept
    assert len([path for path in folder.rglob("*") if path.is_file()]) == sum(kept)


def test_a_record_says_what_is_gone(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    (number,) = records.add([new(1)])
    records.files.original_path(new(1).sha256).write_bytes(b"another image")
    records.files.map_path(new(1).uid).write_bytes(b"no map")
    assert records.original(number) is None
    assert records.levels(number) is None
    records.files.original_path(new(1).sha256).unlink()
    records.files.map_path(new(1).uid).unlink()
    found = records.evidence(number)
    assert not found.has_map
    assert found.original_gone == "the file of the image is gone"
    assert records.get(number) is not None


ORDERS: tuple[InspectionOrder, ...] = ("newest", "oldest", "worst", "nearest")
# Few different scores, so that many are equal.
SCORES = st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.5, 3.0]), max_size=25)


@settings(max_examples=25)  # each has a database of its own
@given(scores=SCORES, order=st.sampled_from(ORDERS), size=st.integers(1, 7))
def test_pages_have_every_row_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, scores: list[float], order: InspectionOrder, size: int
) -> None:
    records = InspectionRecords(tmp_path_factory.mktemp("pages"), draw=never)
    slim = {"levels": None, "original": None}
    records.add([new(number, score, **slim) for number, score in enumerate(scores)])
    found: list[Inspection] = []
    after = None
    while True:
        page = records.page(None, order, after, size)
        assert len(page.items) <= size
        found += page.items
        if page.next is None:
            break
        # What comes in meanwhile shifts nothing: a later row is either behind, or not shown.
        after = page.next
    keys = {
        "newest": lambda one: -one.id,
        "oldest": lambda one: one.id,
        "worst": lambda one: (-one.severity, -one.id),
        "nearest": lambda one: (one.nearness, one.id),
    }
    assert found == sorted(found, key=keys[order])
    assert sorted(one.name for one in found) == [f"part {number:04d}.png" for number in range(len(scores))]


def test_a_place_of_another_order_is_refused(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=never)
    records.add([new(number) for number in range(3)])
    place = records.page(order="worst", number=1).next
    for wrong in (place, "nonsense", "WzFd"):
        with pytest.raises(PadimError, match="no place in a list"):
            records.page(order="newest", after=wrong)


def test_each_filter_finds_what_a_search_by_hand_finds(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=iter([0.0, *[0.9] * 50]).__next__)
    rng = np.random.default_rng(3)
    made = [
        new(
            number,
            float(rng.choice([1.0, 3.0])),
            context={
                "lot": str(rng.choice(["", "A", "B"])),
                "shift": str(rng.choice(["early", "late"])),
                "station": str(rng.choice(["east", "west"])),
                "serial": f"S{number}",
            },
            model_id=str(rng.choice(["one-aaaaaa", "two-bbbbbb"])),
        )
        for number in range(40)
    ]
    records.add(made)

    def names(query: InspectionQuery) -> list[str]:
        found = [one.name for one in records.iterate(query)]
        assert len(found) == records.count(query)
        return found

    def wanted(condition: Any) -> list[str]:
        return [one.name for one in made if condition(one)]

    assert names(InspectionQuery(lot="A")) == wanted(lambda one: one.context.lot == "A")
    assert names(InspectionQuery(lot="")) == wanted(lambda one: one.context.lot == "")
    assert names(InspectionQuery(shift="late", station="east")) == wanted(
        lambda one: (one.context.shift, one.context.station) == ("late", "east")
    )
    assert names(InspectionQuery(verdicts=["reject"], model_id="one-aaaaaa")) == wanted(
        lambda one: one.verdict == "reject" and one.model_id == "one-aaaaaa"
    )
    since, before = FIRST + timedelta(minutes=5), FIRST + timedelta(minutes=9)
    assert names(InspectionQuery(since=since, before=before)) == wanted(
        lambda one: since <= one.judged < before
    )
    assert names(InspectionQuery(contains="s1")) == wanted(lambda one: "s1" in one.context.serial.lower())
    assert names(InspectionQuery(contains="100%")) == []
    assert names(InspectionQuery(sha256s=[made[3].sha256, made[5].sha256])) == [made[3].name, made[5].name]
    assert records.choices("lot") == ["A", "B"]
    counted = records.counts_by("verdict", InspectionQuery(lot="B"))
    assert counted == {
        verdict: number
        for verdict in ("accept", "reject")
        if (number := sum(one.verdict == verdict and one.context.lot == "B" for one in made))
    }
    scores = records.columns(InspectionQuery(lot="A"), ["score", "name"])
    assert scores["score"] == [one.score for one in made if one.context.lot == "A"]


def test_columns_of_the_record_are_those_of_the_table() -> None:
    names = [*INSPECTIONS.c.keys(), "version_number", "model_name"]
    assert sorted(Inspection.__dataclass_fields__) == sorted(names)


def test_two_processes_may_add_at_once(tmp_path: Path) -> None:
    # The writers' lock is in the file system: another object stands for another process.
    first, second = InspectionRecords(tmp_path, draw=never), InspectionRecords(tmp_path, draw=never)
    for number in range(6):
        (first if number % 2 else second).add([new(number)])
    assert [one.name for one in first.iterate()] == [f"part {number:04d}.png" for number in range(6)]
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is not None

"""Grouping and counting of inspections, against counting one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from padim.records.figures.counts import count_inspections, defect_type_shares
from padim.records.figures.grouping import GROUPINGS, grouped
from tests.records.figures.columns_of import columns_of


def _some(number: int, seed: int = 0) -> list[dict[str, object]]:
    draw = random.Random(seed)
    begin = datetime(2026, 10, 24, 20, 0, tzinfo=UTC)
    return [
        {
            "judged": (begin + timedelta(minutes=draw.randrange(60 * 24 * 4))).isoformat(
                timespec="microseconds"
            ),
            "verdict": draw.choice(["accept", "accept", "review", "reject", "none"]),
            "decision": draw.choice([None, "accept", "reject", "unsure"]),
            "lot": draw.choice(["", "L1", "L2"]),
            "station": draw.choice(["", "north"]),
            "shift": draw.choice(["", "early", "late"]),
            "version_id": draw.choice([None, 3, 4]),
            "defect_type": draw.choice(["", "crack", "hole"]),
        }
        for _ in range(number)
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kolkata", "UTC"])
def test_groups_by_time_are_of_the_local_hour_and_day(zone: str) -> None:
    # Berlin's clocks go back in the night of 25 October 2026.
    rows = _some(400)
    local = [datetime.fromisoformat(str(row["judged"])).astimezone(ZoneInfo(zone)) for row in rows]
    columns = columns_of(rows)
    for by, form in (("day", "%Y-%m-%d"), ("hour", "%Y-%m-%d %H:00")):
        found = grouped(columns, by, ZoneInfo(zone))  # type: ignore[arg-type]
        expected: dict[str, set[int]] = {}
        for place, moment in enumerate(local):
            expected.setdefault(moment.strftime(form), set()).add(place)
        assert {group.label: set(group.rows.tolist()) for group in found} == expected
        assert [group.label for group in found] == sorted(expected)


def test_every_inspection_is_in_one_group_whatever_they_are_by() -> None:
    rows = _some(300, 1)
    columns = columns_of(rows)
    for by in GROUPINGS:
        groups = grouped(columns, by, UTC, {3: "version 7"})
        assert sorted(np.concatenate([group.rows for group in groups]).tolist()) == list(range(300))
        assert len({group.label for group in groups}) == len(groups)
        firsts = [columns.judged[group.rows[0]] for group in groups]
        assert firsts == sorted(firsts)
    assert {group.label for group in grouped(columns, "version", UTC, {3: "version 7"})} == {
        *("", "version 7", "row 4")
    }
    assert {group.label for group in grouped(columns, "lot", UTC)} == {"", "L1", "L2"}
    assert "2026-10-26 early" in {group.label for group in grouped(columns, "shift", UTC)}
    assert grouped(columns_of([]), "day", UTC) == []


def test_counts_are_those_of_counting_one_by_one() -> None:
    rows = _some(500, 2)
    counts = count_inspections(columns_of(rows))

    def number(verdicts: str, *decisions: str | None) -> int:
        return sum(
            str(row["verdict"]) in verdicts.split() and (not decisions or row["decision"] in decisions)
            for row in rows
        )

    assert (counts.inspected, counts.undecidable) == (500, number("none"))
    assert (counts.rejected, counts.in_review, counts.accepted) == (
        number("reject"),
        number("review"),
        number("accept"),
    )
    assert counts.confirmed == number("reject", "reject")
    assert counts.overkill == number("reject", "accept")
    assert counts.unsure == number("reject", "unsure")
    assert counts.open == number("reject review", None)
    assert counts.rejected == counts.confirmed + counts.overkill + counts.unsure + number("reject", None)
    assert counts.reject_rate.of == 500 - number("none")
    assert counts.overkill_rate.count == counts.overkill
    assert counts.overkill_rate.of == counts.overkill + counts.confirmed


def test_types_are_of_confirmed_defects_and_the_most_frequent_comes_first() -> None:
    rows = [{"decision": "reject", "defect_type": name} for name in ["crack"] * 3 + ["hole"] + [""] * 2]
    rows += [{"decision": "accept", "defect_type": "hole"}] * 9
    found = defect_type_shares(columns_of(rows))
    assert [(one.name, one.share.count, one.share.of) for one in found] == [
        *(("crack", 3, 6), ("", 2, 6), ("hole", 1, 6))
    ]
    assert defect_type_shares(columns_of([])) == []

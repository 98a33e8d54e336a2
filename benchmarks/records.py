"""Time filters and pages of many inspections, as the desk and the list of records ask for them.

    python benchmarks/records.py [--check] [--json] [--rows 100000]

The rows are made up: two models, five versions, four shifts, lots, stations, verdicts, decisions, second
opinions and thumbnails, in a new workspace. Every filter is asked in each of the four orders: the first page,
a page in the middle and the last one, by the places that the pages before would give. Reported is the
slowest, each as the median of three. ``PADIM_DATABASE_URL`` may name an empty PostgreSQL database instead.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sqlalchemy import insert, text

from benchmarks import report
from padim.records.database import RecordsDatabase
from padim.records.inspection import RecordedRegion
from padim.records.inspection_query import InspectionOrder, InspectionQuery, place_after, stamp
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.records.schema import EVIDENCE, INSPECTIONS, VERSIONS

START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = ("flange-a1", "valve-b2")
VERDICTS = ("accept", "accept", "accept", "accept", "accept", "accept", "accept", "review", "reject", "none")
THUMBNAIL_BYTES = 2_000
REGIONS = json.dumps([asdict(RecordedRegion(4, 6, 10, 8, 60, 2.5, 2.8, 8, 9))])
_STEP = 5_000


def row(number: int, draw: random.Random) -> dict[str, Any]:
    """Return a made-up inspection, half a minute after the one before."""
    at = START + timedelta(seconds=30 * number)
    verdict = draw.choice(VERDICTS)
    severity = {"accept": 0.2, "review": 0.95, "reject": 1.0, "none": 0.2}[verdict] + draw.random() * 0.8
    waits = verdict in ("review", "reject") or draw.random() < 0.02
    decided = waits and draw.random() < 0.9
    decision = draw.choice(("accept", "reject", "reject", "unsure")) if decided else None
    second = decided and draw.random() < 0.1
    return {
        "uid": f"{number:032x}",
        "model_id": MODELS[draw.random() < 0.2],
        "version_id": 1 + draw.randrange(10),
        "sha256": f"{draw.randrange(90_000):064x}",
        "name": f"part {number:06d}.png",
        "width": 1280,
        "height": 1024,
        "taken": stamp(at),
        "judged": stamp(at),
        "who": draw.choice(("Anna", "Ben", "line 2")),
        "source": "app",
        "part_number": draw.choice(("4711", "4712", "")),
        "serial": f"S{number:06d}",
        "lot": f"L{number // 400:04d}",
        "station": draw.choice(("east", "west")),
        "shift": ("early", "late", "night", "")[at.hour // 6],
        "threshold": 2.0,
        "threshold_level": 2000,
        "review_above": 1.9,
        "reject_above": 2.1,
        "score": 2 * severity,
        "score_level": round(2000 * severity),
        "severity": severity,
        "nearness": abs(severity - 1),
        "verdict": verdict,
        "reasons": '["score 2.50 above the threshold 2.00"]' if verdict == "reject" else "[]",
        "regions": REGIONS if verdict == "reject" else "[]",
        "notes": "[]",
        "in_fit": False,
        "brightness": 120.0 + draw.random(),
        "sharpness": 40.0 + draw.random(),
        "audited": waits and verdict == "accept",
        "audit_probability": 0.02 if verdict == "accept" else None,
        "waits": waits and not decided,
        "decision": decision,
        "decided_by": draw.choice(("Anna", "Ben")) if decided else None,
        "decided_at": stamp(at + timedelta(hours=1)) if decided else None,
        "defect_type": draw.choice(("scratch", "dent", "stain", "")) if decision == "reject" else "",
        "second_decision": "reject" if second else None,
        "second_by": "Cleo" if second else None,
        "second_at": stamp(at + timedelta(hours=2)) if second else None,
        "second_type": "",
        "disagrees": second and decision == "accept",
    }


def fill(database: RecordsDatabase, rows: int, draw: random.Random) -> None:
    """Enter the rows, and versions that they name."""
    with database.writing() as connection:
        version = {
            **{"model_id": MODELS[0], "model_name": "Flange", "scoring_identity": "", "made": stamp(START)},
            **{"who": "Anna", "cause": "fit", "reason": "", "changed": "", "state": "approved", "bytes": 0},
            **{"revision": "0" * 64, "n_parts": 200},
        }
        connection.execute(insert(VERSIONS), [{**version, "number": number} for number in range(1, 11)])
        for first in range(0, rows, _STEP):
            numbers = range(first, min(first + _STEP, rows))
            connection.execute(insert(INSPECTIONS), [row(number, draw) for number in numbers])
            kept = {"original_gone": "", "place": "{}"}
            if "original_folder" in EVIDENCE.c:
                kept["original_folder"] = ""
            connection.execute(
                insert(EVIDENCE),
                [
                    {"inspection_id": n + 1, "thumbnail": draw.randbytes(THUMBNAIL_BYTES), **kept}
                    for n in numbers
                ],
            )


def queries(rows: int) -> dict[str, InspectionQuery]:
    """Return filters: each by itself, common combinations, and those that find nothing."""
    end = START + timedelta(seconds=30 * rows)
    day: dict[str, Any] = {"since": end - timedelta(days=1), "before": end}
    return {
        "all": InspectionQuery(),
        "queue": InspectionQuery(waits=True),
        "queue of a model": InspectionQuery(model_id=MODELS[1], waits=True),
        "queue, a shift and a station": InspectionQuery(waits=True, shift="night", station="west"),
        "queue, a lot": InspectionQuery(waits=True, lot="L0007"),
        "model": InspectionQuery(model_id=MODELS[1]),
        "version": InspectionQuery(version_id=2),
        "no such version": InspectionQuery(version_id=9_999),
        "rejects": InspectionQuery(verdicts=["reject"]),
        "nothing could be decided": InspectionQuery(verdicts=["none"]),
        "last day": InspectionQuery(**day),
        "first day": InspectionQuery(since=START, before=START + timedelta(days=1)),
        "last day, rejects, a shift": InspectionQuery(**day, verdicts=["reject"], shift="late"),
        "a day without any": InspectionQuery(since=end + timedelta(days=9)),
        "shift": InspectionQuery(shift="early"),
        "no such shift": InspectionQuery(shift="noon"),
        "lot": InspectionQuery(lot="L0100"),
        "no such lot": InspectionQuery(lot="none"),
        "station": InspectionQuery(station="east"),
        "no such station": InspectionQuery(station="north"),
        "part number": InspectionQuery(part_number="4712"),
        "no such part number": InspectionQuery(part_number="0"),
        "serial": InspectionQuery(serial="S000777"),
        "decided: reject": InspectionQuery(decision="reject"),
        "not decided": InspectionQuery(decision=""),
        "type": InspectionQuery(defect_type="dent"),
        "no such type": InspectionQuery(defect_type="rust"),
        "audited": InspectionQuery(audited=True),
        "disagreements": InspectionQuery(disagrees=True),
        "second opinions": InspectionQuery(second_for="Anna"),
        "who": InspectionQuery(who="line 2"),
        "decided by nobody of that name": InspectionQuery(decided_by="Dan"),
        "name contains": InspectionQuery(contains="0777"),
        "name contains, none": InspectionQuery(contains="no such name"),
        "images": InspectionQuery(sha256s=[f"{number:064x}" for number in range(500)]),
        "accepted that people reject, a lot": InspectionQuery(
            verdicts=["accept"], decision="reject", lot="L0200", station="east"
        ),
    }


def median_ms(ask: Callable[[], object]) -> float:
    """Return the median time of three calls, in milliseconds."""
    return statistics.median(timed(ask) for _ in range(3))


def timed(ask: Callable[[], object]) -> float:
    """Return the time of a call, in milliseconds."""
    begin = time.perf_counter()
    ask()
    return (time.perf_counter() - begin) * 1000


def places(records: InspectionRecords, query: InspectionQuery) -> dict[InspectionOrder, list[str | None]]:
    """Return the places of the first page, of one in the middle, and of the last one, in each order."""
    found = records.columns(query, ["id", "severity", "nearness"])
    number = len(found["id"])
    chosen: dict[InspectionOrder, list[str | None]] = {}
    for order in get_args(InspectionOrder):
        values = found[{"worst": "severity", "nearest": "nearness"}.get(order, "id")]
        rows = sorted(zip(values, found["id"], strict=True), reverse=order in ("newest", "worst"))
        chosen[order] = [None]
        for place in (number // 2, number - 20) if number > 100 else ():
            before = records.get(rows[place][1])
            chosen[order].append(place_after(before, order))
    return chosen


def main(arguments: list[str] | None = None) -> int:
    report.utf8_output()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    report.add_arguments(parser)
    args = parser.parse_args(arguments)
    result = report.Report("records")
    result.target("page_ms", "<", 300)
    result.target("count_ms", "<", 300)
    result.target("decide_ms", "<", 300)
    report.run(parser, result, args)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        database = RecordsDatabase(root)
        begin = time.perf_counter()
        fill(database, args.rows, random.Random(18))
        result.note(f"{args.rows:,} rows made in {time.perf_counter() - begin:.0f} s, in {_kind(database)}")
        measure(result, root, args.rows)
        if database.path.is_file():
            size = sum(path.stat().st_size for path in root.glob("records.sqlite*"))
            result.details["bytes_per_row"] = size / args.rows
            result.note(
                f"{size / 1e6:.0f} MB, {size / args.rows:.0f} bytes a row, {THUMBNAIL_BYTES} of thumbnail"
            )
    return result.finish(args)


def _kind(database: RecordsDatabase) -> str:
    with database.reading() as connection:
        assert connection is not None
        if connection.dialect.name != "sqlite":
            return "PostgreSQL"
        mode = connection.execute(text("PRAGMA journal_mode")).scalar()
        return f"SQLite, journal mode {mode}"


def measure(result: report.Report, root: Path, rows: int) -> None:
    """Ask every filter in every order, count its rows, and decide."""
    records = InspectionRecords(root)
    table = []
    slowest = counting = 0.0
    for name, query in queries(rows).items():
        times = [
            median_ms(partial(records.page, query, order, after))
            for order, wanted in places(records, query).items()
            for after in wanted
        ]
        count = median_ms(partial(records.count, query))
        slowest, counting = max(slowest, *times), max(counting, count)
        table.append([name, records.count(query), f"{max(times):.1f}", f"{count:.1f}"])
    result.show("Filters", ["filter", "rows", "slowest page ms", "count ms"], table)
    reviews = ReviewRecords(root)
    waiting = [one.id for one in records.page(InspectionQuery(waits=True), "worst").items[:3]]
    decide = statistics.median(timed(partial(reviews.decide, row, "Anna", "reject")) for row in waiting)
    result.values |= {"page_ms": slowest, "count_ms": counting, "decide_ms": decide}


if __name__ == "__main__":
    sys.exit(main())

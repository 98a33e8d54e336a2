"""The outbox: messages are there exactly when their inspections are, in order, and none twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from padim.records.database import RecordsDatabase
from padim.records.inspection_document import inspection_document
from padim.records.inspections import InspectionRecords
from padim.records.outbox import Outbox
from padim.records.schema import VERSIONS
from padim.records.sinks_file import SinksFile
from tests.recorded import new

ON_EACH_DATABASE = True
FILE = """\
sinks:
- {name: all, kind: csv, folder: /x}
- {name: rejects, kind: csv, folder: /x, filter: {verdicts: [reject]}}
- {name: idle, kind: csv, folder: /x, enabled: false}
- {name: quiet, kind: csv, folder: /x, alarms: false, filter: {sources: [watch]}}
"""
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def filled(root: Path, text: str = FILE) -> Outbox:
    (root / "sinks.yaml").write_text(text)
    return Outbox(root)


def names(outbox: Outbox, sink: str) -> list[str]:
    return [one.payload.get("name", one.kind) for one in outbox.messages(sink)]


def test_each_sink_gets_what_its_filter_takes(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    records = InspectionRecords(tmp_path)
    ids = records.add([new(1, 3.0), new(2, 1.0), new(3, 3.0, context={"source": "watch"})])
    assert names(outbox, "all") == ["part 0001.png", "part 0002.png", "part 0003.png"]
    assert names(outbox, "rejects") == ["part 0001.png", "part 0003.png"]
    assert names(outbox, "quiet") == ["part 0003.png"]
    assert names(outbox, "idle") == []
    first = outbox.messages("all")[0]
    assert first.inspection_id == ids[0]
    assert first.payload == inspection_document(new(1, 3.0), model_name="flange-abc123")
    assert len({one.uid for sink in ("all", "rejects", "quiet") for one in outbox.messages(sink)}) == 6


def test_one_that_is_recorded_again_is_not_sent_again(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    records = InspectionRecords(tmp_path)
    records.add([new(1)])
    records.add([new(1), new(2), new(2)])
    assert names(outbox, "all") == ["part 0001.png", "part 0002.png"]


def test_what_is_not_recorded_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = filled(tmp_path)

    def fails(*_: object, **__: object) -> str:
        raise RuntimeError("in the middle of the transaction")

    with monkeypatch.context() as patch:
        patch.setattr("padim.records.outbox.json.dumps", fails)
        with pytest.raises(RuntimeError):
            InspectionRecords(tmp_path).add([new(1)])
    assert InspectionRecords(tmp_path).count() == 0
    assert outbox.counts() == {}


def test_a_version_is_named(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    row = {
        **{"model_id": "flange-abc123", "model_name": "Flange", "number": 7, "revision": "r"},
        **{"scoring_identity": "", "made": "", "who": "", "cause": "fit", "reason": "", "changed": ""},
        **{"state": "approved", "n_parts": 9, "bytes": 1},
    }
    with RecordsDatabase(tmp_path).writing() as connection:
        done = connection.execute(insert(VERSIONS).values(row))
        assert done.inserted_primary_key is not None
    InspectionRecords(tmp_path).add([new(1, version_id=done.inserted_primary_key[0])])
    payload = outbox.messages("all")[0].payload
    assert (payload["model_name"], payload["version"]) == ("Flange", 7)


def test_messages_are_due_in_order_and_wait_behind_the_first(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    InspectionRecords(tmp_path).add([new(number) for number in range(4)])
    first, second, *_ = outbox.due("all")
    outbox.postpone(first, "gone", datetime.now(UTC) + timedelta(hours=1))
    assert outbox.due("all") == []
    later = datetime.now(UTC) + timedelta(hours=2)
    assert [one.id for one in outbox.due("all", 2, now=later)] == [first.id, second.id]
    outbox.refuse(first, "never")
    assert outbox.due("all")[0].id == second.id
    counts = outbox.counts()["all"]
    assert (counts.waiting, counts.refused, counts.failed, counts.last_error) == (3, 1, 2, "gone")
    outbox.delivered([second])
    assert outbox.counts()["all"].last_error == ""
    assert outbox.retry("all") == 3
    assert outbox.due("all")[0].id == first.id
    assert outbox.due("all")[0].attempts == 2


def test_counts_and_latencies(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    received = NOW - timedelta(seconds=4)
    InspectionRecords(tmp_path).add([new(1, received=received), new(2, judged=NOW - timedelta(seconds=2))])
    assert outbox.alarm("disk full", "The disk is full.") == 2
    assert names(outbox, "all")[-1] == "alarm"
    assert names(outbox, "quiet") == []
    outbox.delivered(outbox.due("all"), now=NOW)
    counts = outbox.counts()["all"]
    assert (counts.delivered, counts.latency_count, counts.latency_last) == (3, 2, 2.0)
    assert counts.latency_mean == 3.0
    assert counts.last_delivered == NOW
    assert outbox.counts()["rejects"].oldest is not None


def test_drop_rename_and_forget(tmp_path: Path) -> None:
    outbox = filled(tmp_path)
    InspectionRecords(tmp_path).add([new(number) for number in range(3)])
    outbox.refuse(outbox.due("all")[0], "never")
    assert outbox.drop("all") == 1
    assert outbox.counts()["all"].waiting == 2
    outbox.rename("all", "every")
    assert outbox.counts()["every"].failed == 1
    assert "all" not in outbox.counts()
    assert outbox.drop("every", waiting=True) == 2
    outbox.forget("every")
    assert "every" not in outbox.counts()


def test_what_came_while_the_file_was_not_valid_is_assigned_later(tmp_path: Path) -> None:
    outbox = filled(tmp_path, "sinks: [")
    received = NOW - timedelta(days=1)
    InspectionRecords(tmp_path).add([new(1, 1.0, received=received), new(2, 3.0)])
    outbox.alarm("disk full", "The disk is full.")
    (tmp_path / "sinks.yaml").write_text(FILE)
    assert outbox.assign(SinksFile(tmp_path).read()) == 3
    assert outbox.assign(SinksFile(tmp_path).read()) == 0
    assert names(outbox, "all") == ["part 0001.png", "part 0002.png", "alarm"]
    assert names(outbox, "rejects") == ["part 0002.png", "alarm"]
    assert names(outbox, "quiet") == []
    assert outbox.messages("all")[0].received == received

"""Images and level maps go by age and size; records stay and say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from padim.records.inspections import InspectionRecords
from padim.records.retention import EvidenceSizes, evidence_sizes, prune_daily, prune_evidence
from padim.records.reviews import ReviewRecords
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from tests.recorded import FIRST, new

NOW = timedelta(0)


def test_what_was_decided_goes_by_age_and_what_waits_stays(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    first, second = records.add([new(1), new(2)])
    ReviewRecords(tmp_path).decide(first, "Anna", "reject", "dent")
    later = FIRST + timedelta(days=31)
    tried = prune_evidence(tmp_path, now=later, spared=NOW, dry_run=True)
    assert (tried.deleted.originals, tried.left.originals) == (1, 1)
    assert records.original(first) is not None, "nothing is deleted for a trial"
    done = prune_evidence(tmp_path, now=later, spared=NOW)
    assert done == tried
    assert records.original(first) is None
    assert records.evidence(first).original_gone == "deleted on 02 Apr 2026: images are kept for 30 days"
    assert records.original(second) is not None
    assert records.get(first) is not None
    assert records.thumbnail(first)
    assert prune_evidence(tmp_path, now=later, spared=NOW).deleted == EvidenceSizes()


def test_size_takes_the_oldest_and_what_waits_last(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    ids = records.add([new(number, data=bytes([number]) * 1000) for number in range(4)])
    ReviewRecords(tmp_path).decide(ids[2], "Anna", "accept")
    settings = OriginalsSettings(gigabytes=2e-6, map_gigabytes=1e-9)
    WorkspaceSettings(tmp_path).set(settings, "Anna")
    before = evidence_sizes(tmp_path)
    assert (before.originals, before.original_bytes, before.maps) == (4, 4000, 4)
    done = prune_evidence(tmp_path, now=FIRST + timedelta(hours=1), spared=NOW)
    assert [records.original(one) is not None for one in ids] == [False, True, False, True]
    assert [records.levels(one) is not None for one in ids] == [False] * 4
    assert done.left == evidence_sizes(tmp_path) == EvidenceSizes(2, 2000)
    assert "may take 2e-06 GB" in records.evidence(ids[0]).original_gone


def test_a_file_of_two_records_is_as_old_as_the_later_one(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    ids = records.add([new(1, data=b"same"), new(2, data=b"same", judged=FIRST + timedelta(days=20)), new(3)])
    for one in ids:
        ReviewRecords(tmp_path).decide(one, "Anna", "accept")
    assert prune_evidence(tmp_path, now=FIRST + timedelta(days=31), spared=NOW).deleted.originals == 1
    assert records.original(ids[0]) == b"same"
    assert prune_evidence(tmp_path, now=FIRST + timedelta(days=51), spared=NOW).deleted.originals == 1
    assert records.original(ids[0]) is records.original(ids[1]) is None


def test_a_file_that_was_just_written_is_spared(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    (one,) = records.add([new(1)])
    WorkspaceSettings(tmp_path).set(OriginalsSettings(keep="none"), "Anna")
    assert prune_evidence(tmp_path).deleted.originals == 0
    assert prune_evidence(tmp_path, spared=NOW).deleted.originals == 1
    assert "no images are kept" in records.evidence(one).original_gone


def test_without_records_there_is_nothing_to_delete(tmp_path: Path) -> None:
    assert prune_evidence(tmp_path).deleted == EvidenceSizes()
    assert list(tmp_path.iterdir()) == []


def test_it_is_done_once_a_day(tmp_path: Path) -> None:
    assert prune_daily(tmp_path) is None, "no records"
    InspectionRecords(tmp_path, draw=lambda: 0.999).add([new(1)])
    assert prune_daily(tmp_path) is not None
    assert prune_daily(tmp_path) is None
    assert prune_daily(tmp_path, datetime.now(UTC) + timedelta(days=1, minutes=1)) is not None


def test_a_file_that_somebody_deleted_is_said_to_be_gone(tmp_path: Path) -> None:
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    (one,) = records.add([new(1)])
    ReviewRecords(tmp_path).decide(one, "Anna", "accept")
    found = records.get(one)
    assert found is not None
    records.files.original_path(found.sha256).unlink()
    prune_evidence(tmp_path, now=FIRST + timedelta(days=31), spared=NOW)
    assert records.evidence(one).original_gone == "the file of the image is gone"

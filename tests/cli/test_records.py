"""``padim records``: list by filters, export, prune."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.data.datasets import open_dataset
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from tests.cli.conftest import Run
from tests.recorded import new
from tests.records.test_exports import image


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = InspectionRecords(tmp_path, draw=lambda: 0.999)
    store.add([new(number, float(number), data=image(number), context={"lot": "A"}) for number in range(6)])
    ReviewRecords(tmp_path).decide(6, "Anna", "reject", "dent")
    return tmp_path


def test_records_are_listed_by_filters(root: Path, run: Run) -> None:
    assert "6 of 6 records" in run("records", "list").out
    found = run("--json", "records", "list", "--verdict", "reject", "--decision", "open").json
    assert [one["name"] for one in found["records"]] == ["part 0004.png", "part 0003.png"]
    assert run("--json", "records", "list", "--since", "2026-03-03").json["found"] == 0
    assert (
        run("--json", "records", "list", "--until", "2026-03-02", "--lot", "A", "-n", "2").json["found"] == 6
    )
    assert "No record is like that" in run("records", "list", "--lot", "B").out
    assert run("records", "list", "--since", "yesterday").code == 2


@pytest.mark.parametrize("kind", ["csv", "parquet", "zip", "mvtec", "coco"])
def test_records_are_exported(root: Path, run: Run, kind: str) -> None:
    path = root / f"out.{kind}"
    done = run("--json", "records", "export", path, "--format", kind, "--verdict", "reject").json
    assert done["bytes"] == path.stat().st_size
    assert done["written"] == (1 if kind in ("mvtec", "coco") else 3)
    if kind in ("mvtec", "coco"):
        assert [one.kind for one in open_dataset(path, good_needed=False).samples.values()] == ["dent"]
    assert "is a folder" in run("records", "export", root, "--format", kind).sentence


def test_prune_says_what_it_would_delete(root: Path, run: Run) -> None:
    tried = run("--json", "records", "prune", "--map-gigabytes", "0.0000000011", "--dry-run").json
    assert tried["deleted"]["maps"] == 3
    assert InspectionRecords(root).levels(6) is not None
    done = run("records", "prune", "--map-gigabytes", "0.0000000011").out
    assert "Deleted: 0 original images; 3 level maps" in done
    assert InspectionRecords(root).levels(6) is None


def test_without_a_workspace_the_setting_is_named(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "nowhere"))
    assert "set PADIM_HOME" in run("records", "list").sentence

"""From a file in a watched folder to a line of a sink, where no other program delivers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from padim.cli.app import app
from padim.records.outbox import Outbox
from tests.parts import defects, normals
from tests.service.conftest import PART_NUMBER, Line


def test_a_watch_delivers_what_it_inspects(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(line.root))
    arriving, drop = tmp_path / "in", tmp_path / "drop"
    for folder in (arriving, drop):
        folder.mkdir()
    text = f"sinks:\n- {{name: MES, kind: csv, folder: '{drop}', filter: {{verdicts: [reject]}}}}\n"
    (line.root / "sinks.yaml").write_text(text)
    for name, content in (*normals(2), *defects(2)):
        (arriving / name).write_bytes(bytes(content))
    command = ["watch", PART_NUMBER, str(arriving), "--out", str(tmp_path / "out"), "--once", "--settle", "0"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    (file,) = drop.iterdir()
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["name"], row["verdict"], row["source"]) for row in rows] == [
        ("bad_000.png", "reject", "watch"),
        ("bad_001.png", "reject", "watch"),
    ]
    assert {row["part_number"] for row in rows} == {PART_NUMBER}
    counts = Outbox(line.root).counts()["MES"]
    assert (counts.delivered, counts.waiting, counts.latency_count) == (2, 0, 2)
    assert counts.latency_last is not None
    assert 0 < counts.latency_last < 600

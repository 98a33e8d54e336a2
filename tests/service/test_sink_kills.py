"""A process that is killed while it delivers: each message arrives, and only the same one may come again."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path

from padim.records.outbox import Outbox
from tests.service.sinking import record, until

PARTS = 30


def test_a_kill_loses_nothing_and_leaves_no_half_line(tmp_path: Path) -> None:
    drop, root = tmp_path / "drop", tmp_path / "home"
    drop.mkdir()
    root.mkdir()
    (root / "sinks.yaml").write_text(f"sinks:\n- {{name: line, kind: csv, folder: '{drop}'}}\n")
    record(root, *range(PARTS))
    expected = {message.uid for message in Outbox(root).messages("line")}
    draw = random.Random(5)
    file = drop / "inspections-2026-03-02.csv"

    def lines() -> int:
        return file.read_bytes().count(b"\r\n") if file.exists() else 0

    for _ in range(2):
        before = lines()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.delivering", str(root)], cwd=Path(__file__).parents[2]
        )
        try:
            wanted = min(before + draw.randint(1, 8), PARTS)
            until(lambda wanted=wanted: lines() >= wanted)  # type: ignore[misc]
        finally:
            process.kill()
            process.wait()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.service.delivering", str(root)], cwd=Path(__file__).parents[2]
    )
    try:
        until(lambda: not Outbox(root).with_messages(["line"]))
    finally:
        process.kill()
        process.wait()
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [row["name"] for row in rows] == [f"part {number:04d}.png" for number in range(PARTS)]
    assert {row["message_id"] for row in rows} == expected

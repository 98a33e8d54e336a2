"""``benchmarks/viewer.py`` measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from benchmarks import served, viewer
from padim.data.decode import decode
from tests.browser.looking import require_chromium

GOOD = {
    "four_images.threshold_ms": 7.0,
    "gallery.threshold_ms": 15.0,
    "payload.image_kb": 600.0,
    "adding.requests": 3,
    "adding.of_others": 0,
    "runs.count": 0,
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the parts are to have measured, in place of a browser."""
    values = dict(GOOD)

    def part(name: str) -> Any:
        def measure(_bench: viewer.Bench, _effort: viewer.Effort, result: viewer.report.Report) -> None:
            result.values.update({key: value for key, value in values.items() if key.startswith(f"{name}.")})

        return measure

    class NoBrowser:
        version = "none"

        def __enter__(self) -> NoBrowser:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for name in viewer.PARTS:
        monkeypatch.setattr(viewer, name, part(name))
    monkeypatch.setattr(served, "chromium", lambda: "chromium")
    monkeypatch.setattr(served, "launched", NoBrowser)
    return values


def test_all_targets_met(measured: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    assert viewer.main(["--check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["missed"] == []
    assert set(document["targets"]) == set(GOOD)
    assert document["values"] == measured


@pytest.mark.parametrize("name", GOOD)
def test_check_fails_for_each_target_and_names_it(
    measured: dict[str, float], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    measured[name] = viewer.TARGETS[name] + 0.1
    assert viewer.main(["--check"]) == 1
    assert f"MISSED {name}" in capsys.readouterr().out
    assert viewer.main([]) == 0, "without --check it only says so"
    assert viewer.main(["--check", f"--target={name}={measured[name]}"]) == 0


def test_what_was_left_out_counts_as_missed(
    measured: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert viewer.main(["--check", "--json", "--only", "payload,runs"]) == 1
    missed = json.loads(capsys.readouterr().out.splitlines()[-1])["missed"]
    assert set(missed) == set(GOOD) - {"payload.image_kb", "runs.count"}
    with pytest.raises(SystemExit):
        viewer.main(["--only", "run"])


def test_without_a_browser_it_says_so_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PADIM_CHROMIUM": ""}
    script = str(served.ROOT / "benchmarks" / "viewer.py")
    finished = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert "no Chromium found" in finished.stderr


def test_images_are_different_ones(tmp_path: Path) -> None:
    files = viewer.distinct_images(tmp_path / "some", 52)
    assert len({file.name for file in files}) == len({file.read_bytes() for file in files}) == 52
    # The first two and the two after one round show the same parts, each time with other noise.
    assert [file.name[4:] for file in files[:2]] == [file.name[4:] for file in files[50:]]
    assert decode(files[0].read_bytes(), files[0].name).shape == (512, 512, 3)


def test_defects_are_of_all_kinds_in_turn() -> None:
    kinds = [path.parent.name for path in viewer.defects(10)]
    assert kinds[:5] == kinds[5:] == ["chip", "dent", "hole", "scratch", "stain"]
    with pytest.raises(ValueError, match="has 30 defect images, 31 were requested"):
        viewer.defects(31)


@pytest.mark.parametrize("in_sight", [viewer.FULL.tiles, viewer.FULL.tiles - 1])
def test_a_gallery_with_too_few_thumbnails_in_sight_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], in_sight: int
) -> None:
    bench, visit = MagicMock(), MagicMock()
    bench.visit.return_value.__enter__.return_value = visit
    visit.viewer.evaluate.return_value = {
        "tiles": 60,
        "tilesSeen": in_sight,
        "panes": 4,
        "panesSeen": 4,
        "line": True,
    }
    visit.drag.return_value = viewer.Drag([1.0, 2.0, 9.0], [16.7, 16.6])
    result = viewer.report.Report("viewer")
    viewer.gallery(bench, viewer.FULL, result)
    enough = in_sight == viewer.FULL.tiles
    assert result.values.get("gallery.threshold_ms") == (2.0 if enough else None)
    assert ("nothing was measured" in capsys.readouterr().out) != enough


@pytest.mark.slow
@pytest.mark.browser
def test_a_real_drag_takes_time(capsys: pytest.CaptureFixture[str]) -> None:
    require_chromium()
    command = ["--quick", "--check", "--json", "--only", "gallery,payload", "--target"]
    assert viewer.main([*command, "image_kb=1"]) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "payload.image_kb" in document["missed"]
    values = document["values"]
    for handle in viewer.HANDLES:
        assert 0 < values[f"gallery.{handle}_ms"] <= values[f"gallery.{handle}_p95_ms"]
        assert values[f"gallery.{handle}_frame_ms"] > 0
        assert len(document["details"]["gallery"][handle]["steps"]) >= 3
    assert values["gallery.tiles"] == viewer.QUICK.tiles
    # A judged map of 64 x 64 pixels with the scores for 256 smallest regions, and the image.
    assert values["payload.body_kb"] > 2 * (64 * 64 + 256) / 1000
    assert values["payload.transfer_kb"] > 0

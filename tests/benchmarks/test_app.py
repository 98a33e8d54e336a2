"""``benchmarks/app.py`` measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmarks import app, served
from padim.data.decode import decode
from tests.browser.looking import require_chromium

FAST = {
    "cold_start.paint_ratio": 1.2,
    "cold_start.heading_ratio": 1.3,
    "cold_start.page_ratio": 1.4,
    "sample_fit.seconds": 9.0,
    "fifty_images.seconds": 4.0,
}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the parts are to have measured, in place of a browser."""
    values = dict(FAST)

    def part(name: str) -> Any:
        def measure(_bench: app.Bench, _effort: app.Effort, result: app.report.Report) -> None:
            result.values.update({key: value for key, value in values.items() if key.startswith(name)})

        return measure

    class NoBrowser:
        version = "none"

        def __enter__(self) -> NoBrowser:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    for name in app.PARTS:
        monkeypatch.setattr(app, name, part(name))
    monkeypatch.setattr(served, "chromium", lambda: "chromium")
    monkeypatch.setattr(served, "launched", NoBrowser)
    monkeypatch.setattr(app.Bench, "prepare_network", lambda self: None)
    return values


def test_all_targets_met(measured: dict[str, float], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--check", "--json"]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["missed"] == []
    assert set(document["targets"]) == set(FAST)
    assert document["values"] == measured


@pytest.mark.parametrize("name", FAST)
def test_check_fails_for_each_target_and_names_it(
    measured: dict[str, float], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    measured[name] = app.TARGETS[name] * 1.01
    assert app.main(["--check"]) == 1
    assert f"MISSED {name}" in capsys.readouterr().out
    assert app.main([]) == 0, "without --check it only says so"
    assert app.main(["--check", f"--target={name}={measured[name] + 1}"]) == 0


def test_what_was_left_out_counts_as_missed(
    measured: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["--check", "--json", "--only", "sample_fit"]) == 1
    missed = json.loads(capsys.readouterr().out.splitlines()[-1])["missed"]
    assert set(missed) == set(FAST) - {"sample_fit.seconds"}
    with pytest.raises(SystemExit):
        app.main(["--only", "sample"])


def test_without_a_browser_it_says_so_at_once(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "PADIM_CHROMIUM": ""}
    script = str(served.ROOT / "benchmarks" / "app.py")
    finished = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 2
    assert "no Chromium found" in finished.stderr


def test_images_are_different_ones_of_one_megapixel(tmp_path: Path) -> None:
    files = app.one_megapixel(tmp_path / "some", 6)
    contents = {file.read_bytes() for file in files}
    assert len(contents) == len({file.name for file in files}) == 6
    assert sum("good" in file.name for file in files) == 3
    for file in files:
        assert decode(file.read_bytes(), file.name).shape == (1000, 1000, 3)
        with Image.open(file) as image:
            assert image.format == "JPEG"
    with pytest.raises(ValueError, match="has 50 test images"):
        app.one_megapixel(tmp_path / "all", 51)


@pytest.mark.slow
@pytest.mark.browser
def test_a_real_start_takes_time(capsys: pytest.CaptureFixture[str]) -> None:
    require_chromium()
    command = ["--quick", "--only", "cold_start", "--check", "--json", "--target", "heading_ratio=0"]
    assert app.main(command) == 1
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "cold_start.heading_ratio" in document["missed"]
    values = document["values"]
    for who in ("", "hello_"):
        for moment in ("server", "paint", "heading", "page"):
            assert values[f"cold_start.{who}{moment}_seconds"] > 0

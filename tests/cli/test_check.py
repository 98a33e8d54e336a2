"""``check``, and the health check in the summary of ``fit``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner

from padim.cli.app import app
from tests.posed import any_pose

pytestmark = pytest.mark.health
run = CliRunner()


def folder_of(folder: Path, turn: float, shift: float) -> Path:
    folder.mkdir()
    for name, rgb in any_pose(20, 5, turn=turn, shift=shift):
        cv2.imwrite(str(folder / name), rgb[..., ::-1])
    return folder


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("blind")
    images = folder_of(place / "good", 180, 12)
    done = run.invoke(
        app,
        ["fit", str(images), "-o", str(place / "model"), "--input-size", "128", "--json", "--groups-by=none"],
    )
    assert done.exit_code == 0, done.stderr
    health = json.loads(done.stdout)["health"]
    assert health["grade"] == "red"
    return place


def test_a_blind_model_is_exit_code_1_with_the_remedy(blind: Path) -> None:
    done = run.invoke(app, ["check", str(blind / "model"), "--images", str(blind / "good")])
    assert done.exit_code == 1
    text = " ".join(done.stdout.split())
    assert "not fit for use" in text
    assert "fit --align outline" in text


def test_json_has_every_finding(blind: Path) -> None:
    done = run.invoke(app, ["check", str(blind / "model"), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["grade"] == "red"
    topics = {one["topic"]: one for one in found["findings"]}
    assert len(topics) == 7
    assert topics["painted defects"]["figures"]["sizes"][1]["caught"] == 0


def test_fit_says_it_in_its_summary_and_can_leave_it_out(tmp_path: Path) -> None:
    images = folder_of(tmp_path / "good", 0.5, 0.5)
    command = ["fit", str(images), "--input-size", "128", "--groups-by", "none"]
    done = run.invoke(app, [*command, "-o", str(tmp_path / "a")])
    assert done.exit_code == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "amber: look at this before the model is released" in text
    assert "20 parts support the 95 % percentile, but one odd part would decide it" in text
    done = run.invoke(app, [*command, "-o", str(tmp_path / "b"), "--no-check", "--json"])
    assert json.loads(done.stdout)["health"] is None

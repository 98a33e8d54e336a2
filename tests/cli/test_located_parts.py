"""Results, export and pixel size of models that locate the part, from the command line."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from padim import Padim
from tests.cli.conftest import Run
from tests.parts import png
from tests.posed import any_pose, posed

BLANK = np.full((120, 160, 3), 30, np.uint8)


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that locates parts by outline and judges how far they are shifted."""
    align = {"method": "outline", "shift_weight": 1.0, "scale_weight": None}
    model = Padim(align=align, input_size=64, n_features=20, smoothing_sigma=1.0, min_area=4)
    model.fit(any_pose(16, shift=4.0)).set_decision(percentile=80)
    return model.save(tmp_path_factory.mktemp("located") / "model")


@pytest.fixture
def today(tmp_path: Path) -> Path:
    folder = tmp_path / "today"
    folder.mkdir()
    images = {
        "good": posed(50, dx=2, dy=1, turn=40),
        "spot": posed(51, dx=1, dy=-2, turn=110, defect=(20, -6)),
        "moved": posed(52, dx=24, dy=-7, turn=3),
        "blank": BLANK,
        "large": posed(53, dx=4, dy=2, turn=15, scale=2, size=(240, 320)),
    }
    for name, rgb in images.items():
        (folder / f"{name}.png").write_bytes(png(rgb))
    return folder


def test_results_say_where_the_part_lies_and_why_it_is_rejected(
    run: Run, located: Path, today: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = run("score", located, today, "-o", out, "--pixel-size", 0.02)
    assert done.code == 0, done.err
    assert "shifted by" in done.out
    assert "the part was not found in 1 image" in done.err
    lines = {
        line["name"]: line
        for line in csv.DictReader(io.StringIO((out / "results.csv").read_bytes().decode("utf-8-sig")))
    }
    predictions = {one.name: one for one in Padim.load(located).predict(today)}
    for name, line in lines.items():
        prediction = predictions[name]
        assert line["verdict"] == prediction.verdict
        assert line["reasons"] == "; ".join(prediction.reasons)
        assert line["lost"] == prediction.lost
        assert line["above_threshold"] == ("yes" if prediction.mask.any() else "no")
        mask = cv2.imread(str(out / line["mask"]), cv2.IMREAD_GRAYSCALE)
        assert mask is not None
        assert ((mask > 0) == prediction.mask).all()
    moved, large = lines["moved.png"], lines["large.png"]
    assert moved["verdict"] == "reject"
    assert (float(moved["shift_x"]), float(moved["shift_y"])) == pytest.approx((24, -7), abs=1.5)
    assert float(moved["shift"]) == pytest.approx(math.hypot(24, 7), abs=1.5)
    assert float(moved["shift_mm"]) == pytest.approx(0.02 * float(moved["shift"]), rel=1e-4)
    assert float(moved["turn"]) == pytest.approx(3, abs=1)
    # In pixels of the image itself, which has twice the reference's resolution.
    assert float(large["shift_x"]) == pytest.approx(4, abs=2.5)
    assert float(large["scale"]) == pytest.approx(1, abs=0.02)
    assert lines["blank.png"]["shift"] == lines["blank.png"]["match"] == ""
    assert "part not found" in lines["blank.png"]["reasons"]
    region = max(predictions["spot.png"].regions, key=lambda region: region.area)
    assert float(lines["spot.png"]["largest_region_area_mm2"]) == pytest.approx(region.area * 4e-4, rel=1e-4)


def test_the_folder_is_exported_and_the_file_is_refused(run: Run, located: Path, tmp_path: Path) -> None:
    document = run("export", located, "-o", tmp_path / "scorer", "--json").json
    assert {"align.json", "inspect_images.py", "model.onnx", "reference.png"} <= set(document["files"])
    assert document["format"] == "folder"
    assert "is there already" in run("export", located, "-o", tmp_path / "scorer").sentence
    assert run("export", located, "-o", tmp_path / "scorer", "--force").code == 0
    sentence = run("export", located, "-o", tmp_path / "scorer.onnx").sentence
    assert "export it as a folder" in sentence
    assert not (tmp_path / "scorer.onnx").exists()


def test_a_model_of_whole_images_has_no_folder(run: Run, saved_model: Path, tmp_path: Path) -> None:
    assert "neither .onnx nor .npz" in run("export", saved_model, "-o", tmp_path / "scorer").sentence
    sentence = run("export", saved_model, "-o", tmp_path / "scorer", "--format", "folder").sentence
    assert ".onnx" in sentence


def test_the_pixel_size_is_kept_changed_and_forgotten(run: Run, own_model: Path) -> None:
    identity = Padim.load(own_model).state.identity
    assert "pixel size" not in run("info", own_model).out
    assert run("calibrate", own_model, "--pixel-size", 0.05, "-w").code == 0
    model = Padim.load(own_model)
    assert model.config.pixel_size_mm == 0.05
    assert model.state.identity == identity
    assert "0.05 mm" in run("info", own_model).out
    assert run("calibrate", own_model, "--pixel-size", 0, "-w").code == 0
    assert Padim.load(own_model).config.pixel_size_mm is None
    assert "pixel_size_mm" in run("calibrate", own_model, "--pixel-size", -1).sentence


def test_results_of_another_pixel_size_are_not_mixed(
    run: Run, own_model: Path, today: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert run("score", own_model, today, "-o", out, "--pixel-size", 0.02, "--no-panels").code == 0
    done = run("score", own_model, today, "-o", out, "--pixel-size", 0.04, "--no-panels", "--resume")
    assert done.code == 2

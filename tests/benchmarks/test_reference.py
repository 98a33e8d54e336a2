"""The check against the published figures: what it measures, and that it can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import images, reference
from padim.network import weights

SIDE = 96


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good plates, and plates with a hole in the middle."""
    folder = tmp_path_factory.mktemp("data") / "plate"
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[30:60, 20:50] = 255

    def save(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    for i in range(12):
        save(folder / "train" / "good" / f"{i}.jpg", images.jpeg(images.image(i, side=SIDE)))
    for i in range(4):
        save(folder / "test" / "good" / f"{i}.jpg", images.jpeg(images.image(100 + i, side=SIDE)))
        rgb = images.image(200 + i, side=SIDE)
        rgb[mask > 0] = 20 + 200 * (np.indices((SIDE, SIDE)).sum(axis=0)[mask > 0] % 2)[:, None]
        save(folder / "test" / "hole" / f"{i}.jpg", images.jpeg(rgb))
        path = folder / "ground_truth" / "hole" / f"{i}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return folder


@pytest.fixture
def quick(category: Path) -> list[str]:
    """The network that needs no download, small."""
    return ["--data", str(category), "--backbone", "efficientnet_lite0", "--input-size", "64", "--json"]


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


def test_means_over_draws_that_differ(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([*quick, "--check", "--seeds", "2", "--target", "pixel_auroc=0.8"]) == 0
    document = last_line(capsys)
    values, draws = document["values"], document["details"]["draws"]
    assert document["details"]["config"]["grid_stride"] == 4
    assert document["details"]["config"]["min_area"] == 1
    assert document["details"]["backbone"]["source"] == "efficientnet-lite0-57934424.pth"
    assert len(draws) == 2
    assert draws[0]["pixel_auroc"] != draws[1]["pixel_auroc"]
    for name, value in values.items():
        assert value == pytest.approx(np.mean([draw[name] for draw in draws]))


def test_a_missed_target_is_named(quick: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([*quick, "--check", "--seeds", "1", "--target", "pixel_auroc=1.1"]) == 1
    assert last_line(capsys)["missed"] == ["pixel_auroc"]


def test_weights_that_are_not_there_end_it_at_once(
    quick: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        reference.main([*quick, "--weights", str(tmp_path / "gone.pth")])
    assert caught.value.code == 2
    assert "there is no such file" in capsys.readouterr().err
    assert weights.find("resnet50") is None

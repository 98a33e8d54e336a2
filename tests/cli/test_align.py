"""``align``: the trial's figures as a document, as a table and as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run, write
from tests.parts import png
from tests.posed import any_pose, posed

# Few features: the command has no option for them, and the network runs on 64 x 64 pixels.
YAML = "{input_size: 64, n_features: 20, smoothing_sigma: 1, min_area: 4}"


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good parts that lie anywhere, defects beside them, and settings."""
    folder = tmp_path_factory.mktemp("plates")
    write(folder / "good", [(name, png(image)) for name, image in any_pose(12)])
    bad = [posed(40 + i, turn=60.0 * i, defect=(10, -6)) for i in range(4)]
    large = [posed(50 + i, turn=60.0 * i, scale=1.12) for i in range(2)]
    write(folder / "labeled", [(f"spot/{i}.png", png(image)) for i, image in enumerate(bad)])
    write(folder / "labeled", [(f"misplaced/{i}.png", png(image)) for i, image in enumerate(large)])
    write(folder / "labeled", [(f"good/{i}.png", png(posed(60 + i))) for i in range(2)])
    (folder / "small.yaml").write_text(YAML, encoding="utf-8")
    return folder


def test_the_document_the_table_and_the_images(run: Run, plates: Path, tmp_path: Path) -> None:
    words = ("align", plates / "good", "--align", "outline", "--config", plates / "small.yaml")
    done = run(*words, "--defects", plates / "labeled", "-o", tmp_path / "seen", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["recommendation"] in ("helps", "no difference", "worse")
    assert found["reference"] == "part_000.png"
    assert (found["parts"], found["defects"], found["displaced_kinds"]) == (11, "labelled", ["misplaced"])
    for arm in ("without", "located"):
        assert len(found[arm]["outcomes"]) == 6
        assert found[arm]["false_rejects"]["n"] == 11
    assert found["comparison"]["displaced"][0] == 2
    assert found["pose_spread_95"]["turn"] > 45
    assert found["mean_sharpness"][1] > found["mean_sharpness"][0]
    names = {path.name for path in (tmp_path / "seen").iterdir()}
    assert names >= {"reference.png", "mean_before.png", "mean_after.png", "part_01.png", "part_11.png"}
    with Image.open(tmp_path / "seen" / "part_01.png") as image:
        assert np.asarray(image).std() > 5

    shown = " ".join(run(*words).out.split())
    for word in ("locating by outline", "sharpness", "painted defects caught", "without", "AUROC"):
        assert word in shown


def test_it_says_what_it_needs(run: Run, plates: Path) -> None:
    assert "--align" in run("align", plates / "good").sentence
    assert (
        "holds no labelled images"
        in run("align", plates / "good", "--align", "outline", "--defects", plates / "good").sentence
    )
    refused = run(
        "align", plates / "good", "--align", "outline", "--align-set", "reference=none.png"
    ).sentence
    assert "none.png" in refused

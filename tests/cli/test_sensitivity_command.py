"""``sensitivity``: the engine's figures as a JSON document and as a table; errors are one sentence."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from padim import Padim
from padim.analysis.sensitivity import measure
from tests.cli.conftest import Run, write
from tests.parts import defects, normals

FEW = ("--sizes", "8,30", "--contrasts", "10,50", "--places", 1, "--seed", 3)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of good parts that ``small_model`` has not seen."""
    return write(tmp_path_factory.mktemp("fresh"), normals(4, first=100))


@pytest.mark.slow
def test_the_document_holds_the_engines_figures(
    run: Run, fresh: Path, saved_model: Path, small_model: Padim
) -> None:
    done = run("sensitivity", saved_model, fresh, *FEW, "--json")
    assert done.code == 0, done.err
    found = measure(small_model, normals(4, first=100), sizes=(8, 30), contrasts=(0.1, 0.5), places=1, seed=3)
    document = done.json
    assert document["share_caught"] == found.share
    assert document["places"] == 4
    assert document["painted_on"] == list(found.images)
    assert document["image_pixels_per_map_pixel"] == {"x": 1.5, "y": 1.5}
    assert len(document["over_size"]) == 10
    assert len(document["over_contrast"]) == 10
    for entry in document["over_size"]:
        curve = found.over_size(entry["kind"], entry["contrast"])
        assert [rate["count"] for rate in entry["caught"]] == [rate.count for rate in curve.rates]
        assert [rate["low_95"] for rate in entry["caught"]] == [rate.low for rate in curve.rates]
        assert entry["at_90"] == asdict(curve.at_90)
        assert entry["smallest_90"]["value"] == curve.smallest.value
    places = document["by_place"]["places"]
    assert sum(map(sum, places)) == 4
    assert document["by_place"]["share_caught"][0].count(None) >= 4


def test_people_get_a_table_and_a_map(run: Run, fresh: Path, saved_model: Path) -> None:
    done = run("sensitivity", saved_model, fresh, *FEW, "--kinds", "spot,dent")
    assert done.code == 0, done.err
    for words in (
        "spot",
        "dent",
        "contrast",
        "90 % at",
        "50 % caught at",
        "by place",
        "4 places on 4 images",
    ):
        assert words in done.out
    assert "stain" not in done.out


def test_only_the_good_ones_of_labelled_images_are_painted_on(
    run: Run, labeled: Path, saved_model: Path
) -> None:
    document = run("sensitivity", saved_model, labeled, *FEW, "--kinds", "spot", "--json").json
    assert len(document["painted_on"]) == 6
    assert all(name.startswith("good/") for name in document["painted_on"])


@pytest.mark.slow
def test_images_of_the_fit_are_reported(run: Run, tmp_path: Path, saved_model: Path, good: Path) -> None:
    assert "fitted on 22 of them" in run("sensitivity", saved_model, good, *FEW).sentence
    write(tmp_path / "mixed", [*normals(2, first=21), ("broken.png", b"no image")])
    done = run("sensitivity", saved_model, tmp_path / "mixed", *FEW, "--json")
    assert done.json["fitted_on"] == 1
    assert [entry["name"] for entry in done.json["skipped"]] == ["broken.png"]
    assert "1 image skipped" in done.err


def test_images_rejected_before_painting_are_reported(run: Run, tmp_path: Path, saved_model: Path) -> None:
    write(tmp_path / "bad", defects(2))
    done = run("sensitivity", saved_model, tmp_path / "bad", *FEW)
    assert "2 of 2 images are rejected before" in done.err


def test_wrong_settings_are_one_sentence(run: Run, fresh: Path, saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "crack" in run("sensitivity", saved_model, fresh, "--kinds", "crack").sentence
    assert "--sizes" in run("sensitivity", saved_model, fresh, "--sizes", "8,big").sentence
    assert "grow" in run("sensitivity", saved_model, fresh, "--sizes", "8,4").sentence
    assert "contrasts" in run("sensitivity", saved_model, fresh, "--contrasts", "200").sentence
    assert "no images" in run("sensitivity", saved_model, tmp_path / "empty").sentence
    assert run("sensitivity", saved_model, tmp_path / "none").sentence

"""``robustness``: the engine's counts as a JSON document and as tables; errors are one sentence."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from padim import Padim
from padim.analysis.image_changes import SEVERITIES, ChangeKind
from padim.analysis.robustness import measure
from padim.data.datasets import open_dataset
from tests.cli.conftest import Run, write
from tests.parts import normals

TWO = ("--kinds", "darker,jpeg")


def test_the_document_holds_the_engines_counts(
    run: Run, labeled: Path, saved_model: Path, small_model: Padim
) -> None:
    done = run("robustness", saved_model, labeled, *TWO, "--margin", 30, "--seed", 2, "--json")
    assert done.code == 0, done.err
    dataset = open_dataset(labeled)
    wanted: dict[ChangeKind, Any] = {kind: SEVERITIES[kind] for kind in ("darker", "jpeg")}
    found = measure(small_model, dataset, lambda name: dataset.samples[name].kind, severities=wanted, seed=2)
    document = done.json
    assert (document["good"], document["defects"], document["margin"]) == (6, 6, 0.3)
    assert document["limit"] == found.limit
    assert [change["kind"] for change in document["changes"]] == ["darker", "jpeg"]
    for change, series in zip(document["changes"], found.series, strict=True):
        assert change["severities"] == list(series.severities)
        assert [rate["count"] for rate in change["false_rejects"]] == [r.count for r in series.false_rejects]
        assert [rate["count"] for rate in change["caught"]] == [rate.count for rate in series.caught]
        assert set(change["caught_by_defect"]) == {"chip", "scratch"}
        tolerated = series.tolerance(found.limit, 0.3)
        assert change["tolerance"] == asdict(tolerated)


def test_people_get_tables(run: Run, labeled: Path, saved_model: Path) -> None:
    done = run("robustness", saved_model, labeled, *TWO)
    assert done.code == 0, done.err
    for words in (
        "darker",
        "20 % less light",
        "quality 50",
        "as it is",
        "tolerated",
        "what fails beyond it",
        "6 of 6",
    ):
        assert words in done.out
    assert "rotation" not in done.out


def test_good_parts_alone_will_do_and_those_of_the_fit_are_passed_over(
    run: Run, tmp_path: Path, saved_model: Path, good: Path
) -> None:
    write(tmp_path / "some", [*normals(3, first=20), ("broken.png", b"no image")])
    done = run("robustness", saved_model, tmp_path / "some", "--kinds", "jpeg", "--json")
    assert (done.json["good"], done.json["defects"], done.json["fitted_on"]) == (1, 0, 2)
    assert [entry["name"] for entry in done.json["skipped"]] == ["broken.png"]
    assert "2 of 3 images were in the fit and are left out" in done.err
    assert done.json["changes"][0]["caught"][0]["share"] is None
    assert run("robustness", saved_model, tmp_path / "some", "--kinds", "jpeg").code == 0
    assert "fitted on 22 of them" in run("robustness", saved_model, good, "--kinds", "jpeg").sentence


def test_wrong_settings_are_one_sentence(run: Run, tmp_path: Path, saved_model: Path, labeled: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "fog" in run("robustness", saved_model, labeled, "--kinds", "fog").sentence
    assert "--margin" in run("robustness", saved_model, labeled, "--margin", 0).sentence
    assert "images" in run("robustness", saved_model, tmp_path / "empty").sentence
    assert run("robustness", saved_model, tmp_path / "none").sentence

"""A data set scored once gives the results of scoring it again with any smallest region and threshold."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from padim import Padim
from padim.analysis.evaluation import evaluate_dataset
from padim.analysis.scored_dataset import ScoredDataset, score_dataset
from padim.data.datasets import open_dataset
from padim.output.evaluation_files import FIGURES, figures_csv, images_csv
from tests.parts import defects, normals


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six good parts and four chipped ones."""
    root = tmp_path_factory.mktemp("set")
    for kind, files in (("good", normals(6, first=60)), ("chip", defects(4))):
        (root / kind).mkdir()
        for name, data in files:
            (root / kind / name).write_bytes(bytes(data))
    return root


@pytest.fixture
def found(small_model: Padim, root: Path) -> ScoredDataset:
    return score_dataset(small_model, open_dataset(root), thumbnail_side=40)


@pytest.mark.slow
def test_other_settings_need_no_other_scoring(
    saved_model: Path, root: Path, found: ScoredDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Padim.load(saved_model)
    for area in (8, 1, 30):
        model.set_decision(min_area=area)
        again = evaluate_dataset(model, open_dataset(root))
        assert found.scores(model) == [image.score for image in again.images]
        level = sorted(found.scores(model))[5]
        assert found.report(model, level) == again.report(model, level)
        assert found.report(model, level) is found.report(model, level), "counted once"
        for image, scored in zip(found.images, model.predict(open_dataset(root)), strict=True):
            decision = model.decide(scored, level)
            assert image.regions(model, level, area) == len(decision.regions)
            np.testing.assert_array_equal(image.decide(model, level, area).mask, decision.mask)
            assert image.decide(model, level, area, (20, 30)).mask.shape == (20, 30)


def test_every_image_has_one_outcome_errors_worst_first(small_model: Padim, found: ScoredDataset) -> None:
    scores = dict(zip((image.name for image in found.images), found.scores(small_model), strict=True))
    level = sorted(scores.values())[4]
    cells = found.confusion(small_model, level)
    names = {outcome: [image.name for image, _ in pairs] for outcome, pairs in cells.items()}
    assert sorted(name for cell in names.values() for name in cell) == sorted(scores)
    for outcome, of_cell in names.items():
        assert all(name.startswith("good/") == (outcome in ("false_reject", "passed")) for name in of_cell)
        assert all((scores[name] > level) == (outcome in ("false_reject", "caught")) for name in of_cell)
        highest = outcome in ("false_reject", "passed")
        assert of_cell == sorted(of_cell, key=lambda name: -scores[name] if highest else scores[name])


def test_classes_and_kinds_are_those_of_the_labels(small_model: Padim, found: ScoredDataset) -> None:
    good, defect = found.classes(small_model)
    assert (len(good), len(defect)) == (6, 4)
    by_kind = found.by_kind(small_model)
    assert list(by_kind) == ["good", "chip"]
    value = small_model.state.fitted.quantizer.to_value
    assert sorted(by_kind["chip"]) == sorted(value(int(level)) for level in defect)


def test_files_hold_every_figure_and_every_image(small_model: Padim, found: ScoredDataset) -> None:
    level = small_model.threshold_level
    report = found.report(small_model, level)
    text = figures_csv(report, at_threshold=True, model="=Plate", data="set").decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["figure"] for row in rows[:10]] == [*FIGURES, "false_rejects", "misses"]
    assert {row["model"] for row in rows} == {"'=Plate"}
    assert float(rows[0]["value"]) == pytest.approx(report.image_auroc.value, rel=1e-5)
    assert {row["kind"] for row in rows[10:]} == {"chip"}
    without = figures_csv(found.report(small_model, None), at_threshold=False, model="m", data="set").decode()
    assert "misses" not in without
    lines = list(csv.DictReader(io.StringIO(images_csv(found, small_model, level).decode("utf-8-sig"))))
    assert [line["name"] for line in lines] == [image.name for image in found.images]
    for line, score in zip(lines, found.scores(small_model), strict=True):
        assert (line["above_threshold"] == "yes") == (score > level)
        assert line["verdict"] == small_model.verdict(score, level)
    bare = list(csv.DictReader(io.StringIO(images_csv(found, small_model, None).decode("utf-8-sig"))))
    assert {line["verdict"] for line in bare} == {""}

"""The health check: a blind model comes out red, a sound one green, and every finding has its remedy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from padim import Padim
from padim.analysis.health import Health, check_health, state_of
from padim.analysis.health_findings import Finding
from padim.analysis.health_images import ImageFigures, image_findings
from padim.analysis.left_out_part import closed_form, one_refit
from padim.data.decode import decode
from padim.data.loading import Watch
from padim.errors import Cancelled
from padim.scoring import ScoringState
from tests.parts import normals
from tests.posed import any_pose

RGB = npt.NDArray[np.uint8]
Images = list[tuple[str, RGB]]


def fitted(images: Any, folder: Path, **settings: Any) -> Padim:
    return Padim(input_size=128, work_dir=folder, **settings).fit(images)


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """A model of parts at any angle."""
    return fitted(any_pose(40, 3), tmp_path_factory.mktemp("anywhere"))


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """A model of the same parts held by a fixture."""
    return fitted(any_pose(40, 3, shift=0.5, turn=0.5), tmp_path_factory.mktemp("aligned"))


def decoded(content: bytes | RGB) -> RGB:
    assert isinstance(content, bytes)
    return decode(content, "good.png")


def by_topic(health: Health) -> dict[str, Finding]:
    return {finding.topic: finding for finding in health.findings}


def test_a_part_at_any_angle_is_red_and_locating_is_the_remedy(anywhere: Padim) -> None:
    found = check_health(anywhere)
    assert found.grade == "red"
    assert found.open[0] is found.findings[0]
    topics = by_topic(found)
    for topic in ("position", "painted defects"):
        assert topics[topic].grade == "red", topics[topic].sentence
        remedy = topics[topic].remedy
        assert remedy is not None
        assert remedy.changes == {"align": {"method": "outline"}}
    middle = topics["painted defects"].figures["sizes"][1]
    assert middle["caught"] < 0.1 * middle["of"]


def test_an_aligned_part_is_green(aligned: Padim) -> None:
    found = check_health(aligned)
    assert found.grade == "green", [finding.sentence for finding in found.open]
    assert not found.open
    assert by_topic(found)["painted defects"].figures["way"] == "closed form"
    assert all(finding.remedy is None for finding in found.findings)


def test_the_remedy_makes_it_green(anywhere: Padim, tmp_path: Path) -> None:
    """The story end to end: red, the remedy that the check names, and no longer red."""
    remedy = check_health(anywhere).open[0].remedy
    assert remedy is not None
    assert remedy.changes is not None
    second = Padim(anywhere.config, work_dir=tmp_path, **remedy.changes).fit(any_pose(40, 3))
    found = by_topic(check_health(second))
    assert found["position"].grade == "green"
    assert found["painted defects"].grade == "green", found["painted defects"].sentence


def test_it_is_the_same_twice_and_survives_its_file(aligned: Padim, tmp_path: Path) -> None:
    found = check_health(aligned)
    assert check_health(aligned) == found
    path = tmp_path / "health.json"
    found.write(path)
    assert Health.read(path) == found
    assert found.of(aligned)
    path.write_text(json.dumps({**found.to_json(), "format": 99}))
    assert Health.read(path) is None
    assert Health.read(tmp_path / "none.json") is None


def test_another_threshold_is_another_state(tmp_path: Path) -> None:
    model = fitted(normals(6), tmp_path)
    before = state_of(model)
    model.set_decision(percentile=50)
    assert state_of(model) != before


def test_it_can_be_cancelled_and_reports_progress(aligned: Padim) -> None:
    stages: list[str] = []

    def progress(done: int, total: int | None, stage: str) -> None:
        stages.append(stage)

    with pytest.raises(Cancelled):
        check_health(aligned, progress=progress, cancel=lambda: len(stages) > 45)
    assert stages


@pytest.mark.parametrize("tolerance", [0, 1])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_closed_form_is_a_fit_without_the_part(tmp_path: Path, tolerance: int, grouped: bool) -> None:
    """Brute force: another model, really fitted without the part, catches the same at the same threshold."""
    images = normals(12, size=(128, 128))
    groups = {"good_003.png": "one", "good_004.png": "one"} if grouped else None
    model = Padim(input_size=128, work_dir=tmp_path / "a", position_tolerance=tolerance).fit(
        images, groups=groups
    )
    scorer = closed_form(model)
    assert scorer is not None
    index = 3
    rgb = model.state.input_of(model.normals_[index], decoded(images[index][1]))
    painted = rgb.copy()
    painted[50:66, 60:76] = 20
    near = np.ones((128, 128), bool)
    found = scorer.masks(index, [rgb, painted], near)
    without = Padim(model.config, work_dir=tmp_path / "b").fit(
        [image for i, image in enumerate(images) if i != index and not (grouped and i == index + 1)]
    )
    scale = model.state.fitted.quantizer
    state = ScoringState(
        replace(without.state.fitted, quantizer=scale),
        model.config,
        None,
        without.network.extractor,
        without.state.channels,
    )
    _, maps = state.scorer(np.stack([rgb, painted]))
    for mask, levels in zip(found, maps, strict=True):
        # At the rim of a region a pixel may fall to either side by rounding.
        assert (mask != (levels > model.threshold_level)).mean() < 0.002 or not mask.any()
    assert found[1][50:66, 60:76].all()


def test_one_refit_leaves_the_model_alone(tmp_path: Path) -> None:
    images = normals(12, size=(128, 128))
    model = Padim(input_size=128, work_dir=tmp_path, method="shared").fit(images)
    before = model.state
    scorer = one_refit(model, [2, 7], Watch())
    rgb = model.state.input_of(model.normals_[2], decoded(images[2][1]))
    painted = rgb.copy()
    painted[40:72, 50:82] = 10
    bare, marked = scorer.masks(2, [rgb, painted], np.ones((128, 128), bool))
    assert model.state is before
    assert marked[40:72, 50:82].mean() > 0.5 > bare.mean()


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    """Without features there is no refit, and the model could be blind: amber, with another measurement."""
    model = fitted(normals(6), tmp_path, method="shared")
    model.working_set.delete()
    found = by_topic(check_health(model))["painted defects"]
    assert found.grade == "amber"
    assert "was not measured" in found.sentence
    assert found.remedy is not None
    assert found.remedy.action == "smallest defect"


def test_a_network_is_trained_again_on_request(tmp_path: Path) -> None:
    model = fitted(normals(10), tmp_path, method="flow", layers=["blocks.2"], n_features=10)
    asked = by_topic(check_health(model))["painted defects"]
    assert asked.grade == "amber"
    assert "was not measured" in asked.sentence
    assert asked.remedy is not None
    assert asked.remedy.action == "retrain"
    before = model.state
    measured = by_topic(check_health(model, retrain=True))["painted defects"]
    assert measured.figures["way"] == "refit"
    assert all(size["of"] > 0 for size in measured.figures["sizes"])
    assert model.state is before
    model.working_set.delete()
    without = by_topic(check_health(model, retrain=True))["painted defects"]
    assert without.remedy is not None
    assert without.remedy.action == "smallest defect"


@pytest.mark.parametrize(
    ("change", "how"),
    [("brightness", "darker"), ("sharpness", "less sharp")],
)
def test_odd_images_are_named(aligned: Padim, change: str, how: str) -> None:
    rng = np.random.default_rng(0)
    figures = ImageFigures(
        tuple(range(40)),
        100 + rng.normal(size=40),
        0.05 * rng.normal(size=40),
        np.full(40, 250.0),
        np.zeros((0, 1024), np.float32),
    )
    assert image_findings(aligned, replace(figures, indices=()))[-1].grade == "green"
    getattr(figures, change)[7] -= 30 if change == "brightness" else 2
    found = image_findings(aligned, figures)[-1]
    assert found.grade == "amber"
    assert found.remedy is not None
    assert found.remedy.images == ("part_007.png",)
    assert how in found.sentence


def test_dark_images_are_named(aligned: Padim) -> None:
    figures = ImageFigures((0,), np.full(1, 9.0), np.zeros(1), np.full(1, 30.0), np.zeros((0, 1024), "f4"))
    found = image_findings(aligned, figures)[1]
    assert found.grade == "amber"
    assert "12 % of the range" in found.sentence


def test_few_parts_do_not_support_the_percentile(tmp_path: Path) -> None:
    found = by_topic(check_health(fitted(normals(6), tmp_path)))["threshold"]
    assert found.grade == "amber"
    assert found.remedy is not None
    assert found.remedy.text == "Add 33 good parts, 39 in all."


def test_two_parts_have_no_threshold(tmp_path: Path) -> None:
    found = check_health(fitted(normals(2), tmp_path))
    assert found.grade == "red"
    assert by_topic(found)["threshold"].sentence.startswith("There is no threshold")


def test_shots_that_count_as_parts_are_named(tmp_path: Path) -> None:
    from tests.parts import part

    shots: Images = [(f"p{i}_{shot}.png", part(i, shot=shot)) for i in range(8) for shot in range(2)]
    alone = by_topic(check_health(fitted(shots, tmp_path / "a")))["repeat shots"]
    assert alone.grade == "amber"
    assert alone.remedy is not None
    assert alone.remedy.action == "group"
    groups = {name: name.split("_")[0] for name, _ in shots}
    model = Padim(input_size=128, work_dir=tmp_path / "b").fit(shots, groups=groups)
    assert by_topic(check_health(model))["repeat shots"].grade == "green"

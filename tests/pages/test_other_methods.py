"""Every page with models of other methods: it works, and states which features only PaDiM has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from padim import Padim, PadimConfig, Workspace
from tests.pages.session import AddModel, Session
from tests.parts import defects, normals

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"input_size": 64, "grid_stride": 8, "n_features": 16, "smoothing_sigma": 2, "min_area": 4}
METHODS: dict[str, dict[str, Any]] = {
    "patchcore": {},
    "shared": {},
    "ensemble": {"members": ["padim", "svdd"], "folds": 2, "max_epochs": 2},
    "stfpm": {"folds": 2, "max_epochs": 1},
    "padim": {"position_tolerance": 1},
}
PAGES = (
    *("home", "fit", "result", "region", "calibrate", "repeatability"),
    *("inspect", "evaluate", "second-session", "compare", "sensitivity", "robustness"),
)


@pytest.fixture(scope="module", params=sorted(METHODS))
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a shared model, which tests must not change."""
    config = PadimConfig.of({**SMALL, **METHODS[request.param], "method": request.param})
    return Padim(config, work_dir=tmp_path_factory.mktemp(request.param)).fit(normals(8))


@pytest.mark.slow
def test_every_page_opens(add_model: AddModel, other: Padim) -> None:
    entry = add_model("Another way", other)
    page = Session(model=entry.id)
    for name in PAGES:
        page.go(name)
        assert "Another way" in str(page.app.sidebar.selectbox[0].options), name


def test_the_good_parts_are_reviewed_and_the_training_shown(add_model: AddModel, other: Padim) -> None:
    entry = add_model("Another way", other)
    page = Session("fit", model=entry.id)
    page.tab("result")
    assert "Scores of good parts" in page.text
    labels = [expander.label for expander in page.app.expander]
    assert ("How the training went" in labels) == bool(other.state.fitted.losses)
    # Layers can be attributed only if a distance is a sum over them.
    assert not [toggle for toggle in page.app.toggle if toggle.key == "fit-odd-by-layer"]


@pytest.mark.slow
def test_taking_a_part_out_and_putting_it_back(add_model: AddModel, other: Padim, home: Path) -> None:
    entry = add_model("Another way", other)
    page = Session("fit", model=entry.id)
    page.tab("result")
    page.click("kept_out-0")
    model = Workspace(home).open(entry.id)
    assert model.normals_[0].status == "kept_out"
    assert "Excluded from the fit" in page.text
    if other.config.trains:
        assert "the threshold has followed" in page.text


def test_defects_are_scored(add_model: AddModel, other: Padim) -> None:
    entry = add_model("Another way", other)
    page = Session("inspect", model=entry.id)
    page.upload([(name, data) for name, data in defects(3) if isinstance(data, bytes)])
    expected = {scored.name: scored.score_level for scored in other.predict(defects(3))}
    assert {item["name"]: item["score"] for item in page.viewer["items"]} == expected

"""The most unusual good parts on the Fit page: position, the viewer, and what becomes of an excluded part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim import Padim, PadimConfig, Workspace
from padim.analysis.good_parts import ranked
from padim.records.library import ImageLibrary, NewImage
from padim.text import multiple
from tests.pages.session import AddModel, Session
from tests.parts import png
from tests.posed import posed
from ui import calibrate, good_parts_review


@pytest.fixture(scope="module")
def shifted_model(tmp_path_factory: pytest.TempPathFactory) -> Padim:
    """Return a model of twelve centered parts, three that lie lower, and one with a faint spot."""
    rng = np.random.default_rng(3)
    images = [posed(i, dy=float(rng.normal(scale=0.5))) for i in range(12)]
    images += [posed(100 + i, dy=10 + 2 * i) for i in range(3)]
    faint = 0.6 * posed(200).astype(float) + 0.4 * posed(200, defect=(0, -6))
    images.append(faint.astype(np.uint8))
    config = PadimConfig(input_size=128, grid_stride=8, n_features=20, smoothing_sigma=1, min_area=4)
    model = Padim(config, work_dir=tmp_path_factory.mktemp("work"))
    return model.fit([(f"part_{i:02}.png", png(image)) for i, image in enumerate(images)])


def order(page: Session) -> list[int]:
    """Return the indices of the listed good parts, in order."""
    keys = [button.key or "" for button in page.app.button]
    return [int(key.rpartition("-")[2]) for key in keys if key.startswith("not_good-")]


def test_position_is_explained_and_taken_out_of_the_ranking(
    add_model: AddModel, shifted_model: Padim
) -> None:
    entry = add_model("Shifted plates", shifted_model)
    page = Session("result", model=entry.id)
    by_score = [item.index for item in ranked(shifted_model)]
    assert order(page) == by_score[:12]
    assert "3 of the top 5 lie" in page.text
    assert "px lower than is usual." in page.text
    page.set("toggle", "fit-without-position", True)
    without = order(page)
    assert without != by_score[:12]
    assert without[0] == 15
    assert sum(without.index(i) if i in without else 12 for i in (12, 13, 14)) > sum(
        by_score.index(i) for i in (12, 13, 14)
    )
    assert "without position" in page.text
    page.set("toggle", "fit-without-position", False)
    assert order(page) == by_score[:12]


def test_an_excluded_part_says_what_became_of_it(
    add_model: AddModel, shifted_model: Padim, home: Path
) -> None:
    entry = add_model("Shifted plates", shifted_model)
    page = Session("result", model=entry.id)
    assert "was excluded" not in page.text
    page.click("not_good-15")
    model = Workspace(home).open(entry.id)
    (item,) = ranked(model, "not_good")
    assert item.level is not None
    assert model.verdict(item.level) == "reject"
    times = multiple(item.value, model.state.fitted.quantizer.to_value(model.threshold_level))
    assert f"it now scores {times} threshold, so it would be rejected." in page.text
    page.click("fit-restore-last")
    assert "was excluded" not in page.text
    assert Workspace(home).open(entry.id).normals_[15].status == "fit"


def test_calibrate_shows_the_excluded_part_as_a_defect(
    add_model: AddModel, shifted_model: Padim, home: Path
) -> None:
    entry = add_model("Shifted plates", shifted_model)
    store = ImageLibrary(home, entry.id)
    faint = 0.6 * posed(200).astype(float) + 0.4 * posed(200, defect=(0, -6))
    others = [NewImage(f"other_{i}.png", png(posed(300 + i, defect=(4, 4))), "defect") for i in range(2)]
    store.add([NewImage("part_15.png", png(faint.astype(np.uint8))), *others], "fit")
    page = Session("calibrate", model=entry.id)
    # The list was cleared, and another image is shown: the part comes all the same.
    page.click("calibrate-forget")
    states = page.app.session_state[f"padim:{calibrate.__name__}._CalibrateStates"].of
    states[entry.id].selected = page.viewer["items"][0]["id"]
    page.go("result").click("not_good-15").click("fit-first-defect").go("threshold")
    shown = page.viewer
    (part,) = [item for item in shown["items"] if item["name"] == "part_15.png"]
    assert (part["group"], part["held"]) == ("defect", -1)
    assert shown["selected"] == shown["wanted"] == part["id"]


def test_a_tile_opens_in_the_viewer(add_model: AddModel, shifted_model: Padim) -> None:
    entry = add_model("Shifted plates", shifted_model)
    page = Session("result", model=entry.id)
    second = order(page)[1]
    page.click(f"fit-open-{second}")
    shown = page.viewer
    assert shown["selected"] == good_parts_review.image_id(shifted_model, second)
    assert [item["name"] for item in shown["items"]] == [item.name for item in ranked(shifted_model)]
    assert shown["mode"] == "inspect"
    assert shown["decision"]["level"] == shifted_model.threshold_level
    assert not shown["table"]
    assert all(item["map"] for item in shown["items"])


def test_an_excluded_part_opens_too(add_model: AddModel, shifted_model: Padim, home: Path) -> None:
    entry = add_model("Shifted plates", shifted_model)
    page = Session("result", model=entry.id)
    page.click("not_good-15").click("fit-open-15")
    (item,) = page.viewer["items"]
    model = Workspace(home).open(entry.id)
    assert item["score"] == ranked(model, "not_good")[0].level
    assert item["map"]
    assert item["held"] == -1

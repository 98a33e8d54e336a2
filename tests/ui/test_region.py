"""The region being drawn: validation of the browser's messages, and drafts that promise what saving gives."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import streamlit as st
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image

from padim import Padim, PadimConfig, Workspace
from padim.decision.roi import Shape, rasterize
from padim.errors import PadimError
from padim.storage.model_folders import Entry
from tests.parts import normals
from ui import region as regions
from ui.app import workspace
from ui.files.media import ServedImage
from ui.region import Drawing, EditedRegion

CORNER = Shape("polygon", "exclude", ((0.0, 0.0), (30.0, 0.0), (30.0, 30.0), (0.0, 30.0)))
STROKE = Shape("brush", "include", ((10.0, 50.0), (50.0, 52.5)), 6.0)


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Clear the caches and drawings of other tests."""
    st.cache_resource.clear()
    st.session_state.clear()
    yield
    st.session_state.clear()


def add(home: Path, model: Padim, name: str = "Parts") -> Entry:
    store = Workspace(home)
    made = store.create(name)
    shutil.copytree(model.working_set.folder, store.work_dir(made.id))
    model.save(made.path)
    return store.get(made.id)


@pytest.fixture
def entry(small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """Return a saved model in the test's own workspace."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    return add(tmp_path, small_model)


def opened(entry: Entry) -> tuple[Entry, Padim]:
    """Return the entry as it is now, and the test's own copy of the model."""
    return workspace.store().get(entry.id), Workspace(workspace.root()).open(entry.id)


def drawing_message(entry: Entry, *shapes: Shape, **other: Any) -> dict[str, Any]:
    """Return a drawing message of the editor."""
    drawn = [shape.to_json() for shape in shapes]
    return {"model": entry.id, "width": 64, "height": 64, "serial": 1, "shapes": drawn} | other


# -- messages of the editor ------------------------------------------------------------------------------


def test_a_drawing_is_applied(entry: Entry) -> None:
    entry, model = opened(entry)
    drawn = regions.drawing(entry, model)
    assert regions.same(model, regions.draft(drawn, model))
    regions.on_drawing(entry, model, drawing_message(entry, CORNER, STROKE, serial=7))
    assert (drawn.shapes, drawn.handled, drawn.stamp) == ((CORNER, STROKE), 7, 0)
    region = regions.draft(drawn, model)
    wanted = rasterize((CORNER, STROKE), (64, 64))
    assert region.mask is not None
    assert wanted is not None
    np.testing.assert_array_equal(region.mask, wanted)
    assert not regions.same(model, region)


def test_invalid_drawings_are_ignored(entry: Entry) -> None:
    entry, model = opened(entry)
    regions.on_drawing(entry, model, drawing_message(entry, CORNER))
    bad_shape = CORNER.to_json()
    hostile: list[object] = [
        None,
        3,
        [],
        "shapes",
        {},
        drawing_message(entry, STROKE, model="another"),
        drawing_message(entry, STROKE, width=128),
        drawing_message(entry, STROKE, height=32),
        drawing_message(entry, STROKE, width="64"),
        drawing_message(entry, STROKE, serial=-1),
        drawing_message(entry, STROKE, serial=2**60),
        drawing_message(entry, STROKE, serial=None),
        drawing_message(entry, shapes=None),
        drawing_message(entry, shapes={"0": STROKE.to_json()}),
        drawing_message(entry, shapes=[None]),
        drawing_message(entry, shapes=[{**bad_shape, "kind": "circle"}]),
        drawing_message(entry, shapes=[{**bad_shape, "mode": "<b>"}]),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0], [1, 1]]}]),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0], [1, math.nan], [2, 2]]}]),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0], [1, 10**400], [2, 2]]}]),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0], [1, 1e300], [2, 2]]}]),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0]] * 10_001}]),
        drawing_message(entry, shapes=[bad_shape] * 501),
        drawing_message(entry, shapes=[{**bad_shape, "points": [[0, 0], [9, 9], [0, 9]] * 3000}] * 12),
    ]
    for value in hostile:
        regions.on_drawing(entry, model, value)
        assert regions.drawing(entry, model).shapes == (CORNER,), str(value)[:80]


def test_a_drawing_for_another_input_size_is_dropped(entry: Entry) -> None:
    entry, model = opened(entry)
    drawn = regions.drawing(entry, model)
    drawn.shapes, drawn.size = (CORNER,), 128
    assert regions.drawing(entry, model).shapes is None
    assert drawn.stamp == 1  # the editor is to adopt the server's shapes


# -- the promise of a draft ------------------------------------------------------------------------------


def held_against_saving(entry: Entry, shapes: tuple[Shape, ...]) -> None:
    """Compare a draft's promise with that of a model whose region was really set."""
    entry, model = opened(entry)
    region = EditedRegion(shapes, rasterize(shapes, (64, 64)))
    promised = regions.promise(entry, model, region)
    peer = Workspace(workspace.root()).open(entry.id).set_roi(region.mask, shapes)
    assert model.current_threshold is not None
    assert promised.at_use == peer.state.false_rejects(model.current_threshold.level, peer.config.min_area)
    assert promised.threshold == peer.current_threshold
    assert promised.at_own == peer.false_reject_rate_
    assert promised.share == (1.0 if region.mask is None else region.mask.sum() / 64**2)
    assert model.decision.roi is None or not regions.same(model, region)  # the model itself is unchanged


coordinates = some.floats(-10, 80, allow_nan=False).map(lambda value: round(value * 8) / 8)
points = some.tuples(coordinates, coordinates)
drawn_shapes = some.one_of(
    some.builds(
        Shape,
        some.just("polygon"),
        some.sampled_from(["exclude", "include"]),
        some.lists(points, min_size=3, max_size=6).map(tuple),
    ),
    some.builds(
        Shape,
        some.just("brush"),
        some.sampled_from(["exclude", "include"]),
        some.lists(points, min_size=1, max_size=4).map(tuple),
        some.integers(1, 20).map(float),
    ),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.lists(drawn_shapes, max_size=4).map(tuple))
def test_a_draft_promises_what_saving_gives(entry: Entry, shapes: tuple[Shape, ...]) -> None:
    mask = rasterize(shapes, (64, 64))
    if mask is None or mask.any():
        held_against_saving(entry, shapes)


@pytest.mark.parametrize("decision", [{"basis": "pixel", "percentile": 98}, {"value": 4.0}, {"min_area": 30}])
def test_however_the_threshold_is_set(entry: Entry, decision: dict[str, Any]) -> None:
    with workspace.edit(entry) as model:
        model.set_decision(**decision)
    held_against_saving(entry, (CORNER,))
    # And from one region to another, and back to everywhere.
    with workspace.edit(entry) as model:
        model.set_roi(rasterize((STROKE,), (64, 64)), (STROKE,))
    held_against_saving(entry, (CORNER,))
    held_against_saving(entry, ())


def test_padding_belongs_to_no_part(
    small_config: PadimConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    config = small_config.model_copy(update={"fit": "pad"})
    model = Padim(config, work_dir=tmp_path / "work").fit(normals(8, size=(64, 96)))
    model.set_decision(basis="pixel", percentile=90)
    entry = add(tmp_path / "home", model)
    held_against_saving(entry, (CORNER,))
    # The padding alone contains no pixel of any part, so a percentile of pixels is undefined.
    strip = Shape("polygon", "include", ((0.0, 0.0), (64.0, 0.0), (64.0, 4.0), (0.0, 4.0)))
    entry, model = opened(entry)
    promised = regions.promise(entry, model, EditedRegion((strip,), rasterize((strip,), (64, 64))))
    assert promised.threshold is None
    assert promised.at_own is None
    assert promised.at_use is not None
    with pytest.raises(PadimError, match="redraw"):
        regions.save(entry, EditedRegion((strip,), rasterize((strip,), (64, 64))), 64)
    assert opened(entry)[1].decision.roi is None  # nothing was saved


def test_fewer_than_three_parts_promise_nothing(
    small_config: PadimConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    entry = add(tmp_path / "home", Padim(small_config, work_dir=tmp_path / "work").fit(normals(2)))
    entry, model = opened(entry)
    region = EditedRegion((CORNER,), rasterize((CORNER,), (64, 64)))
    promised = regions.promise(entry, model, region)
    assert (promised.at_use, promised.threshold, promised.at_own) == (None, None, None)
    assert regions.false_alarms(entry, model) is None
    assert regions.compared(model, promised, promised) == [
        ("Part of the map scored", "", [(regions.percent(region.share), "")] * 2)
    ]
    data = regions.message(entry, model, Drawing(), region)
    assert data["false_alarms"] is None
    assert "at least three" in data["calm"]
    regions.save(entry, region, 64)
    assert opened(entry)[1].decision.roi_shapes == (CORNER,)


# -- saving ----------------------------------------------------------------------------------------------


def test_saved_with_the_model_and_removed_again(entry: Entry) -> None:
    entry, model = opened(entry)
    regions.on_drawing(entry, model, drawing_message(entry, CORNER, STROKE))
    drawn = regions.drawing(entry, model)
    regions.save(entry, regions.draft(drawn, model), 64)
    entry, model = opened(entry)
    assert drawn.shapes is None
    assert drawn.stamp == 0  # the editor already shows this, and can still undo it
    assert model.decision.roi_shapes == (CORNER, STROKE)
    assert regions.same(model, regions.draft(drawn, model))
    # The same area drawn in another way counts as another drawing.
    assert not regions.same(model, EditedRegion((CORNER,), model.decision.roi))
    regions.score_everywhere(entry, model)
    assert opened(entry)[1].decision.roi is None
    assert drawn.stamp == 1


def test_an_empty_region_is_refused_with_a_message(entry: Entry) -> None:
    everything = Shape("brush", "exclude", ((32.0, 32.0),), 100.0)
    region = EditedRegion((everything,), rasterize((everything,), (64, 64)))
    assert region.empty
    with pytest.raises(PadimError, match="Nothing would be scored"):
        regions.save(entry, region, 64)
    assert opened(entry)[0].revision == entry.revision


def test_a_model_fitted_again_for_another_size_refuses_the_drawing(entry: Entry) -> None:
    shapes = (CORNER,)
    with pytest.raises(PadimError, match="another input size"):
        regions.save(entry, EditedRegion(shapes, rasterize(shapes, (128, 128))), 128)


def test_a_region_that_was_not_drawn_here(entry: Entry) -> None:
    with workspace.edit(entry) as model:
        model.set_roi(np.eye(64, dtype=bool))
    entry, model = opened(entry)
    region = regions.draft(regions.drawing(entry, model), model)
    assert region.shapes == ()
    assert region.mask is model.decision.roi
    assert regions.same(model, region)
    assert not regions.same(model, EditedRegion((), None))  # drawn, and cleared again: everywhere


def test_a_region_too_small_for_any_defect(entry: Entry) -> None:
    _, model = opened(entry)  # smallest region: 8 pixels
    for side, small in ((2.0, True), (3.0, False)):
        square = Shape("polygon", "include", ((0.0, 0.0), (side, 0.0), (side, side), (0.0, side)))
        assert regions.too_small(model, EditedRegion((square,), rasterize((square,), (64, 64)))) == small
    assert not regions.too_small(model, EditedRegion((), None))


# -- images --------------------------------------------------------------------------------------------


def decoded(image: ServedImage | None) -> npt.NDArray[np.uint8]:
    assert image is not None
    return np.asarray(Image.open(BytesIO(image.data)))


def test_what_is_excluded_is_shown_pixel_by_pixel() -> None:
    mask = np.random.default_rng(3).random((64, 64)) > 0.4
    shown = decoded(regions.excluded(EditedRegion((), mask)))
    np.testing.assert_array_equal(shown[..., 3] == 255, ~mask)
    np.testing.assert_array_equal(shown[..., 3] == 0, mask)
    assert regions.excluded(EditedRegion((), None)) is None


def test_the_false_alarm_map_counts_parts(entry: Entry) -> None:
    with workspace.edit(entry) as model:
        model.set_decision(percentile=60)
    entry, model = opened(entry)
    found = regions.false_alarms(entry, model)
    assert found is not None
    alarms = sum((model.state.held_out_map(i) > model.threshold_level).astype(int) for i in range(22))
    assert isinstance(alarms, np.ndarray)
    assert (found.most, found.parts) == (alarms.max(), 22)
    shown = decoded(found.image)
    np.testing.assert_array_equal(shown[..., 3] > 0, alarms > 0)
    # Redder, the more parts: the green of the scale only falls.
    green = [
        int(shown[alarms == n, 1].mean()) for n in range(1, int(alarms.max()) + 1) if (alarms == n).any()
    ]
    assert green == sorted(green, reverse=True)
    assert (
        regions.most_often_text(found)
        == f"most often {found.most / 22 * 100:.0f} % ({found.most} of 22 parts)"
    )


def test_good_parts_that_do_not_alarm(entry: Entry) -> None:
    with workspace.edit(entry) as model:
        model.set_decision(value=float(model.state.fitted.quantizer.to_value(60_000)))
    entry, model = opened(entry)
    found = regions.false_alarms(entry, model)
    assert found is not None
    assert found.image is None
    assert regions.no_map_text(found, model) == "No good part alarms anywhere at the threshold in use."


# -- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.0, "0 %"), (0.99999, "99.9 %"), (1e-6, "0.1 %"), (0.8812, "88.1 %"), (0.5, "50.0 %")],
)
def test_only_exact_shares_are_shown_as_0_and_100_percent(share: float, text: str) -> None:
    assert regions.percent(share) == text


def test_a_percentile_lowers_the_threshold_and_one_set_by_hand_stays(entry: Entry) -> None:
    decisions: list[tuple[dict[str, Any], bool]] = [({"percentile": 90.0}, True), ({"value": 3.0}, False)]
    for decision, lower in decisions:
        with workspace.edit(entry) as model:
            model.set_decision(**decision)
        entry, model = opened(entry)
        region = EditedRegion((STROKE,), rasterize((STROKE,), (64, 64)))  # a small part of the map only
        now = regions.promise(entry, model, regions.in_use(model))
        then = regions.promise(entry, model, region)
        assert regions.more_sensitive(now, then) == lower
        assert not regions.more_sensitive(now, now)


def test_a_threshold_by_hand_is_compared_once(entry: Entry) -> None:
    with workspace.edit(entry) as model:
        model.set_decision(value=3.0)
    entry, model = opened(entry)
    now = regions.promise(entry, model, regions.in_use(model))
    then = regions.promise(entry, model, EditedRegion((CORNER,), rasterize((CORNER,), (64, 64))))
    names = [(name, note) for name, note, _ in regions.compared(model, now, then)]
    value = model.state.fitted.quantizer.to_value(model.threshold_level)
    assert names == [
        ("Part of the map scored", ""),
        ("False rejects", f"at the threshold in use, {value:.2f}"),
        ("Threshold after saving", "set by hand: it stays"),
    ]

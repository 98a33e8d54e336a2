"""Shapes to pixels against brute force in exact arithmetic; a draft region against the real change."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim import BundleError, Padim, PadimError
from padim.decision.roi import MAX_POINTS, MAX_SHAPES, Shape, from_json, rasterize, to_json
from padim.storage import bundle
from padim.storage.bundle import MANIFEST
from padim.workspace import Workspace
from ui.app import workspace

Points = tuple[tuple[float, float], ...]
SIZE = 12
MAP = (SIZE, SIZE)
# Quarters of a pixel, some outside the map: edges and circles pass through pixel centres, all sums are exact.
QUARTER = st.integers(-12, 4 * SIZE + 12).map(lambda n: n / 4)
POINT = st.tuples(QUARTER, QUARTER)
SQUARE = ((2.0, 3.0), (7.0, 3.0), (7.0, 9.0), (2.0, 9.0))


def polygon(*points: tuple[float, float], mode: Any = "exclude") -> Shape:
    return Shape("polygon", mode, points)


def brush(*points: tuple[float, float], radius: float, mode: Any = "exclude") -> Shape:
    return Shape("brush", mode, points, radius)


def drawn(shape: Shape, size: tuple[int, int] = MAP) -> np.ndarray:
    """The pixels of one shape."""
    roi = rasterize([shape], size)
    assert roi is not None
    assert roi.dtype == np.bool_
    assert roi.shape == size
    return roi if shape.mode == "include" else ~roi


def by_winding(points: Points, size: tuple[int, int] = MAP) -> np.ndarray:
    """Winding number of every pixel centre, in fractions: the ray goes to the left."""
    exact = [(Fraction(x), Fraction(y)) for x, y in points]
    inside = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
            winding = 0
            for (x1, y1), (x2, y2) in zip(exact, exact[1:] + exact[:1], strict=True):
                if (y1 <= y) != (y2 <= y) and x1 + (y - y1) * (x2 - x1) / (y2 - y1) <= x:
                    winding += 1 if y2 > y1 else -1
            inside[row, column] = winding != 0
    return inside


def by_distance(points: Points, radius: float, size: tuple[int, int] = MAP) -> np.ndarray:
    """Squared distance of every pixel centre to every segment, in fractions."""
    exact = [(Fraction(x), Fraction(y)) for x, y in points]
    segments = list(pairwise(exact)) or [(exact[0], exact[0])]
    near = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = Fraction(2 * column + 1, 2), Fraction(2 * row + 1, 2)
            for (x1, y1), (x2, y2) in segments:
                length2 = (x2 - x1) ** 2 + (y2 - y1) ** 2
                t = ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length2 if length2 else Fraction(0)
                t = min(max(t, Fraction(0)), Fraction(1))
                distance2 = (x - x1 - t * (x2 - x1)) ** 2 + (y - y1 - t * (y2 - y1)) ** 2
                near[row, column] |= distance2 <= Fraction(radius) ** 2
    return near


# --- from shapes to pixels ---


@settings(deadline=None, max_examples=120)
@given(st.lists(POINT, min_size=3, max_size=7))
def test_a_polygon_is_what_brute_force_says(points: list[tuple[float, float]]) -> None:
    np.testing.assert_array_equal(drawn(polygon(*points)), by_winding(tuple(points)))


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(st.lists(POINT, min_size=1, max_size=5), st.integers(1, 24).map(lambda n: n / 4))
def test_a_brush_stroke_is_what_brute_force_says(points: list[tuple[float, float]], radius: float) -> None:
    np.testing.assert_array_equal(drawn(brush(*points, radius=radius)), by_distance(tuple(points), radius))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(POINT, min_size=3, max_size=6),
    st.integers(1, 24).map(lambda n: n / 4),
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
)
def test_a_rectangle_is_what_brute_force_says(
    points: list[tuple[float, float]], radius: float, shape: tuple[int, int]
) -> None:
    np.testing.assert_array_equal(drawn(polygon(*points), shape), by_winding(tuple(points), shape))
    stroke = brush(*points, radius=radius)
    np.testing.assert_array_equal(drawn(stroke, shape), by_distance(tuple(points), radius, shape))
    # A stroke owns all of its border, so that the turned stroke is the turned region.
    across = brush(*((y, x) for x, y in points), radius=radius)
    np.testing.assert_array_equal(drawn(across, shape[::-1]).T, drawn(stroke, shape))


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(-5, 20), st.floats(-5, 20)), min_size=3, max_size=6), st.floats(0.01, 9))
def test_any_numbers_are_right_but_for_pixels_on_the_border(
    points: list[tuple[float, float]], radius: float
) -> None:
    """Where no border passes within a millionth of a pixel's centre, rounding has no say."""
    closed = (*points, points[0])
    doubtful = by_distance(tuple(closed), 1e-6)
    differ = drawn(polygon(*points)) != by_winding(tuple(points))
    assert not (differ & ~doubtful).any()
    low, high = (by_distance(tuple(points), radius + d) for d in (-1e-6, 1e-6))
    got = drawn(brush(*points, radius=radius))
    assert not (low & ~got).any()
    assert not (got & ~high).any()


def test_pixel_centres_decide() -> None:
    expected = np.zeros((SIZE, SIZE), bool)
    expected[3:9, 2:7] = True
    np.testing.assert_array_equal(drawn(polygon(*SQUARE)), expected)
    assert drawn(polygon((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.4, 0.6))).sum() == 1
    assert drawn(polygon((0.6, 0.6), (1.4, 0.6), (1.4, 1.4), (0.6, 1.4))).sum() == 0
    assert drawn(brush((3.5, 3.5), radius=1)).sum() == 5
    assert drawn(brush((4.0, 4.0), radius=0.7)).sum() == 0
    assert drawn(brush((4.0, 4.0), radius=0.71)).sum() == 4


@settings(deadline=None, max_examples=60)
@given(POINT, POINT, POINT, POINT)
def test_neighbours_share_no_pixel_and_leave_none_out(
    a: tuple[float, float], b: tuple[float, float], c: tuple[float, float], inner: tuple[float, float]
) -> None:
    """Three triangles from an inner point to the corners are the whole triangle, each pixel once."""
    weight = [abs(value) + 1.0 for value in inner]
    total = sum(weight) + 1.0
    p = tuple((a[i] * weight[0] + b[i] * weight[1] + c[i]) / total for i in range(2))
    whole = drawn(polygon(a, b, c))
    area2 = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if abs(area2) < 1:
        return
    pieces = sum(drawn(polygon(x, y, (p[0], p[1]))).astype(int) for x, y in ((a, b), (b, c), (c, a)))
    np.testing.assert_array_equal(pieces, whole.astype(int))


def test_a_lasso_that_crosses_itself_has_no_holes() -> None:
    twice = (*SQUARE, *SQUARE)
    np.testing.assert_array_equal(drawn(polygon(*twice)), drawn(polygon(*SQUARE)))
    star = [(6 + 5 * math.sin(4 * math.pi * k / 5), 6 - 5 * math.cos(4 * math.pi * k / 5)) for k in range(5)]
    assert drawn(polygon(*star))[6, 6]
    np.testing.assert_array_equal(drawn(polygon(*star)), drawn(polygon(*star[::-1])))


def test_shapes_apply_in_order() -> None:
    assert rasterize([], MAP) is None
    hole = polygon((4, 5), (6, 5), (6, 7), (4, 7))
    square, inner = drawn(polygon(*SQUARE)), drawn(hole)
    only = rasterize([polygon(*SQUARE, mode="include"), hole], MAP)
    np.testing.assert_array_equal(only, square & ~inner)
    back = rasterize([polygon(*SQUARE), polygon(*hole.points, mode="include")], MAP)
    np.testing.assert_array_equal(back, ~square | inner)
    covered = rasterize([polygon(*hole.points, mode="include"), polygon(*SQUARE)], MAP)
    assert covered is not None
    assert not covered.any()


def test_shapes_far_outside_and_needle_thin() -> None:
    assert not drawn(polygon((1e6, 1e6), (1e6, 9e5), (9e5, 1e6))).any()
    assert drawn(polygon((-1e6, -1e6), (1e6, -1e6), (1e6, 1e6), (-1e6, 1e6))).all()
    assert drawn(brush((-1e6, 5.0), (1e6, 5.1), radius=30)).all()
    assert drawn(brush((-1e6, -1e6), radius=1e6)).sum() == 0
    assert drawn(brush((0.0, 5.5), (5e-324, 5.5), radius=2)).sum() == drawn(brush((0.0, 5.5), radius=2)).sum()
    assert not drawn(polygon((0, 5.5), (12, 5.5), (6, 5.5))).any()
    with pytest.raises(ValueError, match="shape"):
        rasterize([polygon(*SQUARE)], (12, 0))


def test_the_largest_shapes_are_drawn() -> None:
    rng = np.random.default_rng(0)
    points = tuple((float(x), float(y)) for x, y in rng.uniform(0, 64, (MAX_POINTS, 2)))
    assert drawn(polygon(*points), (64, 64)).any()
    assert drawn(brush(*points, radius=40.0), (64, 64)).all()


# --- as JSON ---

SHAPES = st.one_of(
    st.builds(
        Shape,
        st.just("polygon"),
        st.sampled_from(["exclude", "include"]),
        st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=3, max_size=5).map(tuple),
    ),
    st.builds(
        Shape,
        st.just("brush"),
        st.sampled_from(["exclude", "include"]),
        st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=5).map(tuple),
        st.floats(0.001, 1e6),
    ),
)


@settings(deadline=None)
@given(st.lists(SHAPES, max_size=4))
def test_json_gives_back_the_shapes(shapes: list[Shape]) -> None:
    assert from_json(json.loads(json.dumps(to_json(shapes)))) == tuple(shapes)


GOOD: dict[str, Any] = {"kind": "polygon", "mode": "exclude", "points": [[0, 0], [4, 0], [4, 4]]}
STROKE: dict[str, Any] = {"kind": "brush", "mode": "include", "points": [[1, 1]], "radius": 2}


@pytest.mark.parametrize(
    "bad",
    [
        None,
        3,
        [],
        {},
        {**GOOD, "kind": "circle"},
        {**GOOD, "kind": None},
        {**GOOD, "kind": ["polygon"]},
        {**GOOD, "mode": "invert"},
        {**GOOD, "points": "abc"},
        {**GOOD, "points": [[0, 0], [4, 0]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, 4, 4]]},
        {**GOOD, "points": [[0, 0], [4, 0], 4]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, "4"]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, True]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, None]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, math.nan]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, math.inf]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, 10**400]]},
        {**GOOD, "points": [[0, 0], [4, 0], [4, 2e6]]},
        {**GOOD, "points": [[0, 0]] * (MAX_POINTS + 1)},
        {**GOOD, "radius": 1},
        {**STROKE, "points": []},
        {**STROKE, "radius": 0},
        {**STROKE, "radius": -1},
        {**STROKE, "radius": math.nan},
        {**STROKE, "radius": "2"},
        {key: value for key, value in STROKE.items() if key != "radius"},
    ],
)
def test_a_bad_shape_is_named_by_its_number(bad: Any) -> None:
    assert len(from_json([GOOD, STROKE])) == 2
    with pytest.raises(PadimError, match=r"^shape 3 of the region: "):
        from_json([GOOD, STROKE, bad])


def test_another_list_of_shapes_is_refused() -> None:
    nonsense: tuple[Any, ...] = (None, {}, "[]", 3)
    for bad in nonsense:
        with pytest.raises(PadimError, match="not a list"):
            from_json(bad)
    assert len(from_json([GOOD] * MAX_SHAPES)) == MAX_SHAPES
    with pytest.raises(PadimError, match="501 shapes"):
        from_json([GOOD] * (MAX_SHAPES + 1))


def test_an_impossible_shape_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="polygon"):
        polygon((0, 0), (1, 1))
    with pytest.raises(ValueError, match="radius"):
        brush((0, 0), radius=0)
    with pytest.raises(ValueError, match="coordinates"):
        brush((0, math.nan), radius=1)


# --- kept in the model ---


@pytest.fixture
def model(saved_model: Path) -> Padim:
    return Padim.load(saved_model)


def region(model: Padim, *shapes: Shape) -> np.ndarray:
    roi = rasterize(shapes, model.config.input_shape)
    assert roi is not None
    return roi


DRAWN = (polygon((3, 3), (60, 8.5), (50, 61), mode="include"), brush((30, 30), (40, 33.25), radius=4.5))


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_shapes_are_saved_and_loaded(model: Padim, tmp_path: Path, name: str) -> None:
    assert not model.decision.roi_shapes
    path = model.set_roi(region(model, *DRAWN), DRAWN).save(tmp_path / name)
    again = Padim.load(path)
    assert again.decision.roi_shapes == DRAWN
    np.testing.assert_array_equal(again.decision.roi, region(model, *DRAWN))
    again.set_roi(again.decision.roi).save(path)
    assert not Padim.load(path).decision.roi_shapes


def test_shapes_go_with_their_region(model: Padim, tmp_path: Path) -> None:
    model.set_roi(region(model, *DRAWN), DRAWN).save(tmp_path / "m")
    with pytest.raises(ValueError, match="empty"):
        model.set_roi(np.zeros((64, 64), bool), DRAWN[:1])
    with pytest.raises(ValueError, match="501"):
        model.set_roi(region(model, *DRAWN), DRAWN[:1] * 501)
    assert model.decision.roi_shapes == DRAWN
    assert not model.set_roi(None, DRAWN).decision.roi_shapes
    model.save(tmp_path / "m")
    assert not list((tmp_path / "m").glob("roi*"))
    again = Padim.load(tmp_path / "m")
    assert again.decision.roi is None
    assert not again.decision.roi_shapes


def test_how_a_region_was_drawn_changes_no_identity(
    model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scored images stay valid when the same pixels are drawn in another way."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = Workspace(tmp_path)
    made = store.create("Parts")

    def identities(*shapes: Shape) -> tuple[str, str]:
        model.set_roi(region(model, *DRAWN), shapes).save(made.path)
        entry = store.get(made.id)
        return workspace.scoring_identity(entry), workspace.held_out_identity(entry)

    assert identities(*DRAWN) == identities() == identities(*DRAWN, brush((0, 0), radius=0.1))
    other = polygon((0, 0), (9, 0), (9, 9))
    before = identities(*DRAWN)
    model.set_roi(region(model, other), [other]).save(made.path)
    assert workspace.scoring_identity(store.get(made.id)) != before[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff", b"[3]", b"[" * 100_000, json.dumps([{**GOOD, "mode": "x"}]).encode()],
    ids=["empty", "not a list", "not text", "number", "deep", "mode"],
)
def test_sealed_nonsense_for_shapes_is_refused(model: Padim, tmp_path: Path, content: bytes) -> None:
    import hashlib

    path = model.set_roi(region(model, *DRAWN), DRAWN).save(tmp_path / "m")
    manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    digest = hashlib.sha256(content).hexdigest()
    entry = {"file": f"roi_shapes-{digest[:16]}.json", "sha256": digest, "bytes": len(content)}
    (path / str(entry["file"])).write_bytes(content)
    manifest["files"]["roi_shapes.json"] = entry
    manifest["seal"] = bundle._seal(manifest)
    (path / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(BundleError, match=r"roi_shapes\.json"):
        Padim.load(path)


def test_damaged_shapes_are_named(model: Padim, tmp_path: Path) -> None:
    path = model.set_roi(region(model, *DRAWN), DRAWN).save(tmp_path / "m")
    (file,) = path.glob("roi_shapes-*.json")
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BundleError, match=file.name):
        Padim.load(path)

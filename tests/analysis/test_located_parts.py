"""Measurements of models that locate the part: on what the network sees, at the place where the part is."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from padim import ImageError, Padim
from padim.analysis import robustness, sensitivity
from padim.analysis.learning_curve import learning_curve
from padim.analysis.located_parts import located_parts
from padim.analysis.pose_spread import good_images, pose_spread
from padim.analysis.region_preview import mean_normal
from tests.posed import any_pose, posed

BLANK = ("blank.png", np.full((120, 160, 3), 30, np.uint8))
SMALL: dict[str, Any] = {"input_size": 64, "n_features": 20, "smoothing_sigma": 1.0, "min_area": 4}


@pytest.fixture(scope="module")
def model() -> Padim:
    return Padim(align="outline", **SMALL).fit([*any_pose(14), BLANK])


def test_the_mean_of_located_parts_is_sharp(model: Padim) -> None:
    def contrast(one: Padim) -> float:
        return float(mean_normal(one).astype(float).std())

    unlocated = Padim(**SMALL).fit(any_pose(14))
    assert contrast(model) > 1.5 * contrast(unlocated)


def test_what_locating_leaves_of_the_pose_spread(model: Padim) -> None:
    assert 14 not in good_images(model), "the image without a part"
    found = pose_spread(model).alignment
    assert found.shift95 < 2


def test_defects_are_painted_where_the_part_is(model: Padim) -> None:
    failed: list[ImageError] = []
    found = sensitivity.measure(
        model,
        [*any_pose(2, seed=4), BLANK],
        kinds=("spot",),
        sizes=(8.0, 16.0),
        contrasts=(0.6,),
        places=2,
        on_error=failed.append,
    )
    assert [error.name for error in failed] == ["blank.png"]
    assert "not found" in failed[0].reason
    frame = model.state.fitted.locator.frame if model.state.fitted.locator else None
    assert frame is not None
    assert found.scale == pytest.approx((frame.width / 64, frame.height / 64), rel=1e-6)
    assert found.caught.shape[0] == 4


def test_changed_images_are_located_again(model: Padim) -> None:
    unlocated = Padim(**SMALL).fit(any_pose(14, shift=1, turn=1))
    images = [(f"{i}.png", posed(60 + i)) for i in range(4)]
    located, plain = (
        robustness.measure(one, images, severities={"rotation": (10.0,)}).series[0].false_rejects[-1].count
        for one in (model, unlocated)
    )
    # A turned part is brought upright like any other.
    assert located < plain


def test_the_learning_curve_uses_the_same_places() -> None:
    model = Padim(align="outline", **SMALL).fit(any_pose(22))
    defects = [(f"{i}.png", posed(300 + i, turn=40 * i, defect=(20, -6))) for i in range(4)]
    curve = learning_curve(model, [*defects, BLANK], sizes=(10,), draws=1, on_error=lambda error: None)
    assert curve.parts == 21, "all but the reference"
    assert curve.names == ("0.png", "1.png", "2.png", "3.png")


def test_the_summary_says_where_the_parts_lie(model: Padim) -> None:
    found = located_parts(model)
    assert found is not None
    assert (found.method, found.reference, found.found) == ("outline", "part_000.png", 14)
    assert [name for name, _ in found.lost] == ["blank.png"]
    spreads = {one.name: one for one in found.spreads}
    assert spreads["turn"].median > 30
    assert spreads["turn"].limit is None, "an outline may lie in any direction"
    assert spreads["scale"].limit is None, "nothing is judged unless it is asked for"
    judged = Padim(align={"method": "outline", "scale_weight": 3}, **SMALL).fit(any_pose(8))
    limits = {one.name: one.limit for one in (located_parts(judged) or found).spreads}
    assert limits["scale"] is not None
    assert limits["shift"] is None
    assert not found.warning
    assert "not found in 1" in found.sentence
    assert located_parts(Padim(**SMALL).fit(any_pose(4))) is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ({"dx": 18.0}, r"shifted by 1\d\.\d px"),
        ({"turn": 30.0}, "turned by (29|30)"),
        ({"scale": 0.85}, "different in size"),
    ],
)
def test_an_odd_reference_is_named(place: dict[str, float], words: str) -> None:
    others = any_pose(9, shift=1, turn=1)
    model = Padim(align="outline", **SMALL).fit([("odd.png", posed(50, **place)), *others])  # type: ignore[arg-type]
    found = located_parts(model)
    assert found is not None
    assert re.search(words, found.warning)
    assert "odd.png" in found.warning
    assert "part_0" in found.warning

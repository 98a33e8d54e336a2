"""The generated bracket lies as its pose says, and its masks cover what differs."""

from __future__ import annotations

import numpy as np
import pytest

from padim.locating.frame import Frame
from padim.locating.pose import Pose
from padim.locating.warp import warp
from sample_data.make_bracket import KINDS, LOOSE, SIZE, TALL, Lie, drawn_lie, make

STRAIGHT = Lie(0.0, 0.0, 0.0, 1.0)


def test_the_same_arguments_give_the_same_image_and_another_part_another() -> None:
    first, again, other = make(3, lie=STRAIGHT), make(3, lie=STRAIGHT), make(4, lie=STRAIGHT)
    assert np.array_equal(first.image, again.image)
    assert np.abs(first.image.astype(float) - other.image).mean() > 1
    assert first.image.shape == (*SIZE, 3)
    assert make(0, tall=True, lying="fixed").image.shape == (*TALL, 3)


def test_the_part_lies_as_the_pose_says() -> None:
    straight, lie = make(0, lie=STRAIGHT), Lie(21.0, -13.0, 35.0, 1.02)
    posed = make(0, lie=lie)
    pose = Pose(lie.dx, lie.dy, lie.turn, lie.scale, 1.0)
    turned_back = warp(posed.image, pose.to_image(Frame.whole(SIZE), SIZE, resize=True), SIZE)
    bright = [image[..., 0] > 130 for image in (straight.image, turned_back)]
    assert np.mean(bright[0] & bright[1]) / np.mean(bright[0] | bright[1]) > 0.9


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "misplaced"])
def test_a_defect_differs_from_the_good_part_inside_its_mask(kind: str) -> None:
    for index in (0, 5):
        made = make(index, kind=kind, lie=STRAIGHT)
        assert made.mask is not None
        assert 20 < made.mask.sum() < 0.1 * made.mask.size


def test_misplaced_parts_lie_beyond_what_is_usual() -> None:
    shift, turn, _ = LOOSE["fixture"]
    rng = np.random.default_rng(0)
    for _ in range(50):
        good, bad = drawn_lie(rng, "fixture"), drawn_lie(rng, "fixture", misplaced=True)
        assert np.hypot(good.dx, good.dy) <= shift * 2**0.5
        assert abs(good.turn) <= turn
        assert np.hypot(bad.dx, bad.dy) > shift * 2**0.5 or abs(bad.turn) > turn
        scaled = drawn_lie(rng, "any", misplaced=True).scale
        assert abs(scaled - 1) >= 0.1
    with pytest.raises(ValueError, match="kind must be"):
        make(0, kind="missing")

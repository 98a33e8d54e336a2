"""Locating in words."""

from __future__ import annotations

import pytest

from padim.locating.pose import Pose
from padim.locating.settings import Align
from padim.locating.wording import located_by, pose_text, settings_text


def test_how_the_part_is_located() -> None:
    mark = (1.0, 2.0, 30.0, 40.0)
    assert located_by(None) == "as they lie"
    assert located_by(Align(method="outline")) == "by its outline"
    assert located_by(Align(method="template", marks=(mark,))) == "by a marked place"
    assert located_by(Align(method="template", marks=(mark, mark))) == "by two marked places"
    assert located_by(Align(method="features", detector="orb")) == "by small details (ORB)"


def test_limits_and_judged_displacements() -> None:
    text = settings_text(Align(method="outline", max_shift=12, on_lost="review"))
    assert "at most 12 % of the image shifted, 180° turned" in text
    assert "otherwise the image is to be reviewed" in text
    assert text.endswith("No displacement is judged.")
    assert settings_text(Align(method="outline", scale_weight=3)).endswith("Judged is the size.")
    text = settings_text(Align(method="features", turn_weight=2))
    assert "the image is rejected" in text
    assert text.endswith("Judged are shift, turn (weight 2) and size.")
    none = Align(method="features", shift_weight=None, turn_weight=None, scale_weight=None)
    assert settings_text(none).endswith("No displacement is judged.")


@pytest.mark.parametrize(
    ("pose", "text"),
    [
        (Pose(0.3, 0, 0.01, 1.001, 0.93), "in place, match 0.93"),
        (
            Pose(12, -3, 14.23, 1.05, 0.5),
            "12 px right, 3 px up, turned 14.2° left, 105 % of its size, match 0.50",
        ),
        (Pose(-1, 2, -90, 1, 1), "1 px left, 2 px down, turned 90.0° right, match 1.00"),
    ],
)
def test_a_pose(pose: Pose, text: str) -> None:
    assert pose_text(pose) == text

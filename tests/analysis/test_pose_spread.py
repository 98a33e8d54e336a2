"""Pose spread of the good parts: figures of known shifts, and the choice of the images measured."""

from __future__ import annotations

import numpy as np
import pytest

from padim import Alignment, Cancelled, Padim
from padim.analysis.pose_spread import PoseSpread, pose_spread


def test_the_farthest_and_the_typical() -> None:
    shifts = np.array([[0, 1], [3, 4], [np.nan, np.nan], [0, -2], [6, 8]], np.float32)
    angles = np.zeros(5, np.float32)
    found = PoseSpread(Alignment(shifts, angles, angles, True, 9.0, 0.0, 9.0), (10, 11, 12, 13, 14), 5)
    assert found.typical == 3.5
    assert found.without_outline == 1
    assert found.farthest(2.0) == [(14, 10.0), (11, 5.0)]
    assert found.farthest(0.0, most=1) == [(14, 10.0)]


def test_of_many_images_some_are_measured_evenly(small_model: Padim) -> None:
    found = pose_spread(small_model, most=8)
    assert (len(found.measured), found.good) == (8, 22)
    assert set(np.diff(found.measured)) == {2, 3}
    assert len(found.lengths) == 8
    assert pose_spread(small_model).measured == tuple(range(22))
    with pytest.raises(Cancelled):
        pose_spread(small_model, cancel=lambda: True)

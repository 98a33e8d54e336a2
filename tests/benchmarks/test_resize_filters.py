"""The benchmark of resize filters: its formula is Pillow's, and it shows what antialiasing is for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import resize_filters
from benchmarks.resize_filters import FILTERS, REFERENCE, photograph, triangle_weights

BY_WEIGHTS = FILTERS["Its weights, in NumPy"]


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_documented_weights_are_pillows(height: int, width: int, size: int, seed: int) -> None:
    """To two gray levels: Pillow computes in integers of 22 bits and rounds after each of its two passes."""
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    expected, found = FILTERS[REFERENCE](rgb, size), BY_WEIGHTS(rgb, size)
    assert found.shape == (size, size, 3)
    assert np.abs(expected.astype(int) - found.astype(int)).max() <= 2
    np.testing.assert_allclose(triangle_weights(width, size).sum(axis=1), 1)


def test_opencvs_default_keeps_the_grain_that_antialiasing_averages_away() -> None:
    rgb = photograph(0, 1600, 1200)
    expected = FILTERS[REFERENCE](rgb, 128).astype(float)

    def off(name: str) -> float:
        return float(np.abs(FILTERS[name](rgb, 128) - expected).mean())

    assert off("Its weights, in NumPy") < 0.05
    assert off("OpenCV INTER_AREA") < 1.5
    assert off("OpenCV INTER_LINEAR") > 3 * off("OpenCV INTER_AREA")


@pytest.mark.slow
def test_the_benchmark_runs_and_its_check_can_fail() -> None:
    assert resize_filters.main(["--quick", "--target", "good_rejected_inter_linear=0", "--check"]) == 0
    assert resize_filters.main(["--quick", "--target", "good_rejected_inter_area=-1", "--check"]) == 1

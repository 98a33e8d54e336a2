"""k-centre: the greedy choice, point for point."""

from __future__ import annotations

import numpy as np
import pytest

from padim import coreset
from padim.coreset import k_centre, projection
from padim.errors import Cancelled


def plain(points: np.ndarray, count: int, first: int) -> list[int]:
    """The textbook loop, in float64."""
    x = points.astype(np.float64)
    nearest = np.linalg.norm(x - x[first], axis=1)
    taken = [first]
    while len(taken) < count:
        taken.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(x - x[taken[-1]], axis=1))
    return taken


@pytest.mark.parametrize("candidates", [4096, 50, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_points_are_those_of_the_textbook(
    monkeypatch: pytest.MonkeyPatch, candidates: int, seed: int
) -> None:
    monkeypatch.setattr(coreset, "_CANDIDATES", candidates)
    points = np.random.default_rng(seed).normal(size=(700, 5)).astype(np.float32)
    taken = k_centre(points, 150, seed)
    assert taken.tolist() == plain(points, 150, int(taken[0]))


def test_fewer_are_the_beginning_of_more() -> None:
    points = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    assert k_centre(points, 100, 7)[:30].tolist() == k_centre(points, 30, 7).tolist()


def test_every_point_can_be_taken_once_equal_ones_too() -> None:
    points = np.repeat(np.arange(5, dtype=np.float32)[:, None], 4, axis=0)
    taken = k_centre(points, 20, 0)
    assert sorted(taken.tolist()) == list(range(20))
    assert {float(points[i, 0]) for i in taken[:5]} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("count", [0, 6])
def test_impossible_counts(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 1 to 5"):
        k_centre(np.zeros((5, 2), np.float32), count, 0)


def test_it_can_be_stopped() -> None:
    def stop(taken: int) -> None:
        if taken > 60:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        k_centre(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32), 400, 0, stop)


def test_projection_keeps_distances_about_as_they_are() -> None:
    matrix = projection(300, 0)
    assert matrix is not None
    x = np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32)
    before = np.linalg.norm(x[:100] - x[100:], axis=1)
    after = np.linalg.norm((x[:100] - x[100:]) @ matrix, axis=1)
    assert np.abs(after / before - 1).mean() < 0.12
    assert projection(64, 0) is None

"""Coreset selection: the greedy k-center choice, point by point."""

from __future__ import annotations

import numpy as np
import pytest

from padim.errors import Cancelled
from padim.methods import coreset
from padim.methods.coreset import k_center, projection


def plain(points: np.ndarray, count: int, first: int) -> list[int]:
    """Select points by the textbook loop, in float64."""
    x = points.astype(np.float64)
    nearest = np.linalg.norm(x - x[first], axis=1)
    working_files = [first]
    while len(working_files) < count:
        working_files.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(x - x[working_files[-1]], axis=1))
    return working_files


@pytest.mark.parametrize("candidates", [4096, 50, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_points_are_those_of_the_textbook(
    monkeypatch: pytest.MonkeyPatch, candidates: int, seed: int
) -> None:
    monkeypatch.setattr(coreset, "_CANDIDATES", candidates)
    points = np.random.default_rng(seed).normal(size=(700, 5)).astype(np.float32)
    working_files = k_center(points, 150, seed)
    assert working_files.tolist() == plain(points, 150, int(working_files[0]))


def test_fewer_are_the_beginning_of_more() -> None:
    points = np.random.default_rng(2).normal(size=(300, 8)).astype(np.float32)
    assert k_center(points, 100, 7)[:30].tolist() == k_center(points, 30, 7).tolist()


def test_every_point_can_be_taken_once_equal_ones_too() -> None:
    points = np.repeat(np.arange(5, dtype=np.float32)[:, None], 4, axis=0)
    working_files = k_center(points, 20, 0)
    assert sorted(working_files.tolist()) == list(range(20))
    assert {float(points[i, 0]) for i in working_files[:5]} == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("count", [0, 6])
def test_impossible_counts(count: int) -> None:
    with pytest.raises(ValueError, match="count must be 1 to 5"):
        k_center(np.zeros((5, 2), np.float32), count, 0)


def test_it_can_be_stopped() -> None:
    def stop(working_files: int) -> None:
        if working_files > 60:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        k_center(np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32), 400, 0, stop)


def test_projection_keeps_distances_about_as_they_are() -> None:
    matrix = projection(300, 0)
    assert matrix is not None
    x = np.random.default_rng(0).normal(size=(200, 300)).astype(np.float32)
    before = np.linalg.norm(x[:100] - x[100:], axis=1)
    after = np.linalg.norm((x[:100] - x[100:]) @ matrix, axis=1)
    assert np.abs(after / before - 1).mean() < 0.12
    assert projection(64, 0) is None


def plain_refill(points: np.ndarray, working_files: np.ndarray, groups: np.ndarray, group: int) -> list[int]:
    """Refill by the textbook rule, in float64, over all points of the other groups."""
    x = points.astype(np.float64)
    radius = min_distances(x, x[working_files]).max()
    left = [row for row in working_files if groups[row] != group]
    others = np.flatnonzero(groups != group)
    fresh: list[int] = []
    while True:
        far = min_distances(x[others], x[[*left, *fresh]])
        if far.max() <= radius + 1e-9:
            return fresh
        fresh.append(int(others[far.argmax()]))


def min_distances(x: np.ndarray, bank: np.ndarray) -> np.ndarray:
    if not len(bank):
        return np.full(len(x), np.inf)
    return np.linalg.norm(x[:, None] - bank[None], axis=2).min(axis=1)


@pytest.mark.parametrize("block", [2**24, 100])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_refills_are_those_of_the_textbook(monkeypatch: pytest.MonkeyPatch, seed: int, block: int) -> None:
    monkeypatch.setattr(coreset, "PRODUCT", block)
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(120, 4)).astype(np.float32)
    groups = np.repeat(np.arange(6), 20)
    working_files = k_center(points, 25, seed)
    found = coreset.refills(points, working_files, groups)
    assert len(found) == 6
    assert any(len(rows) for rows in found)
    for group, rows in enumerate(found):
        assert rows.tolist() == plain_refill(points, working_files, groups, group)


def test_refills_leave_no_point_farther_than_the_whole_selection_does() -> None:
    rng = np.random.default_rng(5)
    points = rng.normal(size=(400, 8)).astype(np.float32)
    groups = rng.integers(0, 7, 400)
    working_files = k_center(points, 40, 0)
    radius = min_distances(points, points[working_files]).max()
    for group, rows in enumerate(coreset.refills(points, working_files, groups)):
        assert (groups[rows] != group).all()
        left = [*working_files[groups[working_files] != group], *rows]
        assert min_distances(points[groups != group], points[left]).max() <= radius + 1e-4


def test_a_group_that_has_the_whole_selection_is_replaced() -> None:
    rng = np.random.default_rng(3)
    points = rng.normal(size=(40, 3)).astype(np.float32)
    points[:20] *= 5
    groups = np.repeat([0, 1], 20)
    first, second = coreset.refills(points, np.arange(20), groups)
    assert len(first) >= 1
    assert (groups[first] == 1).all()
    assert len(second) == 0


def test_nothing_is_lacking_where_every_point_is_taken() -> None:
    points = np.random.default_rng(4).normal(size=(60, 5)).astype(np.float32)
    found = coreset.refills(points, np.arange(60), np.repeat(np.arange(3), 20))
    assert [len(rows) for rows in found] == [0, 0, 0]


def test_refilling_can_be_stopped() -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Cancelled("enough")

    points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with pytest.raises(Cancelled):
        coreset.refills(points, np.arange(10), np.repeat(np.arange(5), 10), stop)

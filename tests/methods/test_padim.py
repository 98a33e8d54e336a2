"""Position tolerance: the nearest of nine Gaussians, and its leave-one-out compared with refits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from padim.methods import padim
from padim.methods.base import Task
from padim.methods.neighborhood import COUNT, OWN, neighbors, seen_from
from padim.methods.padim import PatchGaussians
from padim.storage.normals import Status
from tests.methods.arrays import by_graph, by_numpy, embeddings, task


def around(grid: int, position: int) -> list[int]:
    """Return the positions of the 3 x 3 neighborhood, by plain loops."""
    row, column = divmod(position, grid)
    return [
        r * grid + c
        for r in range(max(row - 1, 0), min(row + 2, grid))
        for c in range(max(column - 1, 0), min(column + 2, grid))
    ]


@pytest.mark.parametrize("grid", [1, 2, 3, 7])
def test_neighbors(grid: int) -> None:
    found, seen = neighbors((grid, grid)), seen_from((grid, grid))
    for position in range(grid * grid):
        assert set(found[position]) == set(around(grid, position))
        assert found[position, OWN] == position
        # What j holds of position: row j, and the column in which j looks at it.
        for place in seen[position]:
            assert found[place // COUNT, place % COUNT] == position
        assert {place // COUNT for place in seen[position]} == set(around(grid, position))


def refitted(
    x: npt.NDArray[np.float32], rows: list[int], row: int, eps: float, grid: int
) -> npt.NDArray[np.float64]:
    """Return distances of an image to the nearest of nine Gaussians of these rows, by plain inverses."""
    rest = x[rows].astype(np.float64)
    d = x.shape[2]
    squared = np.empty((grid * grid, grid * grid))
    for j in range(grid * grid):
        inverse = np.linalg.inv(np.cov(rest[:, j].T).reshape(d, d) + eps * np.eye(d))
        delta = x[row].astype(np.float64) - rest[:, j].mean(axis=0)
        squared[j] = np.einsum("pd,de,pe->p", delta, inverse, delta)
    return np.sqrt([min(squared[j, p] for j in around(grid, p)) for p in range(grid * grid)])


def check(one: Task, x: npt.NDArray[np.float32], grid: int) -> PatchGaussians:
    fitted = padim.fit_detector(one)
    group = [normal.group for normal in one.normals]
    inside = one.fit_rows
    for row in range(len(one.normals)):
        rest = [other for other in inside if group[other] != group[row]]
        expected = refitted(x, rest, row, one.config.eps, grid)
        np.testing.assert_allclose(fitted.held_out[row], expected, rtol=2e-5)
    assert isinstance(fitted.detector, PatchGaussians)
    return fitted.detector


# 12 and 7 of 20 dimensions: from what the normals span; 40 of 5: from the scatter.
@pytest.mark.parametrize(("n", "d"), [(12, 30), (7, 20), (40, 5)])
@pytest.mark.parametrize("in_parts", [False, True])
def test_held_out_distances_equal_a_refit_of_all_neighbors(
    tmp_path: Path, n: int, d: int, in_parts: bool
) -> None:
    grid = 5
    x = embeddings(n, grid, d)
    parts = [f"part{row // 2 if row < 4 else row}" for row in range(n)] if in_parts else None
    out: dict[int, Status] = {n - 1: "kept_out"}
    one = task(tmp_path, x, parts, out, position_tolerance=1, n_features=d)
    detector = check(one, x, grid)
    assert detector.tolerance == 1
    # The runtime, and numpy, find the same of images nobody has seen.
    new = embeddings(3, grid, d, seed=5)
    plain, by_runtime = by_numpy(detector, new), by_graph(detector, new)
    np.testing.assert_allclose(by_runtime, plain, rtol=1e-3)
    rows = one.fit_rows
    expected = refitted(np.concatenate([x[rows], new]), list(range(len(rows))), len(rows), 0.01, grid)
    np.testing.assert_allclose(plain[0], expected, rtol=1e-4)
    for row in range(3):
        np.testing.assert_array_equal(by_graph(detector, new[row : row + 1])[0], by_runtime[row])


def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = embeddings(9, 6, 4)
    whole = padim.fit_detector(task(tmp_path / "a", x, position_tolerance=1))
    monkeypatch.setattr(padim, "BLOCK_BYTES", 1)
    pieces = padim.fit_detector(task(tmp_path / "b", x, position_tolerance=1))
    np.testing.assert_allclose(pieces.held_out, whole.held_out, rtol=1e-6)


def test_a_shifted_part_is_no_defect_with_tolerance(tmp_path: Path) -> None:
    """The purpose of the tolerance: parts that are one grid position off."""
    grid, rng = 8, np.random.default_rng(3)
    scene = np.random.default_rng(97).normal(scale=4, size=(grid + 2, grid + 2, 6))

    def image(down: int, right: int) -> npt.NDArray[np.float64]:
        seen = scene[1 + down : 1 + down + grid, 1 + right : 1 + right + grid]
        return (seen + rng.normal(scale=0.3, size=seen.shape)).reshape(grid * grid, 6)

    x = np.array([image(0, 0) for _ in range(30)], np.float32)
    shifted = np.array([image(0, 1)], np.float32)
    strict = padim.fit_detector(task(tmp_path / "a", x))
    tolerant = padim.fit_detector(task(tmp_path / "b", x, position_tolerance=1))
    assert by_numpy(strict.detector, shifted).max() > 3 * strict.held_out.max()
    # The last column comes from outside the grid, where no Gaussian can represent it.
    inside = np.arange(grid * grid) % grid < grid - 1
    assert by_numpy(tolerant.detector, shifted)[0, inside].max() < 1.2 * tolerant.held_out.max()


def test_fewer_than_three_parts_are_not_held_out(tmp_path: Path) -> None:
    x = embeddings(2, 3, 4)
    fitted = padim.fit_detector(task(tmp_path, x, position_tolerance=1))
    assert not fitted.held_out.any()

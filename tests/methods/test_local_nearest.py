"""PatchCore with a neighborhood: distances, held-out distances and the graph compared with plain loops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.config import PadimConfig
from padim.methods import ensemble, local_nearest, patchcore
from padim.methods.local_nearest import LocalNearest
from padim.methods.neighborhood import neighbors, seen_from
from padim.network.detector import MISFIT
from padim.network.nodes import FLOAT
from tests.methods.arrays import by_graph, by_numpy, task

Singles = npt.NDArray[np.float32]


def anywhere(n: int, grid: int, d: int, seed: int = 0) -> Singles:
    """Return float32 ``(n, p, d)`` whose positions vary freely, so that the nearest is often a neighbor."""
    return np.random.default_rng(seed).normal(5, 1, size=(n, grid * grid, d)).astype(np.float32)


def plain(x: Singles, normals: Singles | Sequence[Singles], grid: int, reach: int) -> npt.NDArray[np.float64]:
    """Return distances ``(p,)`` of one image to the nearest of the normals' vectors in the window."""
    result = np.full(grid * grid, np.inf)
    for row in range(grid):
        for column in range(grid):
            at = row * grid + column
            for near_row in range(max(row - reach, 0), min(row + reach + 1, grid)):
                for near_column in range(max(column - reach, 0), min(column + reach + 1, grid)):
                    for normal in normals:
                        other = normal[near_row * grid + near_column]
                        distance = np.linalg.norm(x[at].astype(np.float64) - other)
                        result[at] = min(result[at], distance)
    return result


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("grid", [1, 2, 5])
def test_distances_of_new_images(tmp_path: Path, grid: int, reach: int) -> None:
    x, new = anywhere(4, grid, 6), anywhere(3, grid, 6, seed=4)
    detector = patchcore.fit_detector(task(tmp_path, x, neighborhood=reach)).detector
    assert isinstance(detector, LocalNearest)
    expected = np.stack([plain(one, x, grid, reach) for one in new])
    np.testing.assert_allclose(by_numpy(detector, new), expected, rtol=1e-5)
    found = by_graph(detector, new)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for row in range(3):
        np.testing.assert_array_equal(by_graph(detector, new[row : row + 1])[0], found[row])
    # A window of five contains more vectors than one of three.
    if grid == 5 and reach == 2:
        assert (expected < np.stack([plain(one, x, grid, 1) for one in new])).any()


@pytest.mark.parametrize("window", [256, 2])
def test_held_out_is_the_distance_to_the_other_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(local_nearest, "_WINDOW", window)
    grid, x = 4, anywhere(7, 4, 5)
    parts = ["a", "b", "a", "c", "d", "e", "out"]
    fitted = patchcore.fit_detector(task(tmp_path, x, parts, {6: "kept_out"}, neighborhood=1))
    for row in range(7):
        rest = [x[other] for other in range(6) if parts[other] != parts[row]]
        np.testing.assert_allclose(fitted.held_out[row], plain(x[row], rest, grid, 1), rtol=1e-5)
    # Exact: a model fitted without the part gives the same.
    without = patchcore.fit_detector(task(tmp_path / "without", x[[1, 3, 4, 5]], neighborhood=1)).detector
    np.testing.assert_allclose(by_numpy(without, x[[0, 2]]), fitted.held_out[[0, 2]], rtol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images(tmp_path: Path, n: int) -> None:
    fitted = patchcore.fit_detector(task(tmp_path, anywhere(n, 3, 4), neighborhood=1))
    assert np.isfinite(fitted.held_out).all()
    assert (fitted.held_out > 0).any() == (n == 3)


def test_an_image_of_the_model_is_at_no_distance(tmp_path: Path) -> None:
    x = anywhere(3, 3, 4)
    detector = patchcore.fit_detector(task(tmp_path, x, neighborhood=1)).detector
    assert by_graph(detector, x).max() < 5e-3


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 7), st.integers(1, 3))
def test_neighbors_of_a_position(grid: int, reach: int) -> None:
    """``seen_from`` finds, in a flat array, every pair of a position and one that has it in its window."""
    around = neighbors((grid, grid), reach)
    flat = around.reshape(-1)
    assert (flat[seen_from((grid, grid), reach)] == np.arange(grid**2)[:, None]).all()
    for position, seen in enumerate(seen_from((grid, grid), reach)):
        assert set(seen // around.shape[1]) == set(around[position])


def test_what_scoring_takes_is_bounded_by_a_row_of_the_grid(tmp_path: Path) -> None:
    detector = patchcore.fit_detector(task(tmp_path, anywhere(3, 6, 4), neighborhood=2)).detector
    piece = detector.piece(4)
    banks = [value for value in piece.inputs if value.name.startswith("bank_")]
    assert len(banks) == 6
    for bank in banks:
        assert bank.type.tensor_type.elem_type == FLOAT
        assert bank.type.tensor_type.shape.dim[0].dim_value == 6
    assert detector.scoring_bytes() == local_nearest.scoring_bytes((6, 6), 4, 3, 2)
    # Twice the images, and what does not depend on them only once.
    more = local_nearest.scoring_bytes((6, 6), 4, 6, 2) - detector.scoring_bytes()
    assert more == 2 * 4 * 6 * 25 * 3


class Files:
    """A bundle's arrays, by name."""

    def __init__(self, **arrays: npt.NDArray[np.float32]) -> None:
        self._arrays = arrays

    def array(self, name: str, dtypes: object, ndim: int) -> npt.NDArray[np.float32]:
        array = self._arrays[name.removesuffix(".npy")]
        assert array.ndim == ndim
        return array


@pytest.mark.parametrize(
    ("bank", "center"),
    [((9, 4, 0), (4,)), ((8, 4, 2), (4,)), ((9, 3, 2), (4,)), ((9, 4, 2), (3,))],
)
def test_arrays_of_another_model_are_refused(bank: tuple[int, ...], center: tuple[int, ...]) -> None:
    config = PadimConfig(method="patchcore", neighborhood=1)
    files = Files(bank=np.zeros(bank, np.float32), centre=np.zeros(center, np.float32))
    with pytest.raises(ValueError, match=MISFIT):
        patchcore.DETECTOR.load(files, config, (9, 4))  # type: ignore[arg-type]


def test_it_can_be_a_member_of_an_ensemble(tmp_path: Path) -> None:
    x, new = anywhere(6, 3, 5), anywhere(2, 3, 5, seed=4)
    together: dict[str, Any] = {"method": "ensemble", "members": ("padim", "patchcore"), "n_features": 5}
    detector = ensemble.fit_detector(task(tmp_path, x, neighborhood=1, **together)).detector
    assert isinstance(detector, ensemble.Ensemble)
    assert isinstance(detector.members[1], LocalNearest)
    np.testing.assert_allclose(by_graph(detector, new), by_numpy(detector, new), rtol=1e-3)

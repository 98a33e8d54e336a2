"""PatchCore: memory, distances and held-out distances compared with plain loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from padim.config import PadimConfig
from padim.methods import patchcore
from padim.methods.coreset import k_center, refills
from padim.methods.patchcore import NEIGHBORS, PatchCore, pooled
from padim.network.detector import MISFIT
from tests.methods.arrays import by_graph, by_numpy, embeddings, task


def plain_pooled(x: npt.NDArray[np.float32], grid: int) -> npt.NDArray[np.float64]:
    image = x.reshape(grid, grid, -1).astype(np.float64)
    result = np.empty_like(image)
    for row in range(grid):
        for column in range(grid):
            near = image[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            result[row, column] = near.mean(axis=(0, 1))
    return result.reshape(grid * grid, -1)


def plain_distances(
    patches: npt.NDArray[np.float64], bank: npt.NDArray[np.float64], *, weighted: bool = False
) -> npt.NDArray[np.float64]:
    """Compute equation 6 of the paper at every position; weighted, equation 7 on the whole map."""
    each = np.array([[np.linalg.norm(patch - own) for own in bank] for patch in patches])
    least = each.min(axis=1)
    if not weighted:
        return least
    star = int(least.argmax())
    nearest = bank[each[star].argmin()]
    order = np.argsort([np.linalg.norm(own - nearest) for own in bank], kind="stable")[:NEIGHBORS]
    near = each[star][order]
    weight = 1 - np.exp(near[0]) / np.exp(near).sum()
    return least * weight


def test_locally_aware_features() -> None:
    x = embeddings(2, 5, 3)
    for one, expected in zip(pooled(x, (5, 5)), x, strict=True):
        np.testing.assert_allclose(one, plain_pooled(expected, 5), rtol=1e-5, atol=1e-6)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow small memories, for images of a few patches."""
    monkeypatch.setattr(patchcore, "FEWEST", 8)


@pytest.mark.usefixtures("few")
def test_distances_to_the_memory(tmp_path: Path) -> None:
    grid = 4
    x, new = embeddings(6, grid, 5), embeddings(3, grid, 5, seed=4)
    fitted = patchcore.fit_detector(task(tmp_path, x, coreset_percent=80))
    detector = fitted.detector
    assert isinstance(detector, PatchCore)
    bank = (detector.bank + detector.center).astype(np.float64)
    assert len(bank) == round(0.8 * 6 * 16)
    # The memory is made of the normals' own patches.
    patches = np.concatenate([plain_pooled(one, grid) for one in x])
    assert all(np.abs(patches - own).max(axis=1).min() < 1e-4 for own in bank)
    expected = np.stack([plain_distances(plain_pooled(one, grid), bank) for one in new])
    np.testing.assert_allclose(by_numpy(detector, new), expected, rtol=1e-4)
    found = by_graph(detector, new)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    for row in range(3):
        np.testing.assert_array_equal(by_graph(detector, new[row : row + 1])[0], found[row])


def weighted(patches: npt.NDArray[np.float32], grid: tuple[int, int]) -> PatchCore:
    """Return a model as earlier versions saved it: weighted, with the neighbors of every stored patch."""
    plain = PatchCore.of(patches, grid)
    each = np.linalg.norm(plain.bank[:, None] - plain.bank[None], axis=2)
    around = np.argsort(each, axis=1, kind="stable")[:, :NEIGHBORS]
    return replace(plain, around=around.astype(np.int64))


def test_a_model_saved_with_weights_keeps_them() -> None:
    grid = 4
    memory, new = embeddings(3, grid, 5).reshape(-1, 5), embeddings(3, grid, 5, seed=4)
    saved = weighted(memory, (grid, grid))
    config = PadimConfig(method="patchcore", input_size=64, grid_stride=16)
    detector = PatchCore.load(Files(saved.files()), config, (grid**2, 5))
    assert isinstance(detector, PatchCore)
    expected = np.stack(
        [plain_distances(plain_pooled(one, grid), memory.astype(float), weighted=True) for one in new]
    )
    np.testing.assert_allclose(by_numpy(detector, new), expected, rtol=1e-4)
    np.testing.assert_allclose(by_graph(detector, new), expected, rtol=1e-4)
    assert set(detector.files()) == {"bank.npy", "centre.npy", "around.npy"}
    assert detector.form != PatchCore.of(memory, (grid, grid)).form


class Files:
    """A bundle's arrays, by file name."""

    def __init__(self, files: Mapping[str, npt.NDArray[Any]]) -> None:
        self._files = files

    def bytes(self, name: str) -> bytes:
        raise NotImplementedError

    def array(self, name: str, dtypes: Any, ndim: int) -> npt.NDArray[Any]:
        assert self._files[name].dtype == dtypes
        assert self._files[name].ndim == ndim
        return self._files[name]

    def arrays(self, kinds: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        return {name: self._files[name] for name in kinds if name in self._files}


@pytest.mark.parametrize(
    "broken",
    [
        {"bank.npy": np.zeros((0, 4), np.float32)},
        {"bank.npy": np.zeros((12, 3), np.float32)},
        {"centre.npy": np.zeros(3, np.float32)},
        {"around.npy": np.zeros((12, 8), np.int64)},
        {"around.npy": np.full((12, 9), 12, np.int64)},
        {"around.npy": np.full((12, 9), -1, np.int64)},
    ],
)
def test_arrays_of_another_model_are_refused(broken: dict[str, npt.NDArray[Any]]) -> None:
    files = Files({**weighted(embeddings(1, 4, 4)[0, :12], (3, 3)).files(), **broken})
    with pytest.raises(ValueError, match=MISFIT):
        PatchCore.load(files, PadimConfig(method="patchcore"), (9, 4))


def test_held_out_is_the_memory_without_the_part(tmp_path: Path) -> None:
    grid = 3
    x = embeddings(8, grid, 4)
    parts = ["a", "a", "b", "c", "d", "e", "f", "out"]
    one = task(tmp_path, x, parts, {7: "kept_out"}, coreset_percent=100)
    fitted = patchcore.fit_detector(one)
    detector = fitted.detector
    assert isinstance(detector, PatchCore)
    patches = [plain_pooled(row, grid) for row in x]
    for row in range(8):
        # At 100 % the memory is all patches, and leaving out is exact.
        rest = np.concatenate([patches[other] for other in range(7) if parts[other] != parts[row]])
        np.testing.assert_allclose(
            fitted.held_out[row], plain_distances(patches[row], rest), rtol=1e-3, err_msg=str(row)
        )


@pytest.mark.usefixtures("few")
def test_held_out_is_the_memory_without_the_part_and_refilled(tmp_path: Path) -> None:
    """In a small memory, patches that a part's own patches had made superfluous take their place."""
    grid, features = 4, 5
    x = embeddings(7, grid, features)
    parts = ["a", "a", "b", "c", "d", "e", "f"]
    fitted = patchcore.fit_detector(task(tmp_path, x, parts, coreset_percent=12))
    patches = np.stack([pooled(one[None], (grid, grid))[0] for one in x])
    points = patches.reshape(-1, features) - patches.mean(axis=(0, 1))
    chosen = k_center(points.astype(np.float32), round(0.12 * len(points)), 0)
    number = np.repeat([0, 0, 1, 2, 3, 4, 5], grid**2)
    missing = refills(points.astype(np.float32), chosen, number)
    assert any(len(rows) for rows in missing)
    for row in range(7):
        own = number[row * grid**2]
        left = [*chosen[number[chosen] != own], *missing[own]]
        expected = plain_distances(patches[row], patches.reshape(-1, features)[left].astype(np.float64))
        np.testing.assert_allclose(fitted.held_out[row], expected, rtol=1e-3, err_msg=str(row))


def test_a_part_is_never_scored_by_itself(tmp_path: Path) -> None:
    """An image given twice as one part would have distance 0 from itself in the memory."""
    x = embeddings(6, 4, 5)
    x[1] = x[0]
    together = patchcore.fit_detector(
        task(tmp_path / "a", x, ["a", "a", "b", "c", "d", "e"], coreset_percent=100)
    )
    apart = patchcore.fit_detector(task(tmp_path / "b", x, coreset_percent=100))
    assert together.held_out[0].min() > 0.1
    assert apart.held_out[0].max() < 1e-2


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images(tmp_path: Path, n: int) -> None:
    fitted = patchcore.fit_detector(task(tmp_path, embeddings(n, 3, 4), coreset_percent=0.01))
    assert np.isfinite(fitted.held_out).all()
    assert (fitted.held_out > 0).any() == (n == 3)
    assert np.isfinite(by_numpy(fitted.detector, embeddings(1, 3, 4, seed=2))).all()


def test_equal_images(tmp_path: Path) -> None:
    x = np.repeat(embeddings(1, 3, 4), 5, axis=0)
    fitted = patchcore.fit_detector(task(tmp_path, x, coreset_percent=1))
    assert np.isfinite(fitted.held_out).all()
    assert fitted.held_out.max() < 1e-2


def test_a_memory_of_one_patch_has_nothing_to_weight_by() -> None:
    x = embeddings(2, 3, 4)
    expected = np.linalg.norm(pooled(x, (3, 3)) - 1, axis=2)
    for detector in (
        PatchCore.of(np.ones((1, 4), np.float32), (3, 3)),
        weighted(np.ones((1, 4), np.float32), (3, 3)),
    ):
        np.testing.assert_allclose(by_numpy(detector, x), expected, rtol=1e-5)
        np.testing.assert_allclose(by_graph(detector, x), expected, rtol=1e-5)


def test_a_small_memory_is_no_smaller_than_two_thousand_patches() -> None:
    assert patchcore.memory_size(20 * 1024, 1.0) == 2048
    assert patchcore.memory_size(209 * 1024, 1.0) == 2140
    assert patchcore.memory_size(1024, 1.0) == 1024

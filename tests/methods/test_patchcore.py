"""PatchCore: memory, distances and weight against plain loops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from padim.methods import patchcore
from padim.methods.patchcore import NEIGHBOURS, PatchCore, pooled
from tests.methods.arrays import by_graph, by_numpy, embeddings, task


def plain_pooled(x: npt.NDArray[np.float32], grid: int) -> npt.NDArray[np.float64]:
    picture = x.reshape(grid, grid, -1).astype(np.float64)
    result = np.empty_like(picture)
    for row in range(grid):
        for column in range(grid):
            near = picture[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            result[row, column] = near.mean(axis=(0, 1))
    return result.reshape(grid * grid, -1)


def plain_distances(
    patches: npt.NDArray[np.float64], bank: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Equations 6 and 7 of the paper, the weight on the whole map."""
    each = np.array([[np.linalg.norm(patch - own) for own in bank] for patch in patches])
    least = each.min(axis=1)
    star = int(least.argmax())
    nearest = bank[each[star].argmin()]
    order = np.argsort([np.linalg.norm(own - nearest) for own in bank], kind="stable")[:NEIGHBOURS]
    near = each[star][order]
    weight = 1 - np.exp(near[0]) / np.exp(near).sum()
    return least * weight


def test_locally_aware_features() -> None:
    x = embeddings(2, 5, 3)
    for one, expected in zip(pooled(x), x, strict=True):
        np.testing.assert_allclose(one, plain_pooled(expected, 5), rtol=1e-5, atol=1e-6)


def test_distances_and_weight(tmp_path: Path) -> None:
    grid = 4
    x, new = embeddings(6, grid, 5), embeddings(3, grid, 5, seed=4)
    learnt = patchcore.learn(task(tmp_path, x, coreset_percent=80))
    detector = learnt.detector
    assert isinstance(detector, PatchCore)
    bank = (detector.bank + detector.centre).astype(np.float64)
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


def test_held_out_is_the_memory_without_the_part(tmp_path: Path) -> None:
    grid = 3
    x = embeddings(8, grid, 4)
    parts = ["a", "a", "b", "c", "d", "e", "f", "out"]
    one = task(tmp_path, x, parts, {7: "kept_out"}, coreset_percent=100)
    learnt = patchcore.learn(one)
    detector = learnt.detector
    assert isinstance(detector, PatchCore)
    patches = [plain_pooled(row, grid) for row in x]
    for row in range(8):
        # At 100 % the memory is all patches, and leaving out is exact.
        rest = np.concatenate([patches[other] for other in range(7) if parts[other] != parts[row]])
        np.testing.assert_allclose(
            learnt.held_out[row], plain_distances(patches[row], rest), rtol=1e-3, err_msg=str(row)
        )


def test_a_part_is_never_its_own_judge(tmp_path: Path) -> None:
    """A picture twice, as one part: in the memory it would be at no distance from itself."""
    x = embeddings(6, 4, 5)
    x[1] = x[0]
    together = patchcore.learn(task(tmp_path / "a", x, ["a", "a", "b", "c", "d", "e"], coreset_percent=100))
    apart = patchcore.learn(task(tmp_path / "b", x, coreset_percent=100))
    assert together.held_out[0].min() > 0.1
    assert apart.held_out[0].max() < 1e-2


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_pictures(tmp_path: Path, n: int) -> None:
    learnt = patchcore.learn(task(tmp_path, embeddings(n, 3, 4), coreset_percent=0.01))
    assert np.isfinite(learnt.held_out).all()
    assert (learnt.held_out > 0).any() == (n == 3)
    assert np.isfinite(by_numpy(learnt.detector, embeddings(1, 3, 4, seed=2))).all()


def test_equal_pictures(tmp_path: Path) -> None:
    x = np.repeat(embeddings(1, 3, 4), 5, axis=0)
    learnt = patchcore.learn(task(tmp_path, x, coreset_percent=1))
    assert np.isfinite(learnt.held_out).all()
    assert learnt.held_out.max() < 1e-2


def test_the_first_patch_of_a_memory_of_one_has_no_weight(tmp_path: Path) -> None:
    detector = PatchCore.of(np.ones((1, 4), np.float32), 9)
    x = embeddings(2, 3, 4)
    expected = np.linalg.norm(pooled(x) - 1, axis=2)
    np.testing.assert_allclose(by_numpy(detector, x), expected, rtol=1e-5)
    np.testing.assert_allclose(by_graph(detector, x), expected, rtol=1e-5)

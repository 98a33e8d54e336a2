"""PatchStatistics compared with NumPy's moments, and its algebra."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from padim.errors import PadimError
from padim.methods.gaussian import Regularization, squared_distances, whitening
from padim.methods.moments import PatchStatistics

Doubles = npt.NDArray[np.float64]
P, D = 5, 4


def draw(seed: int, n: int, scale: float = 1.0, shift: float = 0.0) -> Doubles:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(P, D, D))
    return np.einsum("npd,pde->npe", rng.normal(size=(n, P, D)), mixing) * scale + shift


def of(x: Doubles, batch: int = 3) -> PatchStatistics:
    statistics = PatchStatistics(P, D)
    for start in range(0, len(x), batch):
        statistics.update(x[start : start + batch])
    return statistics


def assert_same(one: PatchStatistics, other: PatchStatistics, rtol: float = 1e-10) -> None:
    assert one.count == other.count
    scale = max(1.0, float(np.abs(other.scatter).max()))
    np.testing.assert_allclose(one.mean, other.mean, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(one.scatter, other.scatter, rtol=rtol, atol=rtol * scale)


def test_moments_are_those_of_the_whole_sample() -> None:
    x = draw(0, 37)
    statistics = of(x, 8)
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0), rtol=1e-12)
    for position in range(P):
        expected = np.cov(x[:, position].T) * (len(x) - 1)
        np.testing.assert_allclose(statistics.scatter[position], expected, rtol=1e-10, atol=1e-12)


def test_more_positions_than_one_block() -> None:
    x = np.random.default_rng(3).normal(size=(6, 600, 3))
    statistics = PatchStatistics(600, 3).update(x[:4]).update(x[4:])
    expected = np.einsum("npd,npe->pde", x - x.mean(0), x - x.mean(0))
    np.testing.assert_allclose(statistics.scatter, expected, rtol=1e-10, atol=1e-12)


def test_nothing_cancels_when_the_mean_dwarfs_the_spread() -> None:
    """At mean / std = 1e6, raw float64 sums of moments lose the digits that the update keeps."""
    x = draw(1, 60, scale=1.0, shift=1e6)
    expected = np.einsum("npd,npe->pde", x - x.mean(0), x - x.mean(0))
    statistics = of(x, 7)
    np.testing.assert_allclose(statistics.scatter, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())
    raw = np.einsum("npd,npe->pde", x, x) - len(x) * np.einsum("pd,pe->pde", x.mean(0), x.mean(0))
    assert np.abs(raw - expected).max() > 100 * np.abs(statistics.scatter - expected).max()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(1, 30),
    batch=st.integers(1, 9),
    order=st.randoms(use_true_random=False),
)
def test_order_and_batches_do_not_matter(seed: int, n: int, batch: int, order: object) -> None:
    x = draw(seed, n)
    permutation = list(range(n))
    order.shuffle(permutation)  # type: ignore[attr-defined]
    assert_same(of(x[permutation], batch), of(x, n), 1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(0, 20), m=st.integers(0, 20))
def test_merge_is_union(seed: int, n: int, m: int) -> None:
    x = draw(seed, n + m)
    assert_same(of(x[:n]).merge(of(x[n:])), of(x), 1e-8)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 20), shift=st.floats(-50, 50))
def test_add_then_remove_changes_no_distance(seed: int, n: int, shift: float) -> None:
    x = draw(seed, n + 1)
    statistics, before = of(x[:n]), of(x[:n])
    statistics.add(x[n] + shift).remove(x[n] + shift)
    regularization = Regularization()

    def distances(of_these: PatchStatistics) -> Doubles:
        return np.sqrt(
            squared_distances(x, of_these.mean, whitening(of_these, regularization, of_these.count - 1))
        )

    np.testing.assert_allclose(distances(statistics), distances(before), rtol=1e-6, atol=1e-6)


def test_remove_down_to_nothing() -> None:
    x = draw(5, 3)
    statistics = of(x)
    statistics.remove(x[1])
    assert_same(statistics, of(x[[0, 2]]))
    statistics.remove(x[0]).remove(x[2])
    assert statistics.count == 0
    assert not statistics.mean.any()
    assert not statistics.scatter.any()
    with pytest.raises(ValueError, match="no image is left"):
        statistics.remove(x[0])


def test_a_checkpoint_continues_bit_for_bit(tmp_path: Path) -> None:
    x = draw(6, 24)
    straight = of(x, 4)
    first = of(x[:12], 4)
    first.save(tmp_path / "checkpoint.npz")
    continued = PatchStatistics.load(tmp_path / "checkpoint.npz")
    for start in range(12, 24, 4):
        continued.update(x[start : start + 4])
    assert continued.count == straight.count
    assert np.array_equal(continued.mean, straight.mean)
    assert np.array_equal(continued.scatter, straight.scatter)
    assert_same(of(x[::-1], 5), straight, 1e-6)


def test_memory_does_not_depend_on_the_number_of_images() -> None:
    few, many = of(draw(7, 3)), of(draw(7, 300))
    size = few.mean.nbytes + few.scatter.nbytes
    assert size == many.mean.nbytes + many.scatter.nbytes == 8 * P * D * (D + 1)


@pytest.mark.parametrize("damage", ["truncated", "text", "missing", "other"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.npz"
    of(draw(8, 5)).save(path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "missing":
        path.unlink()
    else:
        np.savez(path, count=3, mean=np.zeros((2, 2)), scatter=np.zeros((2, 3, 3)))
    with pytest.raises(PadimError, match=r"checkpoint\.npz"):
        PatchStatistics.load(path)


def test_wrong_shapes_and_values_are_refused() -> None:
    statistics = PatchStatistics(P, D)
    with pytest.raises(ValueError, match=r"\(n, p, d\)"):
        statistics.update(np.zeros((2, P, D + 1)))
    with pytest.raises(ValueError, match="not finite"):
        statistics.update(np.full((1, P, D), np.nan))
    with pytest.raises(ValueError, match="merge"):
        statistics.merge(PatchStatistics(P, D + 1))
    assert statistics.count == 0


def test_the_input_is_left_alone() -> None:
    x = draw(9, 1)
    before = x.copy()
    of(x).add(x[0]).remove(x[0])
    assert np.array_equal(x, before)

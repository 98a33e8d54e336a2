"""Factors of covariance matrices, and fits on few normals, compared with the textbook's matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from padim import Padim, PadimConfig
from padim.methods import factor as factors
from padim.methods.factor import Factor, LowRank, Triangular, from_files, is_low_rank
from padim.methods.gaussian import (
    LeaveOut,
    LeaveOutOfSpan,
    Regularization,
    Span,
    squared_distances,
    whitening,
)
from padim.methods.moments import PatchStatistics
from tests.parts import normals

Doubles = npt.NDArray[np.float64]


def features(seed: int, n: int, p: int, d: int) -> Doubles:
    """Return features like a network's: a few strong directions, many weak ones, some dead channels."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(p, d, d)) * np.geomspace(3, 0.003, d)[None, :, None]
    x = np.einsum("npd,pde->npe", rng.normal(size=(n, p, d)), mixing) + 1
    x[:, :, :: max(d // 3, 2)] = 0.25
    return x


def covariances(x: Doubles, regularization: Regularization) -> Doubles:
    d = x.shape[2]
    plain = [np.cov(x[:, p].T).reshape(d, d) for p in range(x.shape[1])]
    return regularization.weight * np.stack(plain) + regularization.floor * np.eye(d)


def low_rank(x: Doubles, regularization: Regularization) -> tuple[LowRank, Span]:
    n, p, d = x.shape
    span = Span(x, regularization)
    result = LowRank.empty(p, d, n - 1, regularization.floor)
    result.put(slice(None), *span.basis())
    return result, span


def direct(delta: Doubles, covariance: Doubles) -> Doubles:
    """Return squared distances ``(n, p)`` by a general solver."""
    solved = np.linalg.solve(covariance, delta.transpose(1, 2, 0))  # once a position, for all images
    return np.asarray(np.einsum("npd,pdn->np", delta, solved))


@pytest.mark.parametrize(("n", "d"), [(2, 30), (8, 30), (15, 31), (20, 8)])
@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_both_forms_hold_the_same_gaussian(n: int, d: int, shrinkage: float) -> None:
    regularization = Regularization(0.01, shrinkage)
    x = features(1, n, 6, d)
    expected = covariances(x, regularization)
    statistics = PatchStatistics(6, d).update(x)
    triangular = Triangular.of(whitening(statistics, regularization, n - 1))
    forms: list[Factor] = [triangular]
    if n <= d:
        forms.append(low_rank(x, regularization)[0])
    delta = features(2, 5, 6, d) - statistics.mean
    some = np.array([4, 1])
    for form in forms:
        assert form.shape == (6, d)
        np.testing.assert_allclose(form.covariance(some), expected[some], atol=2e-5 * np.abs(expected).max())
        np.testing.assert_allclose(form.squared_distances(delta), direct(delta, expected), rtol=1e-4)
        part = form.squared_distances(delta[:, 2:5], slice(2, 5))
        np.testing.assert_allclose(part, direct(delta, expected)[:, 2:5], rtol=1e-4)


def test_a_16_bit_basis_moves_distances_by_less_than_a_thousandth(monkeypatch: pytest.MonkeyPatch) -> None:
    """For near and far images, strong and weak directions, and images within the span of the normals."""
    monkeypatch.setattr(factors, "NARROW_ABOVE_BYTES", 0)
    regularization = Regularization(0.01)
    x = (features(3, 60, 4, 300) - 1) / 15 + 1
    assert np.cov(x[:, 0].T).trace() / 0.01 > 2500  # as much above the floor as real features are, and more
    narrow, span = low_rank(x, regularization)
    assert narrow.narrow
    assert narrow.integers().dtype == np.int16
    expected = covariances(x, regularization)
    rng = np.random.default_rng(4)
    for delta in (
        features(5, 8, 4, 300) - span.mean,
        x - span.mean,
        rng.normal(size=(8, 4, 300)) * 1e-3,
        (x - span.mean) * 10,
        (x - span.mean) + rng.normal(size=x.shape) * 1e-3,
    ):
        ours, theirs = np.sqrt(narrow.squared_distances(delta)), np.sqrt(direct(delta, expected))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_where_16_bits_would_show_32_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(factors, "NARROW_ABOVE_BYTES", 0)
    config = PadimConfig(input_size=64, grid_stride=16, n_features=None, eps=1e-6)
    model = Padim(config, work_dir=tmp_path / "strong").fit(normals(12))
    assert isinstance(model.state.gaussians.factor, LowRank)
    assert not model.state.gaussians.factor.narrow
    model = Padim(config.model_copy(update={"eps": 0.01}), work_dir=tmp_path / "usual").fit(normals(12))
    assert isinstance(model.state.gaussians.factor, LowRank)
    assert model.state.gaussians.factor.narrow
    again = Padim.load(model.save(tmp_path / "model"))
    assert isinstance(again.state.gaussians.factor, LowRank)
    assert again.state.gaussians.factor.narrow
    np.testing.assert_array_equal(again.state.gaussians.factor.basis, model.state.gaussians.factor.basis)


@settings(max_examples=60, deadline=None)
@example(seed=5958238, sizes=[3, 2, 4], d=2, eps=1e-4, shrinkage=0.0)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.lists(st.integers(1, 4), min_size=3, max_size=7),
    d=st.integers(2, 40),
    eps=st.sampled_from([1e-4, 0.01, 1.0]),
    shrinkage=st.sampled_from([0.0, 0.2]),
)
def test_leaving_out_of_the_span_equals_refitting(
    seed: int, sizes: list[int], d: int, eps: float, shrinkage: float
) -> None:
    regularization = Regularization(eps, shrinkage)
    n = sum(sizes)
    x = features(seed, n, 3, d)
    order = np.random.default_rng(seed).permutation(n)
    groups = [part.tolist() for part in np.split(order, np.cumsum(sizes)[:-1])]
    span = Span(x, regularization)
    for rows in groups:
        others = np.delete(x, rows, axis=0)
        expected = direct(x[rows] - others.mean(axis=0), covariances(others, regularization))
        result = LeaveOutOfSpan(span, regularization, len(rows)).squared_distances(rows)
        # Rounding is amplified by the inverse of the smallest eigenvalue, which is about eps.
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-9 + 1e-12 / eps)


def test_both_ways_of_leaving_out_agree() -> None:
    x = features(6, 20, 5, 50)
    regularization = Regularization(0.01)
    dense = LeaveOut(PatchStatistics(5, 50).update(x), regularization, 1).squared_distances(x)
    spanned = LeaveOutOfSpan(Span(x, regularization), regularization, 1).squared_distances(range(20))
    np.testing.assert_allclose(spanned, dense, rtol=1e-7)


def test_equal_images_and_one_direction_give_sound_numbers() -> None:
    """If nothing varies, or only in one direction, the basis has no or one useful column."""
    regularization = Regularization(1e-6)
    same = np.ones((5, 2, 30))
    line = same + np.arange(5)[:, None, None] * np.eye(30)[0]
    for x in (same, line):
        form, span = low_rank(x, regularization)
        expected = direct(x + 1 - span.mean, covariances(x, regularization))
        np.testing.assert_allclose(form.squared_distances(x + 1 - span.mean), expected, rtol=1e-4)
        held_out = LeaveOutOfSpan(span, regularization, 1).squared_distances(range(5))
        assert np.isfinite(held_out).all()
        assert (held_out >= 0).all()


def test_the_triangle_is_stored_without_most_of_its_zeros() -> None:
    statistics = PatchStatistics(3, 100).update(features(7, 150, 3, 100))
    whole = whitening(statistics, Regularization(), 149).astype(np.float32)
    form = Triangular.of(whole)
    np.testing.assert_array_equal(form.whitener(), whole)
    stored = sum(array.nbytes for array in form.files().values())
    assert stored < 0.8 * whole.nbytes


@pytest.mark.parametrize("d", [1, 2, 17, 100])
def test_files_give_back_the_same_factor(d: int) -> None:
    x = features(8, d + 3, 2, d)
    triangular = Triangular.of(whitening(PatchStatistics(2, d).update(x), Regularization(), d + 2))
    again = from_files(triangular.files(), 0.01, (2, d))
    np.testing.assert_array_equal(again.covariance(np.array([0, 1])), triangular.covariance(np.array([0, 1])))
    assert isinstance(again, Triangular)
    np.testing.assert_array_equal(again.right, triangular.right)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_basis_comes_back_to_the_bit(narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "NARROW_ABOVE_BYTES", 0 if narrow else 10**9)
    form, _ = low_rank(features(9, 6, 2, 40), Regularization())
    files = form.files()
    assert files["basis.npy"].dtype == (np.int16 if narrow else np.float32)
    again = from_files(files, form.floor, (2, 40))
    assert isinstance(again, LowRank)
    np.testing.assert_array_equal(again.basis, form.basis)
    assert again.narrow == narrow


def test_files_that_do_not_fit_are_refused() -> None:
    form, _ = low_rank(features(9, 6, 2, 40), Regularization())
    files = form.files()
    with pytest.raises(ValueError, match="missing"):
        from_files({"basis.npy": files["basis.npy"]}, 0.01, (2, 40))
    with pytest.raises(ValueError, match="do not fit"):
        from_files(files, 0.01, (3, 40))
    with pytest.raises(ValueError, match="do not fit"):
        from_files({**files, "scale.npy": np.zeros_like(files["scale.npy"])}, 0.01, (2, 40))
    with pytest.raises(ValueError, match="do not fit"):
        from_files({**files, "step.npy": files["scale.npy"]}, 0.01, (2, 40))


def test_which_form_is_smaller() -> None:
    assert not is_low_rank(1, 100)  # one image: nothing varies, the identity is all there is
    assert is_low_rank(2, 100)
    assert is_low_rank(50, 100)
    assert not is_low_rank(51, 100)
    assert is_low_rank(200, 550)


def test_scipys_distance_agrees() -> None:
    from scipy.spatial.distance import mahalanobis

    x = features(10, 12, 2, 30)
    form, span = low_rank(x, Regularization())
    y = features(11, 1, 2, 30)
    precision = np.linalg.inv(covariances(x, Regularization())[1])
    expected = mahalanobis(y[0, 1], x[:, 1].mean(axis=0), precision)
    assert np.sqrt(form.squared_distances(y - span.mean)[0, 1]) == pytest.approx(expected, rel=1e-4)
    statistics = PatchStatistics(2, 30).update(x)
    dense = squared_distances(y, statistics.mean, whitening(statistics, Regularization(), 11))
    assert np.sqrt(dense[0, 1]) == pytest.approx(expected, rel=1e-6)

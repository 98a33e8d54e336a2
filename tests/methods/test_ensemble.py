"""Ensemble: the scale of surprise, and members that score as they do alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.errors import PadimError
from padim.methods import padim, patchcore, shared
from padim.methods.ensemble import Ensemble, Surprise, fit_detector
from tests.methods.arrays import by_graph, by_numpy, embeddings, task


def test_surprise_counts_the_pixels_above() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=200_000)
    scale = Surprise.of(values)
    for share in (0.5, 0.1, 0.01, 0.001):
        at = np.quantile(values, 1 - share)
        assert scale(np.array(at)) == pytest.approx(-np.log10(share), abs=0.03)


@given(
    st.lists(st.floats(0, 1e4, width=32), min_size=1, max_size=400),
    st.lists(st.floats(0, 1e6, width=32), min_size=2, max_size=30),
)
def test_surprise_never_turns_an_order_round(values: list[float], asked: list[float]) -> None:
    scale = Surprise.of(np.array(values, np.float32))
    x = np.sort(np.array(asked))
    y = scale(x)
    assert (np.diff(y) >= -1e-9 * max(1.0, abs(y).max())).all()
    assert np.isfinite(y).all()
    # As the sum of piecewise linear terms that the graph computes.
    knots, turns = scale.knots.astype(np.float64), scale.turns().astype(np.float64)
    summed = (np.maximum(x[:, None] - knots, 0) * turns).sum(axis=1)
    np.testing.assert_allclose(summed, y, rtol=1e-3, atol=1e-3 * max(1.0, y.max()))


def test_surprise_goes_on_beyond_all_that_was_seen() -> None:
    scale = Surprise.of(np.random.default_rng(0).gamma(2.0, size=10_000))
    near, far = scale(np.array([20.0, 200.0]))
    assert far > 8 * near


def test_it_is_the_mean_of_its_members_surprise(tmp_path: Path) -> None:
    grid = 5
    x, new = embeddings(12, grid, 6), embeddings(3, grid, 6, seed=3)
    settings: dict[str, Any] = {
        "method": "ensemble",
        "members": ("padim", "patchcore", "shared"),
        "n_features": 6,
    }
    one = task(tmp_path, x, None, {11: "not_good"}, **settings)
    fitted = fit_detector(one)
    alone = [module.fit_detector(one) for module in (padim, patchcore, shared)]
    scales = [Surprise.of(member.held_out[:11]) for member in alone]
    for found, held in (
        (fitted.held_out, [member.held_out for member in alone]),
        (by_numpy(fitted.detector, new), [by_numpy(member.detector, new) for member in alone]),
    ):
        expected = np.mean([scale(own) for scale, own in zip(scales, held, strict=True)], axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    graph = by_graph(fitted.detector, new)
    np.testing.assert_allclose(graph, by_numpy(fitted.detector, new), rtol=1e-3, atol=1e-4)
    for row in range(3):
        np.testing.assert_array_equal(by_graph(fitted.detector, new[row : row + 1])[0], graph[row])


def test_its_form_tells_members_apart(tmp_path: Path) -> None:
    x = embeddings(6, 3, 4)
    forms = set()
    for number, members in enumerate((("padim", "shared"), ("shared", "padim"), ("padim", "patchcore"))):
        detector = fit_detector(task(tmp_path / str(number), x, members=members)).detector
        assert isinstance(detector, Ensemble)
        forms.add(detector.form)
    assert len(forms) == 3


def test_two_parts_have_no_common_scale(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="at least 3 good parts"):
        fit_detector(task(tmp_path, embeddings(2, 3, 4)))

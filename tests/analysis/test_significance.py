"""Tests of differences: DeLong by its definition and by hand, the bootstrap, Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score

from padim.analysis.significance import (
    against,
    delong,
    holm,
    paired_auroc,
    paired_shares,
    resampled,
)

Numbers = npt.NDArray[np.float64]


def by_definition(good: Numbers, defect: Numbers) -> tuple[Numbers, Numbers]:
    """Compute DeLong's equations as printed: every defect with every good image, one pair at a time."""
    k, n = good.shape
    m = defect.shape[1]
    wins = np.zeros((k, m, n))
    for r in range(k):
        for i in range(m):
            for j in range(n):
                a, b = defect[r, i], good[r, j]
                wins[r, i, j] = 1.0 if a > b else 0.5 if a == b else 0.0
    area = wins.mean(axis=(1, 2))
    v10, v01 = wins.mean(axis=2), wins.mean(axis=1)
    covariance = np.zeros((k, k))
    for r in range(k):
        for s in range(k):
            s10 = sum((v10[r, i] - area[r]) * (v10[s, i] - area[s]) for i in range(m)) / (m - 1)
            s01 = sum((v01[r, j] - area[r]) * (v01[s, j] - area[s]) for j in range(n)) / (n - 1)
            covariance[r, s] = s10 / m + s01 / n
    return area, covariance


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(2, 9), st.integers(2, 9), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_delong_is_its_definition_ties_and_all(k: int, n: int, m: int, steps: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    good = rng.integers(0, steps, (k, n)).astype(float)
    defect = rng.integers(0, steps + 2, (k, m)).astype(float)
    found = delong(good, defect)
    area, covariance = by_definition(good, defect)
    np.testing.assert_allclose(found.auroc, area, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)


def test_the_area_is_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    good, defect = rng.normal(size=(2, 40)), rng.normal(loc=1, size=(2, 30))
    truth = np.repeat([0, 1], [40, 30])
    for row in range(2):
        wanted = roc_auc_score(truth, np.concatenate([good[row], defect[row]]))
        assert delong(good, defect).auroc[row] == pytest.approx(wanted, abs=1e-12)


def test_by_hand() -> None:
    # Defects 2 and 4 against good 1 and 3: 2 > 1, 2 < 3, 4 > 1, 4 > 3: three of four pairs.
    # Shares of good below each defect 1/2, 1; of defects above each good image 1, 1/2.
    # Variances 1/8 of each, so (1/8) / 2 + (1/8) / 2 = 1/8.
    found = delong([[1.0, 3.0]], [[2.0, 4.0]])
    assert found.auroc.tolist() == [0.75]
    assert found.covariance.tolist() == [[0.125]]


def test_too_few_images() -> None:
    with pytest.raises(ValueError, match="two images of each class"):
        delong([[1.0]], [[2.0, 3.0]])
    with pytest.raises(ValueError, match="scores must be"):
        delong([[1.0, 2.0]], [[2.0, 3.0], [1.0, 2.0]])


def test_p_by_hand() -> None:
    # Variance of the difference: 0.0004 + 0.0009 - 2 * 0.0002 = 0.0009; z = 0.06 / 0.03 = 2.
    best, (first, second) = against([0.9, 0.84], [[0.0004, 0.0002], [0.0002, 0.0009]])
    assert best == 0
    assert (first.value, first.p) == (0.0, 1.0)
    assert second.p == pytest.approx(0.0455003, abs=1e-6)
    assert second.real
    assert second.low == pytest.approx(-0.06 - 1.959964 * 0.03, abs=1e-6)
    assert second.high == pytest.approx(-0.06 + 1.959964 * 0.03, abs=1e-6)


def test_the_same_scores_do_not_differ_and_opposite_ones_do() -> None:
    good, defect = np.array([[1.0, 2, 3]] * 2), np.array([[4.0, 5, 6]] * 2)
    found = delong(good, defect)
    _, differences = against(found.auroc, found.covariance)
    assert [one.p for one in differences] == [1.0, 1.0]
    found = delong([[1.0, 2], [4.0, 5]], [[4.0, 5], [1.0, 2]])
    _, differences = against(found.auroc, found.covariance)
    assert differences[1].value == -1
    assert differences[1].p == 0.0


@pytest.mark.slow
def test_delong_rejects_as_often_as_it_says_where_nothing_differs() -> None:
    rng = np.random.default_rng(8)
    rejected, repeats = 0, 1500
    for _ in range(repeats):
        shared = rng.normal(size=80)
        scores = shared + 0.8 * rng.normal(size=(2, 80))
        scores[:, :40] += 1.2
        found = delong(scores[:, 40:], scores[:, :40])
        _, differences = against(found.auroc, found.covariance)
        rejected += any(one.real for one in differences)
    # Four standard errors about 5 %, of 1,500 repeats.
    assert abs(rejected / repeats - 0.05) < 4 * math.sqrt(0.05 * 0.95 / repeats)


def test_holm_by_hand() -> None:
    # 0.01 * 4, 0.013 * 3 = 0.039 raised to 0.04, 0.03 * 2 = 0.06, 0.2 * 1.
    assert holm([0.03, 0.01, 0.2, 0.013]) == pytest.approx([0.06, 0.04, 0.2, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_helps_and_keeps_the_order(p: list[float]) -> None:
    corrected = holm(p)
    assert all(a <= b <= min(1.0, len(p) * a) or a == b for a, b in zip(p, corrected, strict=True))
    assert [corrected[i] for i in np.argsort(p, kind="stable")] == sorted(corrected)


def test_the_best_is_not_among_those_corrected() -> None:
    _, differences = against([0.9, 0.84, 0.8], np.diag([0.0, 0.0009, 0.0016]))
    raw = [2 * norm.sf(0.06 / 0.03), 2 * norm.sf(0.1 / 0.04)]
    assert differences[2].p == pytest.approx(2 * raw[1])
    assert differences[1].p == pytest.approx(max(raw[0], 2 * raw[1]))


def test_the_bootstrap_by_hand() -> None:
    first = np.array([0.8, 0.9, 0.7, 0.9, np.nan])
    second = np.array([0.7, 0.8, 0.75, 0.6, 0.5])
    best, differences = resampled([0.85, 0.75], [first, second])
    assert best == 0
    # Gaps -0.1, -0.1, +0.05, -0.3: one of four from zero up, so 2 * (1 + 1) / (4 + 1).
    assert differences[1].p == pytest.approx(0.8)
    assert differences[1].value == pytest.approx(-0.1)
    assert differences[0].p == 1.0
    _, differences = resampled([0.85, 0.75], [first, np.full(5, np.nan)])
    assert differences[1].p is None
    assert "too few" in differences[1].why


def test_the_bootstrap_agrees_with_delong() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(size=120)
    scores = np.stack([base + 0.6 * rng.normal(size=120), 0.55 * base + 0.9 * rng.normal(size=120)])
    scores[:, :60] += 1.0
    found = delong(scores[:, 60:], scores[:, :60])
    _, wanted = against(found.auroc, found.covariance)
    truth = np.repeat([1, 0], 60)
    rows = np.concatenate([rng.integers(0, 60, (2000, 60)), rng.integers(60, 120, (2000, 60))], axis=1)
    # The area by ranks, for all draws at once; it is scikit-learn's.
    ranks = rankdata(scores[:, rows], axis=2)[:, :, :60].sum(axis=2)
    drawn = (ranks - 60 * 61 / 2) / (60 * 60)
    assert drawn[0, 0] == pytest.approx(roc_auc_score(truth[rows[0]], scores[0, rows[0]]))
    _, differences = resampled(found.auroc.tolist(), list(drawn))
    worse = int(np.argmin(found.auroc))
    assert wanted[worse].p is not None
    assert differences[worse].p == pytest.approx(wanted[worse].p, abs=0.03)
    assert differences[worse].low == pytest.approx(wanted[worse].low, abs=0.03)


def test_paired_shares_are_compared_by_the_cases_that_differ() -> None:
    # Brute force of the two-sided sign test: all outcomes at most as likely as the one seen.
    for gained, lost, both in ((5, 0, 3), (7, 2, 0), (1, 1, 4), (0, 0, 6)):
        first = [True] * lost + [False] * gained + [True] * both
        second = [False] * lost + [True] * gained + [True] * both
        n = gained + lost
        seen = math.comb(n, gained)
        p = sum(math.comb(n, k) for k in range(n + 1) if math.comb(n, k) <= seen) / 2**n
        found = paired_shares(first, second)
        assert found.p == pytest.approx(p)
        assert found.value == pytest.approx((gained - lost) / len(first))
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low <= found.value <= found.high
    with pytest.raises(ValueError, match="same cases"):
        paired_shares([True], [True, False])


def test_paired_aurocs_agree_with_the_comparison_against_the_best() -> None:
    rng = np.random.default_rng(1)
    good, bad = rng.normal(size=(2, 40)), rng.normal([[0.5], [1.5]], size=(2, 25))
    found, joint = paired_auroc(good, bad), delong(good, bad)
    _, (other, _) = against(joint.auroc, joint.covariance)
    assert found.value == pytest.approx(joint.auroc[1] - joint.auroc[0])
    assert found.p == pytest.approx(other.p)
    assert paired_auroc(good[[0, 0]], bad[[0, 0]]).p == 1.0

"""Cohen's kappa: against scikit-learn, a published example and simulated reviewers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from padim.records.figures.agreement import agreement_of, kappa_of

NAMES = ("accept", "reject", "unsure")


def test_the_published_example_of_two_psychiatrists() -> None:
    # Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", table 18.1: 100 patients
    # kappa 0.68, standard error 0.087.
    kappa, low, high = kappa_of(np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert kappa == pytest.approx(0.68, abs=0.005)
    assert low is not None
    assert high is not None
    assert (high - low) / 2 / 1.96 == pytest.approx(0.087, abs=0.001)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.choice(NAMES, 60, p=(0.5, 0.4, 0.1))
    second = np.where(rng.random(60) < 0.6, first, rng.choice(NAMES, 60))
    found = agreement_of(first.tolist(), second.tolist())
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.pairs == 60
    assert found.equal == int((first == second).sum())


def test_kappa_is_undefined_where_nobody_ever_differs_from_one_decision() -> None:
    found = agreement_of(["reject"] * 12, ["reject"] * 12)
    assert (found.kappa, found.low, found.high, found.equal) == (None, None, None, 12)
    assert agreement_of([], []).kappa is None


def test_full_agreement_of_few_is_not_certain() -> None:
    found = agreement_of(["accept", "reject"] * 5, ["accept", "reject"] * 5)
    assert found.kappa == pytest.approx(1)
    assert found.low is not None
    assert 0.2 < found.low < 0.6
    assert found.high == 1


def test_no_decision_is_guessed() -> None:
    with pytest.raises(ValueError, match="maybe"):
        agreement_of(["accept"], ["maybe"])
    with pytest.raises(ValueError, match="not pairs"):
        agreement_of(["accept"], [])


@pytest.mark.parametrize(("number", "same"), [(30, 0.9), (80, 0.97), (150, 0.6)])
def test_the_interval_covers(number: int, same: float) -> None:
    rng = np.random.default_rng(9)
    share = np.array((0.6, 0.4))
    joint = same * np.diag(share) + (1 - same) * np.outer(share, share)
    covered = 0
    for _ in range(600):
        low, high = kappa_of(rng.multinomial(number, joint.ravel()).reshape(2, 2))[1:]
        covered += low is not None and high is not None and low <= same <= high
    assert covered / 600 > 0.92

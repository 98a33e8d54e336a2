"""The benchmark of rectangles compares the inputs that it says, on the same parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks import rectangles


def test_rails_are_long_reproducible_and_differ_by_their_defect() -> None:
    good = rectangles.rail(7)
    assert good.shape == (1200, 400, 3)
    np.testing.assert_array_equal(good, rectangles.rail(7))
    assert np.abs(good.astype(int) - rectangles.rail(8)).mean() > 1
    for index in (3, 4, 5):  # a missing tooth, a scratch, a chip
        changed = np.abs(rectangles.rail(index).astype(int) - rectangles.rail(index, defect=True)) > 40
        assert 20 < changed[..., 0].sum() < 3000


def test_the_area_under_the_curve_is_sklearns() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.integers(0, 5, 20).astype(float), rng.integers(2, 7, 30).astype(float)
    expected = roc_auc_score([0] * 20 + [1] * 30, [*good, *bad])
    assert rectangles.auroc(good, bad) == pytest.approx(expected)


@pytest.mark.slow
def test_a_check_that_cannot_be_met_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert rectangles.main(["--quick", "--check", "--json", "--target", "rails.auroc_gain=2"]) == 1
    output = capsys.readouterr().out
    document = json.loads(output.splitlines()[-1])
    assert document["missed"] == ["rails.auroc_gain"]
    assert "448x160" in output

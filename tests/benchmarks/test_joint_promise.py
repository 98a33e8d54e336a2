"""The benchmark of one promise for several statistics measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.joint_promise import Sample, rejected, simulated, synthetic


def test_the_map_alone_is_decided_alike_by_both_scales() -> None:
    held_out, unseen = synthetic(np.random.default_rng(1), 30)
    ours, percentiles = rejected(held_out, unseen, 0, 950)
    assert ours == percentiles == float((unseen.scores > np.sort(held_out.scores)[29]).mean())


def test_statistics_without_spread_reject_nothing_more() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(100, 200, 20)
    held_out = Sample(scores, scores, np.zeros((20, 3), np.int64))
    unseen = Sample(np.full(9, 50), np.full(9, 50), simulated(rng, 9))
    assert rejected(held_out, Sample(unseen.scores, unseen.peaks, np.zeros((9, 3), np.int64)), 3, 950) == (
        0,
        0,
    )
    assert rejected(held_out, unseen, 1, 950)[0] > 0.9  # a median of 0 is one step


def test_the_table_shows_both_scales_and_the_check_fails_when_the_promise_breaks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--joint", "--draws", "8", "--sizes", "20", "--json", "--check"]
    lenient = ["--target", "synthetic.20.3.off_points=9", "--target", "synthetic.20.1.off_points=9"]
    lenient += ["--target", "synthetic.20.0.off_points=9"]
    assert accuracy.main([*arguments, *lenient]) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    values = document["values"]
    assert values["synthetic.20.1.promised"] == pytest.approx(1 / 21)
    assert values["synthetic.20.3.percentiles"] > values["synthetic.20.1.percentiles"]
    assert values["synthetic.20.1.percentiles"] > values["synthetic.20.1.realized"]
    assert accuracy.main([*arguments, "--target", "synthetic.20.3.off_points=0"]) == 1

"""Trainings on embeddings resume after an interruption with the same result, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from padim.data.loading import Watch
from padim.errors import Cancelled
from padim.methods import flow, svdd, training
from padim.methods.base import FitResult, Task
from tests.methods.arrays import embeddings, task


@dataclass(frozen=True)
class Method:
    """A method with settings that take little time."""

    module: Any
    settings: dict[str, Any]

    def given(self, folder: Path, **changes: Any) -> Task:
        return task(folder, embeddings(9, 4, 6), **{**self.settings, **changes})

    def fit(self, task: Task) -> FitResult:
        result: FitResult = self.module.fit_detector(task)
        return result


SHORT = {"max_epochs": 4, "folds": 3}
SVDD = Method(svdd, {"method": "svdd", **SHORT})
FLOW = Method(flow, {"method": "flow", "flow_couplings": 4, **SHORT})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "after"),
    [(SVDD, 3), (SVDD, 40), (SVDD, 75), (FLOW, 3), (FLOW, 25), (FLOW, 38)],
    ids=["svdd-3", "svdd-40", "svdd-75", "flow-3", "flow-25", "flow-38"],
)
def test_a_stopped_fit_goes_on_and_ends_bit_for_bit_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Method, after: int
) -> None:
    monkeypatch.setattr(training, "SECONDS_BETWEEN_SAVES", 0.0)
    whole = method.fit(method.given(tmp_path / "whole"))
    asked = 0

    def cancel() -> bool:
        nonlocal asked
        asked += 1
        return asked > after

    kept = replace(method.given(tmp_path / "kept"), folder=tmp_path / "training")
    with pytest.raises(Cancelled):
        method.fit(replace(kept, watch=Watch(cancel=cancel)))
    asked = -(10**9)
    rest = method.fit(replace(kept, watch=Watch(cancel=cancel)))
    assert rest.detector.fingerprint() == whole.detector.fingerprint()
    np.testing.assert_array_equal(rest.held_out, whole.held_out)
    assert rest.losses == whole.losses

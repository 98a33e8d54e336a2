"""The memory benchmark runs, and a missed target is told."""

from __future__ import annotations

import json

import pytest

from benchmarks import wide


@pytest.mark.slow
def test_a_small_run_reports_every_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert wide.main(["--quick", "--json", "--check"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    values = told["values"]
    assert 0 < values["largest_relative_error"] < 1e-3
    assert 0.05 < values["score_peak_gb"] < values["fit_peak_gb"] + 1
    assert values["features_gb"] > values["checkpoint_gb"] > 0


@pytest.mark.slow
def test_a_missed_target_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert wide.main(["--quick", "--check", "--target", "bundle_gb=0.000001"]) == 1
    assert "MISSED bundle_gb" in capsys.readouterr().out

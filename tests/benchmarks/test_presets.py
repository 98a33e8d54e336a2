"""benchmarks/presets.py measures every preset against the standard one."""

from __future__ import annotations

import json

import pytest

from benchmarks import presets
from padim.presets import MEASURED, PRESETS


@pytest.mark.slow
def test_it_measures_every_preset_and_checks_what_users_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    room = [f"--target={name}.scoring_time=1000" for name in MEASURED]
    assert presets.main(["--quick", "--check", "--json", *room]) == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])["values"]
    for name in PRESETS:
        assert values[f"{name}.scoring_time"] > 0
    assert values["standard.scoring_time"] == 1
    assert values["fine.score_memory_mb"] > values["standard.score_memory_mb"]
    assert values["fast.score_memory_mb"] < values["standard.score_memory_mb"]

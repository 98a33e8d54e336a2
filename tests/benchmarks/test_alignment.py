"""The benchmark of alignment measures, and ``--check`` can fail."""

from __future__ import annotations

import json

import pytest

from benchmarks import alignment


@pytest.mark.slow
def test_it_measures_and_can_fail(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "fixture", "--quick", "--json", "--check"]
    easy = ["--target", "outline_judged_l2.recall_gain=-1", "--target", "template_l2.misplaced=0"]
    assert alignment.main([*words, *easy]) == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])["values"]
    for way in ("off_l2", "off_none", "outline_judged_l2", "template_none"):
        assert 0 <= values[f"fixture.{way}.auroc"] <= 1
        assert 0 <= values[f"fixture.{way}.misplaced"] <= 1
    assert alignment.main([*words, "--target", "template_l2.misplaced=2"]) == 1
    assert "MISSED" in capsys.readouterr().out

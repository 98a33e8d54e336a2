"""``benchmarks/bit_depth.py`` measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json

import pytest

from benchmarks import bit_depth
from padim.data import bit_depth as engine


@pytest.mark.slow
def test_the_fall_and_its_repair(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert bit_depth.main(["--check", "--json"]) == 0
    values = json.loads(capsys.readouterr().out.splitlines()[-1])["values"]
    assert values["caught_12"] - values["caught_16"] >= 10
    # Read over the full range whatever the model's is, as before.
    monkeypatch.setattr(engine.Samples, "white", lambda samples, depth: 65535)
    assert bit_depth.main(["--check", "--json"]) == 1
    assert "caught_12" in json.loads(capsys.readouterr().out.splitlines()[-1])["missed"]

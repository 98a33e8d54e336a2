"""``benchmarks/damaged_jpegs.py`` measures what it says, and ``--check`` can fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import damaged_jpegs
from padim import PadimConfig
from padim.data import jpeg_check


@pytest.fixture
def arguments(tmp_path: Path, small_config: PadimConfig) -> list[str]:
    path = tmp_path / "small.yaml"
    path.write_text(small_config.to_yaml(), encoding="utf-8")
    return ["--config", str(path), "--times", "2", "--check", "--json"]


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.slow
def test_on_generated_images(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert damaged_jpegs.main(arguments) == 0
    values = document(capsys)["values"]
    assert values["cuts_missed"] == 0
    assert values["threshold_change_unchecked"] > 2 * values["threshold_change"]


@pytest.mark.slow
def test_without_the_check_the_targets_are_missed(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg_check, "is_damaged", lambda data: False)
    assert damaged_jpegs.main(arguments) == 1
    assert "cuts_missed" in document(capsys)["missed"]

"""Kills anywhere, and a disk that is full from anywhere on: the short form of ``benchmarks/kills.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*options: str) -> dict[str, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "benchmarks/kills.py", "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_five_kills_a_command_block_nothing_and_change_nothing(padim_cache: Path) -> None:
    found = run("--kills", "5")
    assert set(found) == {
        "fit-resume",
        "fit-keep-resume",
        "fit-force",
        "score-force",
        "score-resume",
        "export",
        "app",
        "study",
    }
    for name, tally in found.items():
        assert tally["output"] == [], name
        assert int(str(tally["kills"])) >= 3, name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")
def test_a_full_disk_is_one_sentence_and_costs_nothing_that_was_done(padim_cache: Path) -> None:
    found = run("--kills", "5", "--full", "--only", "fit-keep-resume", "--only", "score-resume")
    assert {name: tally["output"] for name, tally in found.items()} == {
        "fit-keep-resume": [],
        "score-resume": [],
    }

"""Processes killed while they record, review and make versions; short for ``benchmarks/desk_kills.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_five_kills_lose_nothing_and_leave_no_half(each_database: str, padim_cache: Path) -> None:
    scenarios = ["record", "review"] + (["version"] if each_database == "sqlite" else [])
    chosen = [option for name in scenarios for option in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "benchmarks/desk_kills.py", "--json", "--kills", "5", *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["details"]
    assert set(found) == set(scenarios)
    for name, tally in found.items():
        assert tally["faults"] == [], name
        assert tally["saved"] >= 5, name

"""A watch that is killed again and again; short for ``benchmarks/watch_kills.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_five_kills_lose_nothing_and_leave_no_half(padim_cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/watch_kills.py", "--json", "--kills", "5", "--only", "stay"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["details"]["stay"]
    assert found["faults"] == []
    assert found["images"] == 40

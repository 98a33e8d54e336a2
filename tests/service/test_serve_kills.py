"""The service killed while clients send images; short for ``benchmarks/serve_kills.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_five_kills_lose_nothing_and_record_nothing_twice(padim_cache: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/serve_kills.py", "--json", "--kills", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])["details"]
    assert found["faults"] == []
    assert found["answered"] >= 5

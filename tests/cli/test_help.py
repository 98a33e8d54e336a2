"""The help imports no heavy modules and names every command; wrong usage exits with status 2."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import padim
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *(
        "fit",
        "calibrate",
        "score",
        "evaluate",
        "study",
        "sensitivity",
        "robustness",
        "learning-curve",
        "export",
        "info",
    ),
    *("backbones", "app"),
)


def fresh(code: str) -> str:
    """Return the standard output of a new interpreter."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_no_network_and_no_arrays(command: str) -> None:
    code = f"""
import sys
from padim.cli.app import app
sys.argv = {["padim", *filter(None, [command]), "--help"]!r}
try:
    app()
except SystemExit as end:
    assert end.code == 0
heavy = {{"torch", "onnxruntime", "onnx", "cv2", "numpy", "sklearn", "PIL", "streamlit"}} & set(sys.modules)
assert not heavy, heavy
"""
    assert "Common options" in fresh(code)


def test_the_module_runs_by_its_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "padim", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"padim {padim.__version__}\n")


def test_help_names_every_command_and_fits_eighty_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run("--help")
    assert done.code == 0
    assert all(re.search(rf"^│ {command} ", done.out, re.MULTILINE) for command in COMMANDS)
    assert max(map(len, done.out.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments", [["fit"], ["nonsense"], ["score", "--nonsense"], ["fit", "x", "-o", "y", "--seed", "a"]]
)
def test_wrong_usage_is_two(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert done.out == ""


def test_common_options_count_before_the_command_and_after_it(run: Run) -> None:
    before, after = run("--json", "info"), run("info", "--json")
    assert before.json == after.json


def test_threads_and_providers_hold_for_one_command(run: Run, saved_model: Path) -> None:
    environment = dict(os.environ)
    assert run("--threads", 2, "info", saved_model, "--json", "--threads", 1).json["threads"] == 1
    assert run("info", saved_model, "--json").json["threads"] is None
    assert "'abacus'" in run("info", saved_model, "--json", "--providers", "abacus").sentence
    assert dict(os.environ) == environment

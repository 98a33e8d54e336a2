"""``app`` starts Streamlit on the application of this installation, with the options given."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import streamlit.web.cli

from tests.cli.conftest import Run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the command lines that Streamlit was called with."""
    found: list[list[str]] = []
    monkeypatch.setattr(
        streamlit.web.cli, "main", lambda args, prog_name, standalone_mode: found.append(list(args))
    )
    return found


def test_it_starts_the_application_of_the_checkout(run: Run, started: list[list[str]]) -> None:
    assert run("app").code == 0
    assert started == [["run", str(ROOT / "app.py")]]


def test_address_port_and_further_options_are_passed_on(run: Run, started: list[list[str]]) -> None:
    options = ("--address", "0.0.0.0", "--port", 8600, "--headless", "--", "--server.baseUrlPath", "line-3")
    assert run("app", *options).code == 0
    (command,) = started
    assert command[2:] == [
        *("--server.address", "0.0.0.0", "--server.port", "8600", "--server.headless", "true"),
        *("--server.baseUrlPath", "line-3"),
    ]


def test_without_streamlit_it_says_what_to_install(
    run: Run, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "streamlit" else real(name, *rest)
    )
    needs = "the web application needs Streamlit, which is not installed"
    assert run("app").sentence == f'{needs}; run: pip install "padim-inspection[app]"'
    assert started == []

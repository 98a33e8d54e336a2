"""``padim keys``: a key is printed once, and listed without itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim.records.api_keys import ApiKeys
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    return tmp_path


def test_a_key_is_made_listed_and_revoked(run: Run, workspace: Path) -> None:
    key = run("keys", "add", "line 3", "--who", "Anna", "--json").json["key"]
    assert ApiKeys(workspace).name_of(key) == "line 3"
    listed = run("keys", "list")
    assert "line 3" in listed.out
    assert key not in listed.out
    assert run("keys", "list", "--json").json["keys"][0]["who"] == "Anna"
    assert run("keys", "revoke", "line 3", "--json").json["revoked"]
    assert ApiKeys(workspace).name_of(key) is None


def test_a_key_is_printed_whole(run: Run, workspace: Path) -> None:
    shown = run("keys", "add", "line 3").out.splitlines()
    assert ApiKeys(workspace).name_of(shown[1]) == "line 3"
    assert ApiKeys(workspace).name_of(run("keys", "add", "robot", "--quiet").out.strip()) == "robot"


def test_errors_are_a_sentence(run: Run) -> None:
    run("keys", "add", "line 3")
    assert "made before" in run("keys", "add", "line 3").sentence
    assert "line 3" in run("keys", "revoke", "line 4").sentence


def test_no_keys_are_said(run: Run) -> None:
    assert run("keys", "list").out.strip() == "There are no keys"

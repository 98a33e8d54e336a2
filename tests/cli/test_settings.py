"""``settings``: lists values and where they come from, hides secrets, and refuses what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    return tmp_path


def test_values_with_where_they_come_from(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.yaml").write_text(
        "max_megapixels: 60\ndatabase_url: postgresql://a:hush@b/c\n", "utf-8"
    )
    monkeypatch.setenv("PADIM_KEEP_HOURS", "3")
    report = run("settings", "--json").json
    rows = {row["name"]: row for row in report["settings"]}
    assert report["file_exists"]
    assert (rows["max_megapixels"]["value"], rows["max_megapixels"]["source"]) == (
        "60 megapixels",
        "settings.yaml",
    )
    assert (rows["keep_hours"]["value"], rows["keep_hours"]["source"]) == ("3 h", "environment")
    assert (rows["decode_seconds"]["value"], rows["decode_seconds"]["source"]) == ("20 s", "default")
    assert rows["home"]["value"] == str(home)
    assert rows["database_url"]["value"] == "set, not shown"
    text = run("settings", "--changed").out
    assert "max_megapixels" in text
    assert "decode_seconds" not in text
    assert "hush" not in text + str(report)


def test_check_says_what_is_wrong(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "All settings can be used" in run("settings", "--check").out
    monkeypatch.setenv("PADIM_SOMETHING_ELSE", "1")
    assert "PADIM_SOMETHING_ELSE is in the environment" in run("settings", "--check").err
    (home / "settings.yaml").write_text("providers: abacus", "utf-8")
    monkeypatch.delenv("PADIM_SOMETHING_ELSE")
    assert "unknown provider 'abacus'" in run("settings", "--check").sentence

"""The Settings page: every setting with its value and origin, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import settings
from padim.records.backup import make_backup, read_backup
from padim.records.restore import restore_backup
from padim.settings.table import rows
from tests.pages.session import AddModel, Session
from ui.views import backup


def test_all_settings_are_listed_with_where_they_come_from(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = home / "settings.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("decode_seconds: 7\n", encoding="utf-8")
    monkeypatch.setenv("PADIM_DATABASE_PASSWORD_OF_OURS", "x")
    page = Session("settings")
    for row in rows():
        assert row.variable in page.text
    assert "from settings.yaml · default: 20 s" in page.text
    assert "PADIM_DATABASE_PASSWORD_OF_OURS" in page.text
    page.set("toggle", "settings-only-set", True)
    assert "PADIM_DECODE_SECONDS" in page.text
    assert "PADIM_KEEP_HOURS" not in page.text
    file.write_text("decode_second: 7\n", encoding="utf-8")
    page.run()
    assert "did you mean decode_seconds" in page.text
    assert settings.current().decode_seconds == 7


def test_the_backup_tab_says_what_there_is_and_offers_it(home: Path, add_model: AddModel) -> None:
    entry = add_model("Flange")
    page = Session("backup", model=entry.id)
    assert "none yet" in page.text
    assert "1 model" in page.text
    assert "padim restore" in "".join(block.value for block in page.app.code)
    make_backup(home, home.parent / "kept.zip")
    page.run()
    assert "kept.zip" in page.text
    content = backup._made(home, evidence=False)
    (home.parent / "download.zip").write_bytes(content)
    index = read_backup(home.parent / "download.zip")
    assert [name for _, name in index.models] == ["Flange"]
    assert not {one.path for one in index.files} & {"settings.yaml", "sinks.yaml"}
    report = restore_backup(home.parent / "kept.zip", home, replace=True)
    page.run()
    assert str(report.replaced) in page.text

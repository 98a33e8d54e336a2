"""The Settings page: every setting with its value and origin, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from padim import settings
from padim.settings.table import rows
from tests.pages.session import Session


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

"""README and docs/security.md name files and settings that exist, and every setting is in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = ("README.md", "docs/security.md", "benchmarks/README.md")
_FILE = re.compile(r"`(?:\.\./)?((?:tests|benchmarks|examples|docs|ui|padim)/[\w/]+\.\w+)`")
_SETTING = re.compile(r"\bPADIM_[A-Z_]+\b")
# For developers alone: where the tests look for real images and for networks exported before.
_OF_TESTS = {"PADIM_DATA", "PADIM_TEST_CACHE"}


def _source() -> str:
    files = (file for folder in ("padim", "ui") for file in (ROOT / folder).rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_are_named_exist(document: str) -> None:
    named = _FILE.findall((ROOT / document).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_setting_is_in_the_readme_and_every_one_there_is_read() -> None:
    told = set(_SETTING.findall((ROOT / "README.md").read_text(encoding="utf-8"))) - _OF_TESTS
    read = set(_SETTING.findall(_source())) - _OF_TESTS
    assert read - told == set()
    assert told - read == set()

"""Documents name files, settings, sections and other documents that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from padim.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "sample_data/README.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
_FILE = re.compile(
    r"`(?:\.\./)?((?:tests|benchmarks|examples|deploy|docs|ui|pages|padim|scripts)/[\w./-]+\.\w+)"
    r"(?:::\w+)?[ `]"
)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)")
# Made when the site is built (scripts/mkdocs_hooks.py).
_MADE = {"cli.md", "api.md", "networks.md", "config-keys.md"}
_SETTING = re.compile(r"\bPADIM_[A-Z_]+\b")
# For developers alone: where the tests look for real images and for networks exported before.
_OF_TESTS = {"PADIM_DATA", "PADIM_TEST_CACHE", "PADIM_CHROMIUM"}


def _source() -> str:
    files = (file for folder in ("padim", "ui") for file in (ROOT / folder).rglob("*.py"))
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_that_are_named_exist(document: str) -> None:
    named = _FILE.findall((ROOT / document).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_documents_that_are_linked_exist(document: str) -> None:
    place = (ROOT / document).parent
    linked = _LINK.findall((ROOT / document).read_text(encoding="utf-8"))
    missing = [name for name in linked if not (place / name).exists()]
    assert [name for name in missing if Path(name).name not in _MADE] == []


def test_settings_that_documents_name_are_read() -> None:
    named = {
        name for file in DOCUMENTS for name in _SETTING.findall((ROOT / file).read_text(encoding="utf-8"))
    }
    # The containers' entrypoint reads a secret from the file that NAME_FILE names.
    named = {name.removesuffix("_FILE") for name in named}
    settings = {f"PADIM_{name.upper()}" for name in Settings.model_fields}
    # A caller's own variable in the guide's examples, and the prefix by itself.
    assert named - _OF_TESTS - {"API_KEY", "PADIM_"} <= settings | set(_SETTING.findall(_source()))


_CITED = re.compile(r"[\w/]+\.md\b")
_SECTION = re.compile(r"docs/design\.md, sections? (\d(?:\.\d)?)")


def _texts() -> list[tuple[Path, str]]:
    folders = ("padim", "ui", "pages", "tests", "benchmarks", "examples", "sample_data")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    return [(file, file.read_text(encoding="utf-8")) for file in files]


def test_documents_that_the_code_cites_are_there() -> None:
    missing = [
        (str(file.relative_to(ROOT)), name)
        for file, text in _texts()
        for name in _CITED.findall(text)
        if "/" in name and not (ROOT / name).exists()
    ]
    assert missing == []
    # Papers of the makers are not in the repository: nobody could look there.
    assert [str(file) for file, text in _texts() if re.search(r"\bDES" r"IGN\b|\bHO" r"USE\b", text)] == []


def test_sections_that_the_code_cites_are_headings() -> None:
    headings = set(
        re.findall(r"^#+ (\d(?:\.\d)?)", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"), re.M)
    )
    cited = {section for _, text in _texts() for section in _SECTION.findall(text)}
    assert {"2", "4.1", "4.3", "4.4", "4.5"} <= cited
    assert cited <= headings

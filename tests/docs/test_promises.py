"""docs/promises.md: every promise of the design stands there, with tests and benchmarks that exist.

docs/reference/input-files.md: every kind of file has a test that exists.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
FILES = (ROOT / "docs" / "reference" / "input-files.md").read_text(encoding="utf-8")
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
_BENCHMARK = re.compile(r"`(benchmarks/\w+\.py)[ `]")
_SECTION = re.compile(r"^## (.+?)$\n(.*?)(?=^## |\Z)", re.M | re.S)


def functions(file: Path) -> set[str]:
    """The names of a module's functions."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), sorted(set(_TEST.findall(PROMISES + FILES))))
def test_a_test_that_is_cited_exists(file: str, name: str) -> None:
    assert (ROOT / file).is_file(), file
    assert name in functions(ROOT / file)


def test_every_promise_cites_a_test() -> None:
    sections = dict(_SECTION.findall(PROMISES))
    assert len(sections) >= 10
    for title, text in sections.items():
        assert _TEST.search(text), title
        assert [name for name in _BENCHMARK.findall(text) if not (ROOT / name).is_file()] == []


def test_every_promise_of_the_design_is_there() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    promised = re.findall(r"^\d+\. \*\*(.+?)\.?\*\*", design, re.M)
    assert len(promised) >= 9
    assert set(promised) <= {title for title, _ in _SECTION.findall(PROMISES)}


def test_every_kind_of_file_cites_a_test() -> None:
    rows = [line for line in FILES.splitlines() if line.startswith("| ") and not line.startswith("| Kind |")]
    assert [row for row in rows if not row.startswith("| ---") and not _TEST.search(row)] == []

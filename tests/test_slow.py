"""The list of slow tests names tests that there are, and the fast suite stays most of the whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.slow import SLOW

HERE = Path(__file__).parent


def functions_of(path: Path) -> list[str]:
    """The names of a file's test functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("file", SLOW)
def test_every_slow_test_is_there(file: str) -> None:
    names = functions_of(HERE / file)
    missing = [name for name in SLOW[file] if name not in names]
    assert missing == [], (
        f"tests/slow.py names tests that tests/{file} has not: take them out, or rename them"
    )
    assert len(set(SLOW[file])) == len(SLOW[file])


def test_most_tests_are_fast() -> None:
    whole = sum(len(functions_of(path)) for path in HERE.rglob("test_*.py"))
    assert sum(map(len, SLOW.values())) < 0.15 * whole

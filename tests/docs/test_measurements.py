"""Figures in documents: each names a benchmark that exists, and repeated numbers agree with their source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from padim.decision.calibration import FalseRejectRate, parts_needed, to_permille, upper_bound

ROOT = Path(__file__).resolve().parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tables(document: str) -> Iterator[list[list[str]]]:
    """The tables of a document, as rows of cells, the head first."""
    for block in re.findall(r"(?:^\|.*\|\n)+", document, re.M):
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        yield [row for row in rows if not all(set(cell) <= {"-", ":"} for cell in row)]


MEASURED = {
    name: [row for table in tables(text(name)) if table[0][-1] == "command" for row in table[1:]]
    for name in ("README.md", "docs/reference/measurements.md")
}


@pytest.mark.parametrize("name", MEASURED)
def test_every_measured_row_names_a_benchmark(name: str) -> None:
    assert len(MEASURED[name]) >= 10
    for row in MEASURED[name]:
        (script,) = re.findall(r"`(benchmarks/\w+\.py)`", row[-1])
        assert (ROOT / script).is_file()
        assert script.removeprefix("benchmarks/") in text("benchmarks/README.md")


def test_the_readme_says_what_the_measurements_say() -> None:
    figures = {(row[1], row[2]) for row in MEASURED["docs/reference/measurements.md"]}
    for _, measured, command in MEASURED["README.md"]:
        assert any(measured in known and command == by for known, by in figures), measured


def test_the_table_of_parts_needed() -> None:
    table = next(t for t in tables(text("docs/guides/good-parts.md")) if t[0][0] == "percentile")
    for percentile, needed, beyond_one in table[1:]:
        permille = to_permille(float(percentile.removesuffix(" %")))
        assert (parts_needed(permille), parts_needed(permille, odd=1)) == (int(needed), int(beyond_one))


def test_the_sentence_that_is_explained_is_the_programs() -> None:
    rate = FalseRejectRate(1, 48, 2 / 49, upper_bound(1, 48))
    assert f"> {rate.sentence}" in text("docs/concepts/promise.md")
    assert f"> {rate.sentence}" in text("docs/guides/calibrate.md")
    assert rate.sentence in text("docs/guides/first-model.md")


def test_the_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 150

"""Formatting of numbers, which never makes them look more precise or more favorable than they are."""

from __future__ import annotations

import pytest

from ui.app import text


@pytest.mark.parametrize(
    ("share", "up", "expected"),
    [
        (0.05, False, "5 in 100"),
        (0.07, True, "7 in 100"),  # 0.07 * 100 is a little more than 7 in floating point
        (0.1101, True, "12 in 100"),
        (0.0041, False, "4 in 1,000"),
        (0.0041, True, "5 in 1,000"),
        (0.00001, False, "1 in 1,000"),
        (1.0, True, "100 in 100"),
    ],
)
def test_shares_in_hundreds(share: float, up: bool, expected: str) -> None:
    assert text.in_hundred(share, up=up) == expected


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (100.0, "1.00 ×"),
        (100.0001, "1.01 ×"),
        (99.9999, "0.99 ×"),
        (123.4, "1.24 ×"),
        (123_456.0, "1,234.56 ×"),
    ],
)
def test_multiples_never_cross_the_threshold_by_rounding(score: float, expected: str) -> None:
    assert text.multiple(score, 100.0) == expected


def test_no_multiple_of_nothing() -> None:
    assert text.multiple(5.0, 0.0) == "–"


@pytest.mark.parametrize(
    ("size", "expected"),
    [(10, "1 kB"), (850_000, "850 kB"), (1.44e6, "1.4 MB"), (35e6, "35 MB"), (2.31e9, "2.3 GB")],
)
def test_sizes(size: float, expected: str) -> None:
    assert text.megabytes(size) == expected


def test_counts_and_sizes() -> None:
    assert text.count(1, "image") == "1 image"
    assert text.count(1200, "image") == "1,200 images"
    assert text.size((480, 640)) == "640 × 480"

"""File names that every system takes, made of what users named as they liked."""

from __future__ import annotations

import pytest

from padim.output.file_names import flat_name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.png", "a.jpg"),
        ("part 1/shot:2.tiff", "part_1__shot__2.jpg"),
        ("../../etc/passwd", "etc__passwd.jpg"),
        ("C:\\x\\y.png", "C__x__y.jpg"),
        ("...", "image.jpg"),
        ("ü.png", "ü.jpg"),
    ],
)
def test_file_names_are_plain(name: str, plain: str) -> None:
    assert flat_name(name, ".jpg", set()) == plain


def test_file_names_are_unique() -> None:
    working_files: set[str] = set()
    assert [flat_name("A.png", ".jpg", working_files), flat_name("a.bmp", ".jpg", working_files)] == [
        "A.jpg",
        "a_2.jpg",
    ]

"""Which repeat shots show the same part, by folders and names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.data.parts_by_name import splits


def test_a_folder_a_part() -> None:
    # Two parts of thirty shots each: among normals that would be two days.
    names = [f"shots.zip/{part}/{i:02d}.png" for part in ("left", "right") for i in range(30)]
    ways = splits(names)
    assert list(ways) == ["folder", "one"]
    assert ways["folder"] == [
        ("shots.zip/left", list(range(30))),
        ("shots.zip/right", list(range(30, 60))),
    ]
    assert ways["one"] == [("The part", list(range(60)))]


def test_a_folder_a_shot_below_a_folder_a_part() -> None:
    names = [f"p{part}/shot{shot}/image.png" for part in range(3) for shot in range(2)]
    assert splits(names)["folder"] == [(f"p{i}", [2 * i, 2 * i + 1]) for i in range(3)]


def test_parts_by_name() -> None:
    names = [f"part{part:03d}_{shot}.png" for part in (7, 8, 9) for shot in "abc"]
    ways = splits(names)
    assert list(ways) == ["name", "one"]
    assert [name for name, _ in ways["name"]] == ["part007", "part008", "part009"]
    assert [group for _, group in ways["name"]] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


@pytest.mark.parametrize(
    "names",
    [
        ["shot_01.png", "shot_02.png", "shot_03.png"],
        ["IMG_0001.png", "IMG_0002.png"],
        ["folder/a.png", "folder/b.png"],
        ["one.png"],
    ],
)
def test_otherwise_all_are_one_part(names: list[str]) -> None:
    assert list(splits(names)) == ["one"]


@given(st.lists(st.text("ab01_/. -", min_size=1, max_size=9), max_size=12, unique=True))
def test_no_image_is_in_two_parts(names: list[str]) -> None:
    for parts in splits(names).values():
        working_files = [i for _, group in parts for i in group]
        assert len(working_files) == len(set(working_files))
        assert set(working_files) <= set(range(len(names)))

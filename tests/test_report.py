"""Names of files that never collide, and results that are whole however writing them ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim.report import FileNames, Results, unusable

names = st.lists(
    st.text(
        st.sampled_from(["a", "A", ".", "/", "\\", ":", " ", "ü", "\n", "0", "(", "2", ")"]), max_size=12
    ),
    max_size=30,
)


@given(names)
def test_no_two_files_are_the_same_on_any_system(given: list[str]) -> None:
    files = FileNames()
    taken = [f"{files.take(name)}.jpg" for name in given]
    assert len({name.lower() for name in taken}) == len(given)
    folders = {str(Path(name).parent).lower() for name in taken}
    assert not folders & {name.lower() for name in taken}, "no file is in the way of a folder"
    for name in taken:
        parts = name.split("/")
        assert all(part.strip(" .") and part not in ("..", ".") for part in parts), name
        assert not set(name) & set('<>:"|?*\\\n')
        assert not name.startswith("/")


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a.png", "a"),
        ("line 1/shot.2.tiff", "line 1/shot.2"),
        ("../../etc/passwd", "etc/passwd"),
        ("C:\\x\\y.png", "C_/x/y"),
        ("...", "picture"),
        ("CON.png", "_CON"),
        ("a.jpg/b.png", "a.jpg_/b"),
        (".hidden.png", "_hidden"),
        ("ü" * 100 + ".png", "ü" * 60),
    ],
)
def test_sub_folders_are_kept_and_the_rest_is_plain(name: str, plain: str) -> None:
    assert FileNames().take(name) == plain


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    text = (folder / "results.csv").read_bytes().decode("utf-8-sig")
    return (
        json.loads((folder / "results.json").read_text(encoding="utf-8")),
        list(csv.DictReader(io.StringIO(text))),
    )


def test_nothing_is_there_before_the_end(tmp_path: Path) -> None:
    with Results(tmp_path / "out", {"model": "m"}, {"about": 1}) as results:
        results.add(unusable("a", "broken"))
        assert not (tmp_path / "out" / "results.json").exists()
    document, lines = read(tmp_path / "out")
    assert document["about"] == 1
    assert document["pictures"] == [{"name": "a", "verdict": None, "error": "broken", "sha256": None}]
    assert document["counts"]["unreadable"] == 1
    assert [(line["name"], line["error"], line["model"]) for line in lines] == [("a", "broken", "m")]


def test_no_rows_are_valid_files_too(tmp_path: Path) -> None:
    with Results(tmp_path, {}, {}):
        pass
    assert read(tmp_path) == (
        {
            "pictures": [],
            "counts": {"accept": 0, "review": 0, "reject": 0, "unreadable": 0},
            "interrupted": None,
        },
        [],
    )


def stopped_short(folder: Path) -> None:
    """Results of one row, and then an error."""
    with Results(folder, {}, {}) as results:
        results.add(unusable("a", "broken"))
        raise ZeroDivisionError("of all things")


def test_an_error_on_the_way_leaves_whole_files_that_say_so(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        stopped_short(tmp_path)
    document, lines = read(tmp_path)
    assert document["interrupted"] == "of all things"
    assert lines[-1]["error"] == "interrupted: of all things"
    # The journal stays, for a later run to go on from.
    assert sorted(place.name for place in tmp_path.iterdir()) == [
        "results.csv",
        "results.json",
        "results.partial.jsonl",
    ]


def test_a_disk_that_fills_up_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("padim.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"), Results(tmp_path, {}, {}):
        pass
    assert not [*tmp_path.iterdir()]

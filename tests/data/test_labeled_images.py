"""Images and their labels: which are found, and which of them are taken."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from padim import PadimError
from padim.data.labeled_images import LabeledImages, at_most, good_ones, open_labeled
from tests.parts import normals

PNG = bytes(normals(1)[0][1])


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PNG)
    return root


def test_labels_are_found_where_there_are_any(tmp_path: Path) -> None:
    found = open_labeled(folder(tmp_path, "good/a.png", "good/b.png", "chip/c.png", "dent/d.png"))
    assert (found.good, found.defects, found.count) == (2, 2, 4)
    assert found.kind_of("chip/c.png") == "chip"
    assert [name for name, _ in good_ones(found)] == ["good/a.png", "good/b.png"]
    assert len(good_ones(found.all_good())) == 4


def test_without_labels_all_are_good(tmp_path: Path) -> None:
    found = open_labeled(folder(tmp_path, "a.png", "b.png"))
    assert (found.kinds, found.good, found.defects) == (None, 2, 0)
    assert [name for name, _ in good_ones(found)] == ["a.png", "b.png"]


def test_nothing_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match=tmp_path.name):
        open_labeled(tmp_path)
    with pytest.raises(PadimError, match="give good parts"):
        open_labeled(tmp_path, "give good parts")


class _Images(list[tuple[str, bytes]]):
    skipped: tuple[Any, ...] = ()


@given(good=st.integers(0, 30), bad=st.integers(0, 30), most=st.integers(1, 12), known=st.booleans())
def test_at_most_so_many_evenly_over_all(good: int, bad: int, most: int, known: bool) -> None:
    names = [f"g{i:02d}" for i in range(good)] + [f"b{i:02d}" for i in range(bad)]
    kinds = {name: "good" if name[0] == "g" else "chip" for name in names} if known else None
    images = LabeledImages(_Images((name, b"") for name in names), len(names), "set", kinds)
    chosen = at_most(images, most)
    found = [name for name, _ in chosen]
    assert len(found) == len(chosen)
    assert found == [name for name, _ in chosen], "as often as needed"
    sorts = [[n for n in names if n[0] == letter] for letter in "gb"] if known else [names]
    for of in sorts:
        here = [name for name in found if name in of]
        assert len(here) == min(most, len(of))
        places = [of.index(name) for name in here]
        gaps = [b - a for a, b in itertools.pairwise(places)]
        assert not gaps or max(gaps) - min(gaps) <= 1, "evenly"
        assert not here or places[0] == 0


def test_defects_alone_are_not_taken_for_good_parts(tmp_path: Path) -> None:
    found = open_labeled(folder(tmp_path, "NG/a.png", "defects/b.png"))
    with pytest.raises(PadimError, match="defects alone"):
        found.all_good()
    assert open_labeled(folder(tmp_path / "lines", "line 1/a.png")).all_good().good == 1


@pytest.mark.parametrize(
    "rows", ["a.png,good\na.png,dent\n", "a.png,1\nb.png,-1\n", "a.png,dobry\nb.png,zly\n"]
)
def test_labels_that_cannot_be_trusted_do_not_make_all_images_good(tmp_path: Path, rows: str) -> None:
    root = folder(tmp_path, "a.png", "b.png")
    (root / "labels.csv").write_text(f"path,label\n{rows}")
    with pytest.raises(PadimError, match=r"labels\.csv"):
        open_labeled(root)

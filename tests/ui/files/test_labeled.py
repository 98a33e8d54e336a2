"""Chosen images: which labels they have, and which of them are used."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from padim.data.labeled_images import good_ones
from padim.errors import PadimError
from tests.parts import normals
from ui.files import image_input, labeled

FILES = [(name, bytes(data)) for name, data in normals(5)]


def folder(root: Path, names: list[str]) -> image_input.ImageSet:
    """Write images of good parts under these names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(FILES[0][1])
    return image_input.from_folder(root, "set")


def zipped(names: list[str]) -> image_input.ImageSet:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, FILES[0][1])
    packed.seek(0)
    upload: Any = packed  # read like an uploaded file
    return image_input.from_uploads([("set.zip", upload)])


NAMES = ["good/a.png", "good/b.png", "chip/c.png", "dent/d.png", "ground_truth/chip/c.png"]


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_labels_are_found_where_there_are_any(place: str, tmp_path: Path) -> None:
    found = labeled.of(folder(tmp_path, NAMES) if place == "folder" else zipped(NAMES))
    assert (found.good, found.defects, found.count) == (2, 2, 4)
    assert found.kind_of("chip/c.png") == "chip"
    assert found.layout == "one folder a kind"
    assert [name for name, _ in good_ones(found)] == ["good/a.png", "good/b.png"]
    without = found.all_good()
    assert (without.good, without.defects, without.layout) == (4, 0, "")
    assert without.kind_of("chip/c.png") == "good"


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_without_labels_all_are_good(place: str, tmp_path: Path) -> None:
    names = ["a.png", "b.png"]
    found = labeled.of(folder(tmp_path, names) if place == "folder" else zipped(names))
    assert found.kinds is None
    assert (found.good, found.defects) == (2, 0)
    assert [name for name, _ in good_ones(found)] == names
    assert len(good_ones(found)) == 2


def test_a_single_folder_is_not_good_until_the_user_says_so() -> None:
    found = labeled.of(zipped(["line3/a.png", "line3/b.png"]))
    assert (found.good, found.defects) == (0, 2)
    assert len(list(good_ones(found.all_good()))) == 2


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_labels_that_contradict_each_other_do_not_make_all_images_good(place: str, tmp_path: Path) -> None:
    names = ["pass1/OK/a.png", "pass1/NG/b.png", "pass2/OK/c.png"]
    with pytest.raises(PadimError, match="pass1/NG"):
        labeled.of(folder(tmp_path, names) if place == "folder" else zipped(names))


def test_nothing_to_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PadimError, match="holds no images"):
        labeled.of(folder(tmp_path, []))
    upload: Any = io.BytesIO(b"no zip")
    with pytest.raises(PadimError, match=r"holds no images \(bad.zip"):
        labeled.of(image_input.from_uploads([("bad.zip", upload)]))


def test_masks_beside_an_open_folder_stay_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path, ["set/good/a.png", "set/chip/c.png", "ground_truth/chip/c.png"])
    assert labeled.open_folder(tmp_path / "set").masks == 1
    monkeypatch.setenv("PADIM_FOLDERS", str(tmp_path / "set"))
    assert labeled.open_folder((tmp_path / "set").resolve()).masks == 0

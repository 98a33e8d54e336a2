"""Layouts of labelled folders: what is good, what is a defect, and which mask belongs to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from padim.datasets import open_dataset, read_mask
from padim.errors import ImageError, PadimError
from tests.parts import part, png

PICTURE = png(part(1, size=(20, 30)))


def lay(root: Path, *names: str) -> Path:
    """Files of one picture below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PICTURE)
    return root


def found(root: Path) -> dict[str, tuple[str, str | None]]:
    """Name to (kind, its mask's path below the root)."""
    dataset = open_dataset(root)
    assert [name for name, _ in dataset] == list(dataset.samples), "read in the order they are listed in"
    return {
        sample.name: (sample.kind, sample.mask.relative_to(root).as_posix() if sample.mask else None)
        for sample in dataset.samples.values()
    }


def test_mvtec_reads_the_test_pictures_only(tmp_path: Path) -> None:
    lay(tmp_path, "train/good/000.png", "test/good/000.png", "test/crack/000.png", "test/crack/001.JPG")
    lay(tmp_path, "ground_truth/crack/000_mask.png", "ground_truth/other/001_mask.png", "test/.hidden/0.png")
    assert found(tmp_path) == {
        "good/000.png": ("good", None),
        "crack/000.png": ("crack", "ground_truth/crack/000_mask.png"),
        "crack/001.JPG": ("crack", None),
    }
    dataset = open_dataset(tmp_path)
    assert (len(dataset), dataset.masks, dataset.kinds["crack"], dataset.layout) == (3, 1, 2, "MVTec AD")


@pytest.mark.parametrize("masks", ["ground_truth", "../ground_truth"])
def test_plain_folders_have_masks_in_them_or_beside_them(tmp_path: Path, masks: str) -> None:
    root = tmp_path / "set"
    lay(root, "OK/a.png", "scratch/line 1/a.png", "scratch/b.png")
    lay(root, f"{masks}/scratch/line 1/a_mask.png", f"{masks}/scratch/b.png")
    dataset = open_dataset(root)
    assert {name: sample.kind for name, sample in dataset.samples.items()} == {
        "OK/a.png": "good",
        "scratch/b.png": "scratch",
        "scratch/line 1/a.png": "scratch",
    }
    assert dataset.masks == 2


def test_broken_files_are_named_with_their_folder(tmp_path: Path) -> None:
    lay(tmp_path, "good/a.png")
    (tmp_path / "good" / "b.heic").write_bytes(b"another kind")
    dataset = open_dataset(tmp_path)
    assert [name for name, _ in dataset] == ["good/a.png"]
    assert [error.name for error in dataset.skipped] == ["good/b.heic"]


def test_what_holds_no_labels_is_refused(tmp_path: Path) -> None:
    lay(tmp_path / "flat", "a.png")
    (tmp_path / "empty" / "good").mkdir(parents=True)
    for place in ("flat", "empty", "none", "flat/a.png"):
        with pytest.raises(PadimError, match=place):
            open_dataset(tmp_path / place)


def test_a_mask_is_whatever_is_not_black_and_of_its_pictures_size(tmp_path: Path) -> None:
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[3, 4] = 1
    mask[5, 6, 2] = 255
    path = tmp_path / "a_mask.png"
    path.write_bytes(png(mask))
    assert [tuple(place) for place in np.argwhere(read_mask(path, (20, 30)))] == [(3, 4), (5, 6)]
    with pytest.raises(ImageError, match="the mask is 30 × 20, its picture 20 × 30"):
        read_mask(path, (30, 20))
    with pytest.raises(ImageError, match="cannot be read"):
        read_mask(tmp_path / "none.png", (20, 30))
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="a_mask"):
        read_mask(path, (20, 30))

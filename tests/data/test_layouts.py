"""What each folder of each layout is taken for, in a folder, a zip and a browser's folder."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from padim.data.datasets import Dataset, open_dataset, open_uploads
from padim.data.decode import decode
from padim.data.sources import FolderSource
from padim.errors import PadimError
from tests.data import layouts
from tests.data.layouts import LAYOUTS, Layout

ROOT = Path(__file__).parents[2]


def taken_for(dataset: Dataset) -> dict[str, str]:
    found: dict[str, list[str]] = defaultdict(list)
    for use in dataset.folders:
        found[use.folder].append(use.taken_for)
    return {folder: " / ".join(sorted(uses)) for folder, uses in found.items()}


def opened(root: Path, how: str, tmp_path: Path) -> Dataset:
    if how == "folder":
        return open_dataset(root, beside=False)
    if how == "zip":
        return open_dataset(shutil.make_archive(str(tmp_path / "packed"), "zip", root.parent, root.name))
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return open_uploads([(path.relative_to(root.parent).as_posix(), path.read_bytes()) for path in files])


@pytest.mark.parametrize("how", ["folder", "zip", "browser"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
def test_each_layout_is_taken_for_what_it_is(tmp_path: Path, layout: Layout, how: str) -> None:
    root = tmp_path / "data" / "widget"
    layout.make(root)
    dataset = opened(root, how, tmp_path)
    assert dataset.layout == layout.name
    assert dict(dataset.kinds) == {"good": layout.good, **layout.defects}
    assert (dataset.masks, len(dataset.training)) == (layout.masks, layout.training)
    assert taken_for(dataset) == layout.folders
    assert not dataset.skipped
    assert not dataset.unmatched_masks
    # Every mask is of its own image's size, and shows its defect.
    for sample in dataset.samples.values():
        mask = dataset.mask(sample, (layouts.SIDE, layouts.SIDE))
        assert (mask is None) == (not sample.masks)
        assert mask is None or 12 <= mask.sum() <= 144
    assert not dataset.mask_account.empty


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.title)
def test_every_image_of_a_layout_is_accounted_for(tmp_path: Path, layout: Layout) -> None:
    layout.make(tmp_path)
    dataset = open_dataset(tmp_path, beside=False)
    everything = set(FolderSource(tmp_path).names())
    used = {sample.file for sample in dataset.samples.values()}
    used |= {mask for sample in dataset.samples.values() for mask in sample.masks}
    # Empty masks say that their images are good; they are used without being masks of defects.
    left = sum(one.files for one in dataset.passed_over if not one.name.endswith((".txt", "1cls.csv")))
    empty = sum(use.files for use in dataset.folders if use.taken_for == "masks: empty, of good parts")
    assert len(everything) == len(used) + left + empty
    tables = sum(use.taken_for == "table of labels" for use in dataset.folders)
    assert sum(use.files for use in dataset.folders) == len(everything) + tables


def test_the_table_in_the_documents_is_that_of_the_layouts() -> None:
    text = (ROOT / "docs" / "reference" / "layouts.md").read_text(encoding="utf-8")
    assert layouts.markdown() in text, "python -m tests.data.layouts prints the table"


def test_unmatched_and_missing_masks_are_named(tmp_path: Path) -> None:
    layouts.images(tmp_path, "test/good", 2)
    layouts.images(tmp_path, "test/crack", 3)
    layouts.masks(tmp_path, "ground_truth/crack", 2)
    layouts.mask(tmp_path / "ground_truth/crack/777_mask.png")
    layouts.mask(tmp_path / "ground_truth/good/000_mask.png", empty=True)
    layouts.mask(tmp_path / "ground_truth/crack/001_mask.png", empty=True)
    dataset = open_dataset(tmp_path)
    for sample in dataset.samples.values():
        dataset.mask(sample, (layouts.SIDE, layouts.SIDE))
    account = dataset.mask_account
    assert account.used == 1
    assert account.unmatched == ("ground_truth/crack/777_mask.png",)
    assert account.empty == ("ground_truth/crack/001_mask.png",)
    assert account.missing == ("crack/002.png",)
    assert len(account.notes) == 3
    assert {(one.name, one.reason) for one in dataset.passed_over} == {
        ("ground_truth/crack/777_mask.png", "mask without its image"),
        ("ground_truth/good/000_mask.png", "mask of a good part"),
    }


@pytest.mark.parametrize(
    ("mask", "image"),
    [
        ("ground_truth/crack/000_mask.png", "crack/000.png"),
        ("Ground_Truth/Crack/000_GT.PNG", "crack/000.jpg"),
        ("GroundTruth/crack/000-mask.bmp", "crack/000.png"),
        ("gt/crack/000.png", "crack/000.bmp"),
        ("masks/000_seg.png", "crack/000.png"),
        ("mask/crack/000.png", "crack/000.jpg"),
        ("Masks/crack/000.jpg_mask.png", "crack/000.jpg"),
        ("rgb_mask/crack/000_rgb_mask.png", "crack/000.png"),
        ("crack/000_label.png", "crack/000.png"),
        ("crack/000 mask.tif", "crack/000.tif"),
        ("crack/masks/000.png", "crack/000.png"),
        ("masks/crack/000_mask_1.png", "crack/000.png"),
    ],
)
def test_masks_find_their_images(tmp_path: Path, mask: str, image: str) -> None:
    layouts.images(tmp_path, "good", 1)
    layouts.image(tmp_path / image)
    layouts.mask(tmp_path / mask)
    dataset = open_dataset(tmp_path)
    assert dict(dataset.kinds) == {"good": 1, "crack": 1}
    assert dataset.samples[image].masks == (mask,)


def test_several_masks_of_one_image_are_united(tmp_path: Path) -> None:
    layouts.images(tmp_path, "good", 1)
    layouts.images(tmp_path, "crack", 1)
    layouts.mask(tmp_path / "ground_truth/crack/000/000.png")
    layouts.mask(tmp_path / "ground_truth/crack/000/001.png", empty=True)
    dataset = open_dataset(tmp_path)
    sample = dataset.samples["crack/000.png"]
    assert len(sample.masks) == 2
    mask = dataset.mask(sample, (layouts.SIDE, layouts.SIDE))
    assert mask is not None
    assert mask.sum() == 12


def test_a_name_that_several_images_have_is_not_guessed(tmp_path: Path) -> None:
    for kind in ("good", "crack", "hole"):
        layouts.images(tmp_path, kind, 1)
    layouts.mask(tmp_path / "masks/000.png")
    dataset = open_dataset(tmp_path)
    assert (dataset.masks, dataset.unmatched_masks) == (0, ("masks/000.png",))


def test_where_no_folder_is_good_the_names_are_told(tmp_path: Path) -> None:
    layouts.images(tmp_path, "Referenz", 3)
    layouts.images(tmp_path, "Kratzspur", 2)
    with pytest.raises(PadimError, match=r"Kratzspur, Referenz; name the folder .* good, ok, pass, io, gut"):
        open_dataset(tmp_path)
    assert dict(open_dataset(tmp_path, good_needed=False).kinds) == {"Referenz": 3, "Kratzspur": 2}


@pytest.mark.parametrize("make", [layouts.mvtec, layouts.btad, layouts.dagm])
def test_a_folder_of_several_data_sets_is_not_one(tmp_path: Path, make: object) -> None:
    for name in ("bottle", "cable"):
        make(tmp_path / name)  # type: ignore[operator]
        inside = tmp_path / name / "Class1"
        if inside.is_dir():
            inside.rename(tmp_path / f"{name}_")
            (tmp_path / name).rmdir()
    with pytest.raises(PadimError, match="holds 2 data sets"):
        open_dataset(tmp_path)


def test_several_lines_are_several_data_sets(tmp_path: Path) -> None:
    for line in ("line 1", "line 2"):
        layouts.images(tmp_path, f"{line}/good", 2)
        layouts.images(tmp_path, f"{line}/bad", 1)
    with pytest.raises(PadimError, match=r"holds 2 data sets \(line 1, line 2\)"):
        open_dataset(tmp_path)


def test_views_of_parts_are_no_kinds_of_defects(tmp_path: Path) -> None:
    for folder in ("good/front", "good/back", "bad/front", "bad/scratch"):
        layouts.images(tmp_path, folder, 1)
    assert dict(open_dataset(tmp_path).kinds) == {"good": 2, "bad": 1, "scratch": 1}


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        # The upper folder is a product's or a camera's, the lower ones are the labels.
        (["pass1/OK/1.png", "pass1/NG/2.png"], {"OK/1.png": "good", "NG/2.png": "NG"}),
        (["normal/good/1.png", "normal/bad/2.png"], {"good/1.png": "good", "bad/2.png": "bad"}),
        # Beside a test set, a folder that is named after no defect is of anything.
        (
            ["test/good/1.png", "test/dent/2.png", "docs/3.png", "thumbs/4.png"],
            {"good/1.png": "good", "dent/2.png": "dent"},
        ),
        (
            ["normal/1.png", "normal_test/2.png", "colour/3.png"],
            {"normal_test/2.png": "good", "colour/3.png": "colour"},
        ),
        (
            ["test/normal/1.png", "test/normal_test/2.png", "test/dent/3.png"],
            {"normal/1.png": "good", "normal_test/2.png": "good", "dent/3.png": "dent"},
        ),
        # Masks in a folder named after that of their images, or with a name that begins as a mask's.
        (["OK/1.png", "NG/2.png", "NG_mask/2.png"], {"OK/1.png": "good", "NG/2.png": "NG"}),
        (["OK/1.png", "dent 1/2.png", "mask_dent_1/2.png"], {"OK/1.png": "good", "dent 1/2.png": "dent 1"}),
        (["good/a.png", "bad/b.png", "bad/mask_b.png"], {"good/a.png": "good", "bad/b.png": "bad"}),
        # In a folder of defects nothing is good, whatever the views of the parts are called.
        (["ok/1.png", "NG/good/2.png"], {"ok/1.png": "good", "NG/good/2.png": "NG"}),
        (["ok/1.png", "NG/normal/2.png"], {"ok/1.png": "good", "NG/normal/2.png": "NG"}),
        (
            ["good/normal/1.png", "dent/normal/2.png"],
            {"good/normal/1.png": "good", "dent/normal/2.png": "dent"},
        ),
        (["OK画像/1.png", "NG画像/2.png"], {"OK画像/1.png": "good", "NG画像/2.png": "NG画像"}),
        (
            ["conforme/1.png", "non conforme/2.png"],
            {"conforme/1.png": "good", "non conforme/2.png": "non conforme"},
        ),
        # Not every image of a kind of defect has a mask.
        (
            ["scratch/1.png", "scratch/2.png", "ground_truth/scratch/1.png"],
            {"scratch/1.png": "scratch", "scratch/2.png": "scratch"},
        ),
        # The mask may be that of either image of its name: neither has a label.
        (
            ["a.png", "a.jpg", "b.png", "c.png", "a_mask.bmp", "c_mask.png"],
            {"b.png": "good", "c.png": "defect"},
        ),
    ],
)
def test_no_image_gets_the_opposite_label(tmp_path: Path, names: list[str], kinds: dict[str, str]) -> None:
    _make(tmp_path, names)
    dataset = open_dataset(tmp_path)
    assert {name: sample.kind for name, sample in dataset.samples.items()} == kinds


@pytest.mark.parametrize(
    "mask", ["NG_mask/2.png", "NG masks/2_mask.png", "mask_NG/2.png", "NG/mask_2.png", "NG/GT-2.png"]
)
def test_masks_named_after_the_folder_of_their_images(tmp_path: Path, mask: str) -> None:
    _make(tmp_path, ["OK/1.png", "NG/2.png"])
    layouts.mask(tmp_path / mask)
    dataset = open_dataset(tmp_path)
    assert dataset.samples["NG/2.png"].masks == (mask,)
    assert dict(dataset.kinds) == {"good": 1, "NG": 1}


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["pass1/OK/1.png", "pass1/NG/2.png", "pass2/OK/1.png"], "pass1/NG"),
        (["good/1.png", "good/false_rejects/2.png", "dent/3.png"], "good/false_rejects"),
        (["good/1.png", "batch2/good/2.png", "batch2/bad/3.png"], "batch2/good"),
        (["test/good/1.png", "test/cam1/good/2.png", "test/dent/3.png"], "test/cam1/good"),
        (["faden/1.png", "faden/2.png", "ground_truth/faden/1.png"], "faden"),
        (["dent/1.png", "dent/1_mask.png", "dent/2.png"], "dent"),
    ],
)
def test_folders_that_contradict_each_other_are_refused(tmp_path: Path, names: list[str], named: str) -> None:
    _make(tmp_path, names)
    with pytest.raises(PadimError, match=named):
        open_dataset(tmp_path)


def test_visa_in_a_folder_of_its_own_keeps_its_tables(tmp_path: Path) -> None:
    visa = next(layout for layout in LAYOUTS if layout.title == "VisA")
    visa.make(tmp_path / "unpacked" / "VisA")
    dataset = open_dataset(tmp_path / "unpacked")
    assert (dataset.layout, dict(dataset.kinds)) == ("VisA", {"good": visa.good, **visa.defects})
    assert len(dataset.training) == visa.training


def _make(root: Path, names: list[str]) -> None:
    for number, name in enumerate(names):
        is_mask = "mask" in name or "ground_truth" in name
        (layouts.mask if is_mask else lambda path, seed=number: layouts.image(path, seed))(root / name)


@pytest.mark.parametrize("read_first", [False, True])
def test_a_mask_in_stored_pixels_is_turned_with_its_photograph(tmp_path: Path, read_first: bool) -> None:
    layouts.images(tmp_path, "good", 1, ".jpg")
    pixels = np.full((12, 12, 3), 90, np.uint8)
    pixels[1:3, 2:9] = 250
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "crack").mkdir()
    Image.fromarray(pixels).save(tmp_path / "crack" / "000.jpg", quality=95, exif=exif)
    (tmp_path / "masks" / "crack").mkdir(parents=True)
    Image.fromarray((pixels[..., 0] > 200).astype(np.uint8)).save(tmp_path / "masks" / "crack" / "000.png")
    dataset = open_dataset(tmp_path)
    if read_first:
        list(dataset)
    sample = dataset.samples["crack/000.jpg"]
    upright = decode((tmp_path / "crack" / "000.jpg").read_bytes(), "000.jpg")
    mask = dataset.mask(sample, upright.shape[:2])
    np.testing.assert_array_equal(mask, upright[..., 0] > 170)

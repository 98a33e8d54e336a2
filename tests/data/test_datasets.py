"""Layouts of labelled folders: what is good, what is a defect, and which mask belongs to it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from padim.data.datasets import open_dataset, open_uploads, read_mask
from padim.data.decode import MIB
from padim.errors import ImageError, PadimError
from tests.parts import part, png

IMAGE = png(part(1, size=(20, 30)))


def lay(root: Path, *names: str) -> Path:
    """Files of one image below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(IMAGE)
    return root


def found(root: Path) -> dict[str, tuple[str, str | None]]:
    """Name to (kind, its mask's path below the root)."""
    dataset = open_dataset(root)
    assert [name for name, _ in dataset] == list(dataset.samples), "read in the order they are listed in"
    return {sample.name: (sample.kind, sample.mask) for sample in dataset.samples.values()}


def test_mvtec_reads_the_test_images_only(tmp_path: Path) -> None:
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
    (tmp_path / "good" / "b.psd").write_bytes(b"another kind")
    dataset = open_dataset(tmp_path)
    assert [name for name, _ in dataset] == ["good/a.png"]
    assert [error.name for error in dataset.skipped] == ["good/b.psd"]


def test_what_holds_no_labels_is_refused(tmp_path: Path) -> None:
    lay(tmp_path / "flat", "a.png")
    (tmp_path / "empty" / "good").mkdir(parents=True)
    for place in ("flat", "empty", "none", "flat/a.png"):
        with pytest.raises(PadimError, match=place):
            open_dataset(tmp_path / place)


def test_a_mask_is_whatever_is_not_black_and_of_its_images_size(tmp_path: Path) -> None:
    mask = np.zeros((20, 30, 3), np.uint8)
    mask[3, 4] = 1
    mask[5, 6, 2] = 255
    places = np.argwhere(read_mask(png(mask), "a_mask.png", (20, 30)))
    assert [tuple(place) for place in places] == [(3, 4), (5, 6)]
    with pytest.raises(ImageError, match="the mask is 30 × 20, its image 20 × 30"):
        read_mask(png(mask), "a_mask.png", (30, 20))
    with pytest.raises(ImageError, match="a_mask"):
        read_mask(b"no image", "a_mask.png", (20, 30))


# -- tables ----------------------------------------------------------------------------------------------


def write(root: Path, name: str, text: str) -> Path:
    """A text file below a folder."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return root


def test_a_table_names_images_labels_and_masks(tmp_path: Path) -> None:
    lay(tmp_path, "a.png", "b/c.png", "b/d.png", "masks/c.png", "not named.png")
    write(
        tmp_path,
        "labels.csv",
        "\ufeffPath;Label;Mask\na.png;OK;\nb\\c.png;dent;masks/c.png\nb/d.png;1;masks/none.png\ngone.png;dent;\n"
        "../../etc/passwd.png;dent;\n",
    )
    for where in (tmp_path, tmp_path / "labels.csv"):
        dataset = open_dataset(where)
        assert dataset.layout == "CSV"
        assert {name: (s.kind, s.mask) for name, s in dataset.samples.items()} == {
            "a.png": ("good", None),
            "b/c.png": ("dent", "masks/c.png"),
            "b/d.png": ("defect", None),
        }
        assert [name for name, _ in dataset] == ["a.png", "b/c.png", "b/d.png"]
        assert [error.name for error in dataset.skipped] == [
            "masks/none.png",
            "gone.png",
            "../../etc/passwd.png",
        ]
        mask = dataset.mask(dataset.samples["b/c.png"], (20, 30))
        assert mask is not None
        assert mask.all()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,what\na.png,ok\n", "path and label"),
        ("", "path and label"),
        ("path,label\nb.png,ok\n", "no image"),
    ],
)
def test_a_table_of_no_use_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    write(lay(tmp_path, "a.png"), "l.csv", text)
    with pytest.raises(PadimError, match=said) as told:
        open_dataset(tmp_path / "l.csv")
    assert "l.csv" in str(told.value)


def test_a_table_that_is_no_text(tmp_path: Path) -> None:
    lay(tmp_path, "a.png")
    (tmp_path / "l.csv").write_bytes(b"path,label\na.png,ok\n\0\x81\xff")
    with pytest.raises(PadimError, match="UTF-8"):
        open_dataset(tmp_path / "l.csv")


def visa(root: Path, part: str = "candle", *, split: bool = True) -> Path:
    """VisA's layout with one part: two good parts and two defects, half of them for testing."""
    images, masks = f"{part}/Data/Images", f"{part}/Data/Masks/Anomaly"
    lay(root, *(f"{images}/Normal/{i}.JPG" for i in range(2)))
    lay(root, *(f"{images}/Anomaly/{i}.JPG" for i in range(2)), *(f"{masks}/{i}.png" for i in range(2)))
    write(
        root,
        f"{part}/image_anno.csv",
        "image,label,mask\n"
        + "".join(f"{images}/Normal/{i}.JPG,normal,\n" for i in range(2))
        + f'{images}/Anomaly/0.JPG,"wax melted,chunk missing",{masks}/0.png\n'
        + f"{images}/Anomaly/1.JPG,wax melted,{masks}/1.png\n",
    )
    if split:
        write(
            root,
            "split_csv/1cls.csv",
            "object,split,label,image,mask\n"
            + f"{part},train,normal,{images}/Normal/0.JPG,\n{part},test,normal,{images}/Normal/1.JPG,\n"
            + "".join(f"{part},test,anomaly,{images}/Anomaly/{i}.JPG,{masks}/{i}.png\n" for i in range(2)),
        )
    return root


def test_visa_by_its_part_by_its_root_and_without_a_split(tmp_path: Path) -> None:
    root = visa(tmp_path / "visa")
    expected = {
        "Data/Images/Normal/1.JPG": ("good", None),
        "Data/Images/Anomaly/0.JPG": ("wax melted,chunk missing", "Data/Masks/Anomaly/0.png"),
        "Data/Images/Anomaly/1.JPG": ("wax melted", "Data/Masks/Anomaly/1.png"),
    }
    assert found(root / "candle") == expected
    whole = open_dataset(root)
    assert whole.layout == "VisA"
    assert {name: s.kind for name, s in whole.samples.items()} == {
        n: kind for n, (kind, _) in expected.items()
    }
    assert len(list(whole)) == 3
    assert len(open_dataset(root / "candle", beside=False)) == 4, "what lies beside is not looked at"
    visa(root, "cashew", split=False)
    with pytest.raises(PadimError, match="2 parts"):
        open_dataset(root)


# -- zips and uploads ------------------------------------------------------------------------------------


def packed(root: Path, *, top: str = "", evil: bool = False) -> bytes:
    """A folder as a zip."""
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for path in sorted(root.rglob("*")):
            if path.is_file():
                archive.write(path, f"{top}{path.relative_to(root).as_posix()}")
        if evil:
            archive.writestr("../../evil.png", IMAGE)
    return buffer.getvalue()


@pytest.mark.parametrize("top", ["", "bottle/", "data/bottle/"])
def test_a_zip_is_as_good_as_the_folder_in_it(tmp_path: Path, top: str) -> None:
    root = tmp_path / "set"
    lay(root, "train/good/1.png", "test/good/1.png", "test/dent/1.png", "ground_truth/dent/1_mask.png")
    file = tmp_path / "set.zip"
    file.write_bytes(packed(root, top=top))
    folder = open_dataset(root)
    for dataset in (open_dataset(file), open_uploads([("set.zip", file.read_bytes())])):
        assert dataset.layout == "MVTec AD"
        assert list(dataset) == list(folder)
        assert list(dataset) == list(folder), "and again"
        assert {n: s.kind for n, s in dataset.samples.items()} == {
            n: s.kind for n, s in folder.samples.items()
        }
        sample = dataset.samples["dent/1.png"]
        np.testing.assert_array_equal(dataset.mask(sample, (20, 30)), np.ones((20, 30), bool))


def test_a_zip_of_visa_and_a_zip_with_a_table(tmp_path: Path) -> None:
    dataset = open_uploads([("visa.zip", packed(visa(tmp_path / "visa")))])
    assert (dataset.layout, len(dataset), dataset.masks) == ("VisA", 3, 2)
    write(
        lay(tmp_path / "own", "x/a.png", "x/b.png"), "labels.csv", "path,label\nx/a.png,good\nx/b.png,dent\n"
    )
    dataset = open_uploads([("own.zip", packed(tmp_path / "own"))])
    assert (dataset.layout, dict(dataset.kinds)) == ("CSV", {"good": 1, "dent": 1})


def test_a_zip_keeps_to_the_rules_of_zips(tmp_path: Path) -> None:
    lay(tmp_path, "good/a.png", "dent/a.png")
    data = packed(tmp_path, evil=True)
    damaged = data.replace(IMAGE[40:60], bytes(20), 1)  # the first member
    dataset = open_uploads([("set.zip", damaged)])
    assert [name for name, _ in dataset] == ["good/a.png"]
    assert {error.name for error in dataset.skipped} == {"dent/a.png", "../../evil.png"}
    for bad in (b"", b"no zip"):
        with pytest.raises(PadimError, match=r"set\.zip"):
            open_uploads([("set.zip", bad)])
    with pytest.raises(PadimError, match="one zip"):
        open_uploads([("a.zip", data), ("b.zip", data)])


def test_a_bomb_in_a_zip_is_not_unpacked(tmp_path: Path) -> None:
    lay(tmp_path, "good/a.png", "dent/a.png")
    buffer = BytesIO(packed(tmp_path))
    with ZipFile(buffer, "a", ZIP_DEFLATED) as archive:
        archive.writestr("dent/bomb.png", bytes(40 * MIB))
    dataset = open_uploads([("set.zip", buffer.getvalue())])
    assert [name for name, _ in dataset] == ["good/a.png", "dent/a.png"]
    (error,) = dataset.skipped
    assert error.name == "dent/bomb.png"
    assert "unpacked" in error.reason


def test_uploads_are_labelled_by_their_folders() -> None:
    names = ("set/OK/1.png", "set/dent/1.png", "set/dent/2.png", "set/ground_truth/dent/2_mask.png")
    dataset = open_uploads([(name, IMAGE) for name in names])
    assert {n: (s.kind, s.mask is None) for n, s in dataset.samples.items()} == {
        "OK/1.png": ("good", True),
        "dent/1.png": ("dent", True),
        "dent/2.png": ("dent", False),
    }
    assert len(list(dataset)) == 3
    with pytest.raises(PadimError, match="no labelled images"):
        open_uploads([("1.png", IMAGE)])
    table = b"path,label\nb/1.png,dent\na.png,ok\n"
    dataset = open_uploads([("set/b/1.png", IMAGE), ("set/a.png", IMAGE), ("set/labels.csv", table)])
    assert {n: s.kind for n, s in dataset.samples.items()} == {"a.png": "good", "b/1.png": "dent"}
    assert len(list(dataset)) == 2


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    lay(tmp_path, "secret.png", "set/good/a.png")
    write(tmp_path, "secret.csv", "path,label\na.png,ok\n")
    (tmp_path / "set" / "dent").mkdir()
    (tmp_path / "set" / "dent" / "a.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "set" / "labels.csv").symlink_to(tmp_path / "secret.csv")
    dataset = open_dataset(tmp_path / "set")
    assert dataset.layout == "one folder a kind"
    assert [name for name, _ in dataset] == ["good/a.png"]
    assert [error.name for error in dataset.skipped] == ["dent/a.png"]

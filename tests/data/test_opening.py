"""A folder, a zip or one image is a source of images; whatever else is given is called by its true kind."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from padim.data.archives import ZipSource
from padim.data.datasets import good_uploads, open_dataset, open_uploads
from padim.data.decode import decode
from padim.data.inputs import as_images
from padim.data.opening import open_source
from padim.data.sources import FolderSource, UploadSource
from padim.errors import ImageError, PadimError
from tests import hostile

PHOTO = np.arange(8 * 9 * 3, dtype=np.uint8).reshape(8, 9, 3)
PNG = hostile.encode(PHOTO)


@pytest.mark.parametrize("name", ["part.png", "part.jpg", "part", "part.zip"])
def test_one_image_is_a_source_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PNG)
    source = open_source(path)
    assert isinstance(source, UploadSource)
    assert len(source) == 1
    for _ in range(2):
        ((found, data),) = source
        assert found == name
        np.testing.assert_array_equal(decode(data, found), PHOTO)
    assert source.skipped == []
    assert source.passed_over == []


@pytest.mark.parametrize("name", ["set.zip", "set.dat"])
def test_a_zip_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(hostile.zip_of({"a.png": PNG}))
    source = open_source(path)
    assert isinstance(source, ZipSource)
    assert list(source) == [("a.png", PNG)]
    assert isinstance(open_source(tmp_path), FolderSource)


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = len(PNG)
        archive.addfile(info, io.BytesIO(PNG))
    return out.getvalue()


OTHERS = {
    "set.7z": (b"7z\xbc\xaf\x27\x1c\0\4" + bytes(40), "a 7z archive, and only zip archives are read"),
    "set.rar": (b"Rar!\x1a\7\1\0" + bytes(40), "a RAR archive, and only zip archives are read"),
    "set.tar": (tar(), "a tar archive, and only zip archives are read"),
    "set.tgz": (gzip.compress(tar()), "a gzip archive"),
    "report.pdf": (b"%PDF-1.7\n", "a PDF; give a folder"),
    "list.txt": (b"a.png\nb.png\n", "text, not an image; give a folder"),
    "film.mp4": (b"\0\0\0\x18ftypisom" + bytes(20), "a video or sound file"),
    "cut.zip": (b"%PDF-1.7\n", "is not a zip archive or is damaged: it is a PDF"),
    "nothing.zip": (b"", "is empty"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_called_what_they_are(tmp_path: Path, name: str) -> None:
    content, words = OTHERS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError) as caught:
        open_source(tmp_path / name)
    assert caught.value.name == name
    assert words in caught.value.reason


def test_a_broken_image_is_no_broken_zip(tmp_path: Path) -> None:
    path = tmp_path / "part.jpg"
    path.write_bytes(hostile.encode(PHOTO, "JPEG")[:300])
    ((name, data),) = open_source(path)
    with pytest.raises(ImageError, match=r"part\.jpg: .*damaged or cut short"):
        decode(data, name)


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not exist"):
        open_source(tmp_path / "missing")


def test_python_takes_the_same_files(tmp_path: Path) -> None:
    for name, content in {"part.pgm": b"P5 2 2 255\n" + bytes(4), "set.7z": OTHERS["set.7z"][0]}.items():
        (tmp_path / name).write_bytes(content)
    ((name, data),) = as_images(tmp_path / "part.pgm")
    assert isinstance(data, bytes)
    assert decode(data, name).shape == (2, 2, 3)
    ((name, data),) = as_images(tmp_path / "set.7z")
    assert isinstance(data, bytes)
    with pytest.raises(ImageError, match="7z archive"):
        decode(data, name)


def test_labelled_data_of_another_kind_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "set.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(40))
    (tmp_path / "part.png").write_bytes(PNG)
    for name, what in {
        "set.7z": "is a 7z archive",
        "part.png": r"is a single image \(PNG\)",
        "gone": "does not exist",
    }.items():
        with pytest.raises(PadimError, match=f"{what}; give a folder, a zip or a CSV with labelled images"):
            open_dataset(tmp_path / name)


def test_an_image_with_a_zip_behind_it_is_an_image_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(PNG + hostile.zip_of({"a.png": PNG}))
    assert [name for name, _ in open_source(path)] == ["part.png"]
    assert [name for name, _ in as_images(path)] == ["part.png"]


def test_a_zip_among_images_is_not_told_to_have_the_ending_it_has() -> None:
    with pytest.raises(ImageError, match=r"give it by itself with the ending \.zip, or unpack it"):
        decode(hostile.zip_of({"a.png": PNG}), "set.zip")


def test_a_zip_in_a_folder_of_labelled_images_is_passed_over() -> None:
    inside = [
        ("set/good/a.png", PNG),
        ("set/scratch/b.png", PNG),
        ("set/old.zip", hostile.zip_of({"c.png": PNG})),
    ]
    dataset = open_uploads(inside)
    assert dataset.kinds == {"good": 1, "scratch": 1}
    assert [one.name for one in dataset.passed_over] == ["set/old.zip"]
    for open_them in (open_uploads, good_uploads):
        with pytest.raises(PadimError, match="give one zip by itself"):
            open_them([("a.zip", hostile.zip_of({"c.png": PNG})), ("b.zip", hostile.zip_of({"d.png": PNG}))])

"""The library as a source of images and as a labelled data set, as the worker and the analyses take them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from padim.errors import ImageError
from padim.records.library import ImageLibrary, NewImage
from padim.records.library_data import by_name, dataset_of, source_of
from padim.storage.model_folders import ModelFolders

ON_EACH_DATABASE = True


def png(level: int, mode: str = "RGB") -> bytes:
    buffer = BytesIO()
    Image.new(mode, (8, 6), (level,) * 3 if mode == "RGB" else level).save(buffer, "PNG")
    return buffer.getvalue()


MASK = np.zeros((6, 8), np.uint8)
MASK[2:4, 3:5] = 255


def mask() -> bytes:
    buffer = BytesIO()
    Image.fromarray(MASK).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def library(tmp_path: Path) -> ImageLibrary:
    made = ImageLibrary(tmp_path, ModelFolders(tmp_path).create("Flange").id)
    made.add(
        [
            NewImage("000.png", png(1), "defect", "dent", (("000_mask.png", mask()),)),
            NewImage("000.png", png(2), "good"),
            NewImage("000.png", png(3)),
            NewImage("bad/9.png", png(4), "defect"),
        ],
        "folder",
    )
    return made


def test_images_of_one_name_are_told_apart(library: ImageLibrary) -> None:
    named = by_name(library.images())
    assert list(named) == ["000.png", "000 (2).png", "000 (3).png", "bad/9.png"]


def test_a_source_reads_the_files(library: ImageLibrary) -> None:
    source = source_of(library.images(), known_good=True)
    assert sorted(data for _, data in source) == sorted(png(level) for level in (1, 2, 3, 4))
    assert len(source) == 4
    assert source.known_good
    library.images()[0].path.unlink()
    assert len(list(source)) == 3
    assert [error.name for error in source.skipped] == ["000.png"]


def test_a_data_set_has_labels_types_and_masks(library: ImageLibrary) -> None:
    images = library.images()
    found = dataset_of(library, images[:1] + images[2:], images[1:2])
    assert {name: sample.kind for name, sample in found.samples.items()} == {
        "000 (2).png": "dent",
        "bad/9.png": "defect",
    }
    assert [sample.name for sample in found.training] == ["000.png"]
    assert [one.name for one in found.passed_over] == ["000 (3).png"]
    assert dict(found)["000 (2).png"] == png(1)
    sample = found.samples["000 (2).png"]
    read = found.mask(sample, (6, 8))
    assert read is not None
    np.testing.assert_array_equal(read, MASK > 0)
    assert dict(found.to_fit()) == {"000.png": png(2)}
    images[0].path.write_bytes(b"altered")
    with pytest.raises(ImageError, match="altered"):
        found.content("000 (2).png")

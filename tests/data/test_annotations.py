"""Annotations of COCO and LabelMe as labelled data sets: masks by the reference tools, and hostile files."""

from __future__ import annotations

import copy
import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from padim.data.datasets import Dataset, UnlabeledError, open_dataset, open_uploads
from padim.data.layouts.annotations import BrokenShapeError
from padim.data.layouts.run_lengths import mask_of_runs, run_lengths
from padim.errors import PadimError

HEIGHT, WIDTH = 24, 32
Mask = npt.NDArray[np.bool_]


def png(gray: int = 90, size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (gray, gray, gray)).save(out, "PNG")
    return out.getvalue()


def blob(seed: int) -> Mask:
    return np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.3


def compressed(mask: Mask) -> dict[str, Any]:
    found = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [HEIGHT, WIDTH], "counts": found["counts"].decode()}


def plain(mask: Mask) -> dict[str, Any]:
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[False], flat]).astype(int))).tolist()
    edges = [0, *changes, flat.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(edges).tolist()}


def document(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
            for number in range(5)
        ],
        "categories": [{"id": 7, "name": "scratch"}, {"id": 8, "name": "dent"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "segmentation": compressed(blob(1))},
            {"id": 2, "image_id": 2, "category_id": 8, "segmentation": plain(blob(2))},
            {"id": 3, "image_id": 3, "category_id": 8, "segmentation": [[4, 4, 20, 5, 12, 18]]},
            {"id": 4, "image_id": 4, "category_id": 7, "bbox": [3, 5, 6, 4]},
        ],
    }
    return {**found, **given}


def lay(root: Path, content: Any, name: str = "annotations.json", folder: str = "") -> Path:
    for number in range(5):
        path = root / folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(60 + number))
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    (root / name).write_bytes(text)
    return root


def masks(found: Dataset) -> dict[str, Mask | None]:
    return {name: found.mask(sample, (HEIGHT, WIDTH)) for name, sample in found.samples.items()}


def expected() -> dict[str, Mask]:
    polygon = coco.decode(coco.merge(coco.frPyObjects([[4, 4, 20, 5, 12, 18]], HEIGHT, WIDTH))) > 0
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[5:9, 3:9] = True
    return {"1.png": blob(1), "2.png": blob(2), "3.png": polygon, "4.png": box}


@pytest.mark.parametrize("how", ["folder", "zip", "browser"])
def test_coco_gives_labels_and_masks(tmp_path: Path, how: str) -> None:
    root = lay(tmp_path / "set", document())
    if how == "folder":
        found = open_dataset(root)
    elif how == "zip":
        found = open_dataset(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "set"))
    else:
        found = open_uploads([(f"set/{file.name}", file.read_bytes()) for file in sorted(root.iterdir())])
    assert found.layout == "COCO"
    names = {name.rpartition("/")[2]: sample.kind for name, sample in found.samples.items()}
    assert names == {
        "0.png": "good",
        "1.png": "scratch",
        "2.png": "dent",
        "3.png": "dent",
        "4.png": "scratch",
    }
    assert not found.skipped
    assert not found.passed_over
    for name, mask in masks(found).items():
        if name.endswith("0.png"):
            assert mask is None
        else:
            np.testing.assert_array_equal(mask, expected()[name.rpartition("/")[2]])
    assert found.mask_account.used == 4


def test_images_are_found_by_folders_names_and_paths_of_elsewhere(tmp_path: Path) -> None:
    content = document()
    for row, path in zip(
        content["images"],
        ["images/0.png", "C:\\data\\1.png", "/mnt/set/2.png", "3.PNG", "./images/4.png"],
        strict=True,
    ):
        row["file_name"] = path
    (tmp_path / "annotations").mkdir()
    found = open_dataset(lay(tmp_path, content, "annotations/all.json", "images"))
    assert sorted(found.samples) == [f"images/{number}.png" for number in range(5)]


def test_coco_with_splits_is_evaluated_on_the_test_set(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        lay(tmp_path / split, document(), "_annotations.coco.json")
    found = open_dataset(tmp_path)
    assert all(name.startswith("test/") for name in found.samples)
    assert len(found.samples) == 5
    assert [sample.name for sample in found.training] == ["train/0.png"]


def broken(path: list[Any], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(document())
    at: Any = content
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["images", 1, "file_name"], "../../../etc/passwd", "is not below their folder"),
        (["images", 1, "file_name"], "gone.png", "is not below their folder"),
        (["images", 1, "file_name"], None, "without a file name"),
        (["images", 1], 5, "without a file name"),
        (["images", 1, "width"], 10**9, "megapixels"),
        (["images", 1, "width"], -3, "its size"),
        (["images", 1, "width"], "wide", "its size"),
        (["annotations", 0, "image_id"], [], "does not name"),
        (["annotations", 0], None, "does not name"),
        (["annotations", 0, "segmentation", "counts"], "~~~~", "character"),
        (["annotations", 0, "segmentation", "counts"], "o" * 400, "too large"),
        (["annotations", 0, "segmentation", "counts"], {}, "list of numbers"),
        (["annotations", 0, "segmentation", "size"], [9, 9], "run lengths are of"),
        (["annotations", 1, "segmentation", "counts"], [10**18, 5], "runs of"),
        (["annotations", 1, "segmentation", "counts"], [-1, 769], "whole number"),
        (["annotations", 2, "segmentation"], [[1, 2, 3]], "three points"),
        (["annotations", 2, "segmentation"], [[0, 0, 1e300, 0, 5, 5]], "far outside"),
        (["annotations", 2, "segmentation"], [["a", 0, 1, 0, 5, 5]], "list of numbers"),
        (["annotations", 3, "bbox"], [0, 0, -5, 5], "width and height"),
        (["annotations", 3, "bbox"], [0, 0, 1], "width and height"),
    ],
)
def test_what_is_wrong_in_coco_is_named_and_the_rest_goes_on(
    tmp_path: Path, path: list[Any], value: Any, words: str
) -> None:
    found = open_dataset(lay(tmp_path, broken(path, value)))
    assert any(words in str(error) for error in found.skipped), [str(error) for error in found.skipped]
    assert {"0.png", "2.png", "3.png", "4.png"} <= {*found.samples}
    list(masks(found).values())


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe\x00", b"[" * 200_000, b'{"images": 1}', b"", b"NaN", b"[1e999999]"]
)
def test_a_damaged_json_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    with pytest.raises((PadimError, UnlabeledError), match=r"annotations\.json|no labelled images"):
        open_dataset(lay(tmp_path, content))


def test_a_damaged_json_beside_a_data_set_costs_nothing(tmp_path: Path) -> None:
    lay(tmp_path, b"{", "notes.json", "good")
    lay(tmp_path, b"{", "notes.json", "crack")
    found = open_dataset(tmp_path)
    assert dict(found.kinds) == {"good": 5, "crack": 5}
    assert [one.name for one in found.passed_over] == ["notes.json"]


def test_a_mask_of_another_size_than_its_image_is_named(tmp_path: Path) -> None:
    lay(tmp_path, document())
    (tmp_path / "1.png").write_bytes(png(size=(20, 20)))
    found = open_dataset(tmp_path)
    with pytest.raises(PadimError, match="the mask is 32 × 24, its image 20 × 20"):
        found.mask(found.samples["1.png"], (20, 20))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_run_lengths_are_those_of_the_reference(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    counts = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    np.testing.assert_array_equal(mask_of_runs(run_lengths(counts), (height, width)), mask)


@given(st.text(max_size=60))
def test_any_text_as_run_lengths_is_a_mask_or_refused(text: str) -> None:
    try:
        mask = mask_of_runs(run_lengths(text), (5, 7))
    except BrokenShapeError:
        return
    assert mask.shape == (5, 7)


# -- LabelMe -----------------------------------------------------------------------------------------------

SHAPES: list[dict[str, Any]] = [
    {"label": "scratch", "shape_type": "polygon", "points": [[4, 4], [20, 5], [12, 18]]},
    {"label": "dent", "shape_type": "rectangle", "points": [[9, 12], [3, 5]]},
    {"label": "dent", "shape_type": "circle", "points": [[10, 10], [14, 13]]},
]


def labelme(root: Path, shapes: list[list[dict[str, Any]]], **given: Any) -> Path:
    root.mkdir(exist_ok=True)
    for number, drawn in enumerate(shapes):
        (root / f"{number}.png").write_bytes(png(60 + number))
        content = {
            "version": "5.4.1",
            "flags": {},
            "shapes": drawn,
            "imagePath": f"{number}.png",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
            **given,
        }
        (root / f"{number}.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def drawn(number: int) -> Mask:
    image = Image.new("L", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(image)
    (draw.polygon if number == 0 else draw.rectangle if number == 1 else draw.ellipse)(
        [(4, 4), (20, 5), (12, 18)] if number == 0 else [(3, 5), (9, 12)] if number == 1 else [5, 5, 15, 15],
        outline=1,
        fill=1,
    )
    return np.asarray(image) > 0


def test_labelme_gives_labels_and_masks(tmp_path: Path) -> None:
    labelme(tmp_path, [[], *([shape] for shape in SHAPES), SHAPES])
    (tmp_path / "unsaid.png").write_bytes(png())
    found = open_dataset(tmp_path)
    assert found.layout == "LabelMe"
    assert {name: sample.kind for name, sample in found.samples.items()} == {
        "0.png": "good",
        "1.png": "scratch",
        "2.png": "dent",
        "3.png": "dent",
        "4.png": "dent",
    }
    assert [one.name for one in found.passed_over] == ["unsaid.png"]
    for number in range(3):
        mask = found.mask(found.samples[f"{number + 1}.png"], (HEIGHT, WIDTH))
        np.testing.assert_array_equal(mask, drawn(number))
    united = found.mask(found.samples["4.png"], (HEIGHT, WIDTH))
    np.testing.assert_array_equal(united, drawn(0) | drawn(1) | drawn(2))


@pytest.mark.parametrize(
    ("given_", "shape", "words"),
    [
        ({"imageHeight": 10**7}, SHAPES[0], "megapixels"),
        ({}, {"label": "a", "shape_type": "point", "points": [[1, 1]]}, "has no area"),
        ({}, {"label": "a", "shape_type": "circle", "points": [[1, 1]]}, "has two points"),
        ({}, {"label": "a", "shape_type": "polygon", "points": [[1, 1], [1e9, 1], [2, 2]]}, "far outside"),
        ({}, {"label": "a", "points": "many"}, "no points"),
        ({}, 7, "no points"),
        ({"imagePath": "../../secret.png"}, SHAPES[0], ""),
    ],
)
def test_what_is_wrong_in_labelme_is_named_and_the_rest_goes_on(
    tmp_path: Path, given_: dict[str, Any], shape: Any, words: str
) -> None:
    labelme(tmp_path, [[], [shape]])
    one = json.loads((tmp_path / "1.json").read_text())
    (tmp_path / "1.json").write_text(json.dumps({**one, **given_}))
    found = open_dataset(tmp_path)
    assert not words or any(words in str(error) for error in found.skipped)
    assert found.samples["0.png"].good
    assert not found.samples["1.png"].good, "a defect that cannot be drawn is a defect"
    found.mask(found.samples["1.png"], (HEIGHT, WIDTH))


def test_a_damaged_labelme_file_is_named(tmp_path: Path) -> None:
    labelme(tmp_path, [[], [SHAPES[0]], [SHAPES[1]]])
    (tmp_path / "2.json").write_text("{")
    found = open_dataset(tmp_path)
    assert {*found.samples} == {"0.png", "1.png"}
    assert any(error.name == "2.json" and "damaged" in str(error) for error in found.skipped)


def test_a_zip_cannot_hide_a_large_json(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good/0.png", png())
        archive.writestr("crack/1.png", png(70))
        archive.writestr("annotations.json", b" " * 80_000_000)
    found = open_dataset(tmp_path / "bomb.zip")
    assert dict(found.kinds) == {"good": 1, "crack": 1}

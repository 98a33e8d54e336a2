"""COCO's object detection: a JSON with images, categories and annotations (boxes, polygons, run lengths)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from padim.data.layouts.annotations import (
    AnnotatedImage,
    BrokenShapeError,
    ShapeDrawing,
    annotation_json,
    annotation_reading,
    checked_outline,
    image_size,
    numbers,
    stored_size,
)
from padim.data.layouts.reading import DEFECT, Reading
from padim.data.layouts.run_lengths import mask_of_runs, run_lengths
from padim.data.layouts.table import NamedPaths
from padim.data.masks import Mask
from padim.data.trees import SubTree
from padim.errors import ImageError

__all__ = ["read_coco"]

LAYOUT = "COCO"
# JSON files looked into: exports have one, or one for each split, at the top or in a folder of their own.
_MOST_DOCUMENTS, _DEEPEST = 30, 2


def read_coco(tree: SubTree) -> Reading | None:
    """Read a folder with a JSON of COCO's object detection; None if there is none.

    An image is good if it has no annotation, or none but of a category whose name says good. Else it is a
    defect of the category that most of its annotations have, and its mask is that of all of them.

    Raises:
        PadimError: the JSON names no image that is there.
    """
    documents: list[str] = []
    images: list[AnnotatedImage] = []
    refused: list[ImageError] = []
    stems = {name.rpartition(".")[0] for name in tree.images}
    # LabelMe's files lie beside images of the same name.
    near = [
        name
        for name in tree.documents
        if name.count("/") <= _DEEPEST and name.rpartition(".")[0] not in stems
    ]
    for name in sorted(near, key=lambda name: (name.count("/"), name))[:_MOST_DOCUMENTS]:
        try:
            content = annotation_json(tree, name)
        except ImageError:
            continue  # whether it is COCO's cannot be told; `read_layout` names it if nothing else is found
        if not _is_coco(content):
            continue
        documents.append(name)
        images += _images(tree, name, content, refused)
    if not documents:
        return None
    return annotation_reading(tree, LAYOUT, documents, _united(images), refused)


def _is_coco(content: Any) -> bool:
    lists = ("images", "annotations", "categories")
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in lists)


def _united(images: list[AnnotatedImage]) -> list[AnnotatedImage]:
    """Return each image once; what several files draw on it comes together."""
    found: dict[str, AnnotatedImage] = {}
    for one in images:
        first = found.setdefault(one.file or f"/{one.path}", one)
        if first is not one:
            first.labels += one.labels
            first.shapes += one.shapes
            first.size = first.size or one.size
    return list(found.values())


def _images(
    tree: SubTree, document: str, content: Mapping[str, Any], refused: list[ImageError]
) -> list[AnnotatedImage]:
    rows = [row for row in content["images"] if isinstance(row, dict)]
    named = [row for row in rows if isinstance(row.get("file_name"), str) and row["file_name"]]
    if wrong := len(content["images"]) - len(named):
        refused.append(ImageError(document, f"has {wrong} images without a file name"))
    paths = NamedPaths(tree, [row["file_name"] for row in named], False, document)
    by_name: dict[str, list[str]] = {}
    for image in tree.images:
        by_name.setdefault(image.rpartition("/")[2].lower(), []).append(image)
    found: dict[Any, AnnotatedImage] = {}
    for row in named:
        path = row["file_name"].replace("\0", "�")
        file = paths.find(path)
        if (
            file is None
            and len(alike := by_name.get(path.replace("\\", "/").rpartition("/")[2].lower(), [])) == 1
        ):
            (file,) = alike  # as tools do that write the names alone, or the folders of another machine
        one = AnnotatedImage(path, file)
        try:
            one.size = image_size(row, "height", "width")
        except BrokenShapeError as error:
            refused.append(ImageError(path, str(error)))
            continue
        found[_key(row.get("id"))] = one
    categories = {
        _key(row.get("id")): str(row.get("name") or DEFECT)
        for row in content["categories"]
        if isinstance(row, dict)
    }
    lost = 0
    for row in content["annotations"]:
        target = found.get(_key(row.get("image_id"))) if isinstance(row, dict) else None
        if target is None:
            lost += 1
            continue
        target.labels.append(categories.get(_key(row.get("category_id")), DEFECT))
        if target.file is None:
            continue
        try:
            target.size = target.size or stored_size(tree, target.file)
            if (shape := _shape(row, target.size)) is not None:
                target.shapes.append(shape)
        except (BrokenShapeError, ImageError) as error:
            why = error.reason if isinstance(error, ImageError) else str(error)
            refused.append(
                ImageError(target.file, f"annotation {row.get('id')} in {document} is not used: {why}")
            )
    if lost:
        refused.append(ImageError(document, f"has {lost} annotations of images that it does not name"))
    return list(found.values())


def _key(value: Any) -> Any:
    return value if isinstance(value, int | str) else None


def _shape(row: Mapping[str, Any], size: tuple[int, int]) -> ShapeDrawing | None:
    """Return a function that draws an annotation; None if it says of no place where the defect is."""
    segmentation = row.get("segmentation")
    if isinstance(segmentation, dict):
        stated = numbers(segmentation.get("size"), "the size of its run lengths")
        if stated != [float(one) for one in size]:
            raise BrokenShapeError(f"its run lengths are of {stated}, its image of {list(size)}")
        runs = run_lengths(segmentation.get("counts"))
        mask_of_runs(runs, size)  # so that whatever is wrong is named now
        return partial(mask_of_runs, runs)
    if isinstance(segmentation, list) and segmentation:
        polygons = [_polygon(one, size) for one in segmentation]
        return partial(_polygons, polygons)
    if row.get("bbox") is None:
        return None
    box = numbers(row["bbox"], "its box")
    if len(box) != 4 or box[2] < 0 or box[3] < 0:
        raise BrokenShapeError("its box is not x, y, width and height")
    checked_outline([(box[0], box[1]), (box[0] + box[2], box[1] + box[3])], size)
    # A box of the whole image says that there is a defect, and not where.
    if box[0] <= 0 and box[1] <= 0 and box[0] + box[2] >= size[1] and box[1] + box[3] >= size[0]:
        return None
    return partial(_box, box)


def _polygon(values: Any, size: tuple[int, int]) -> list[float]:
    found = numbers(values, "its polygon")
    if len(found) < 6 or len(found) % 2:
        raise BrokenShapeError("its polygon has fewer than three points, or half a point")
    checked_outline(list(zip(found[::2], found[1::2], strict=True)), size)
    return found


def _polygons(polygons: list[list[float]], size: tuple[int, int]) -> Mask:
    from pycocotools import mask as coco

    runs = coco.frPyObjects(polygons, *size)
    return np.ascontiguousarray(coco.decode(coco.merge(runs)) > 0)


def _box(box: list[float], size: tuple[int, int]) -> Mask:
    """Return the pixels whose centers lie in a box."""
    mask = np.zeros(size, np.bool_)
    left, top, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
    columns = np.arange(size[1]) + 0.5
    rows = np.arange(size[0]) + 0.5
    mask[np.ix_((rows > top) & (rows < bottom), (columns > left) & (columns < right))] = True
    return mask

"""LabelMe's annotations: a JSON beside each image, with polygons, rectangles and circles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from padim.data.formats import IMAGE_SUFFIXES
from padim.data.label_words import says_bad, says_good
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
from padim.data.layouts.table import NamedPaths
from padim.data.masks import Mask
from padim.data.trees import SubTree
from padim.errors import ImageError

__all__ = ["read_labelme"]

LAYOUT = "LabelMe"
# JSON files looked into before a folder is taken for one of another kind.
_TRIED = 5


def read_labelme(tree: SubTree) -> Reading | None:
    """Read a folder of images with LabelMe's files beside them; None if there are none.

    An image is good if its file has no shapes, or none but with a label or a flag that says good; so is one
    without a file in a folder whose name says good. Others without a file have no label.

    Raises:
        PadimError: no file names an image that is there.
    """
    contents: dict[str, dict[str, Any]] = {}
    broken: list[ImageError] = []
    tried = 0
    for name in sorted(tree.documents):
        if not contents and tried >= _TRIED:
            return None
        try:
            content = annotation_json(tree, name)
        except ImageError as error:
            broken.append(error)
            continue
        if _is_labelme(content):
            contents[name] = content
        else:
            tried += 1
    if not contents:
        return None
    there = {_stem(image): image for image in tree.images if not image.startswith("../")}
    refused = [error for error in broken if _stem(error.name) in there]
    paths = NamedPaths(tree, [str(content.get("imagePath", "")) for content in contents.values()], False, "")
    images = [_image(tree, name, content, paths, there, refused) for name, content in contents.items()]
    damaged = {there[_stem(error.name)] for error in refused if _stem(error.name) in there}
    named = {one.file for one in images} | damaged
    for image in tree.images:
        if image not in named and any(map(says_good, image.split("/")[:-1])):
            images.append(AnnotatedImage(image, image, good=True))
    return annotation_reading(tree, LAYOUT, list(contents), _once(images, refused), refused)


def _is_labelme(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and isinstance(content.get("imagePath"), str)
    )


def _once(images: list[AnnotatedImage], refused: list[ImageError]) -> list[AnnotatedImage]:
    found: dict[str | None, AnnotatedImage] = {}
    absent = []
    for one in images:
        if one.file is None:
            absent.append(one)
        elif one.file in found:
            refused.append(ImageError(one.file, "has two LabelMe files; the first is used"))
        else:
            found[one.file] = one
    return [*found.values(), *absent]


def _stem(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    stem, dot, ending = file.rpartition(".")
    known = f".{ending}".lower() in IMAGE_SUFFIXES or ending.lower() == "json"
    return f"{folder}{slash}{stem if dot and known else file}"


def _image(
    tree: SubTree,
    document: str,
    content: Mapping[str, Any],
    paths: NamedPaths,
    there: Mapping[str, str],
    refused: list[ImageError],
) -> AnnotatedImage:
    path = content["imagePath"].replace("\0", "�").replace("\\", "/")
    folder = document.rpartition("/")[0]
    # The path is relative to the file; where images were moved, the one of the file's own name is meant.
    file = paths.find(f"{folder}/{path}" if folder else path) or there.get(_stem(document))
    one = AnnotatedImage(path or document, file)
    flags = content.get("flags")
    said = [name for name, value in flags.items() if value is True] if isinstance(flags, dict) else []
    if any(map(says_bad, said)):
        one.good = False
    if file is None:
        return one
    try:
        one.size = image_size(content, "imageHeight", "imageWidth") or stored_size(tree, file)
    except (BrokenShapeError, ImageError) as error:
        why = error.reason if isinstance(error, ImageError) else str(error)
        refused.append(ImageError(document, why))
    for number, shape in enumerate(content["shapes"], start=1):
        label = shape.get("label") if isinstance(shape, dict) else None
        one.labels.append(str(label).strip() if label else DEFECT)
        if one.size is None:
            continue
        try:
            one.shapes.append(_shape(shape, one.size))
        except BrokenShapeError as error:
            refused.append(ImageError(document, f"shape {number} is not used: {error}"))
    return one


def _shape(shape: Any, size: tuple[int, int]) -> ShapeDrawing:
    if not isinstance(shape, dict) or not isinstance(shape.get("points"), list):
        raise BrokenShapeError("it has no points")
    kind = shape.get("shape_type") or "polygon"
    points = [numbers(point, "a point") for point in shape["points"]]
    if any(len(point) != 2 for point in points):
        raise BrokenShapeError("a point is not x and y")
    pairs = [(point[0], point[1]) for point in points]
    checked_outline(pairs, size)
    if kind == "polygon":
        if len(pairs) < 3:
            raise BrokenShapeError("its polygon has fewer than three points")
    elif kind in ("rectangle", "circle"):
        if len(pairs) != 2:
            raise BrokenShapeError(f"a {kind} has two points, this one {len(pairs)}")
    else:
        raise BrokenShapeError(f"a shape of the kind {str(kind)[:40]!r} has no area")
    return partial(_drawn, kind, pairs)


def _drawn(kind: str, points: list[tuple[float, float]], size: tuple[int, int]) -> Mask:
    """Return a shape's mask, drawn as LabelMe draws it."""
    image = Image.new("1", (size[1], size[0]))
    draw = ImageDraw.Draw(image)
    if kind == "circle":
        (x, y), (u, v) = points
        radius = float(np.hypot(u - x, v - y))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)
    elif kind == "rectangle":
        (x, y), (u, v) = points
        draw.rectangle((min(x, u), min(y, v), max(x, u), max(y, v)), outline=1, fill=1)
    else:
        draw.polygon(points, outline=1, fill=1)
    return np.asarray(image, np.bool_)

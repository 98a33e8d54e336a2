"""Annotation files: JSON that names images and draws shapes on them, turned into masks as they are asked for.

Everything in them is input from outside: numbers are checked before anything is drawn, and a path leads to
images of the data set only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from padim.data import decode_limits
from padim.data.label_words import says_good, split_of
from padim.data.layouts.reading import DEFECT, GOOD, Reading
from padim.data.layouts.table import evaluated_splits, leave_sample
from padim.data.masks import Mask, mask_png
from padim.data.sources import LARGEST_TABLE
from padim.data.stored_values import orientation_of, stored
from padim.data.trees import ImageTree, SubTree
from padim.errors import ImageError, PadimError

__all__ = ["AnnotatedImage", "AnnotatedTree", "BrokenShapeError", "annotation_json", "annotation_reading"]

# Longest outline in pixels: drawing takes memory in proportion.
LONGEST_OUTLINE = 4_000_000
# How far outside of its image, in image sizes, a shape may reach.
_FAR = 10.0
# What stands between the image's name and its number in the name of a mask that is drawn on demand.
_MARK = "#mask"

ShapeDrawing = Callable[[tuple[int, int]], Mask]


class BrokenShapeError(PadimError):
    """A shape in an annotation file cannot be drawn; the message says why, without a name."""


@dataclass
class AnnotatedImage:
    """An image of an annotation file.

    Attributes:
        path: its path, as the file has it.
        file: its name in the tree; None if it is not there.
        size: (height, width) that the file says it has; None if it does not.
        labels: the labels of its shapes.
        shapes: functions that draw a shape, given (height, width).
        good: whether something beside shapes says that the part is good, or is not.
    """

    path: str
    file: str | None
    size: tuple[int, int] | None = None
    labels: list[str] = field(default_factory=list)
    shapes: list[ShapeDrawing] = field(default_factory=list)
    good: bool | None = None

    @property
    def kind(self) -> str:
        """``good``, or the kind of defect that most of its shapes are of."""
        defects = [label for label in self.labels if not says_good(label)]
        if not defects:
            bad = self.good is False or (self.good is None and bool(self.shapes) and not self.labels)
            return DEFECT if bad else GOOD
        return max(dict.fromkeys(defects), key=defects.count) or DEFECT


class AnnotatedTree:
    """A file tree with a mask for each image that has shapes, drawn when it is read.

    Attributes:
        images, tables, documents, skipped, passed_over: those of the tree of files.
    """

    def __init__(self, place: ImageTree) -> None:
        self._place = place
        self._drawn: dict[str, tuple[tuple[int, int], list[ShapeDrawing]]] = {}
        self.images, self.tables, self.documents = place.images, place.tables, place.documents
        self.skipped, self.passed_over = place.skipped, place.passed_over

    def add(self, image: str, size: tuple[int, int], shapes: list[ShapeDrawing]) -> str:
        """Add the mask of an image; return its name in the tree."""
        name = f"{image}{_MARK}"
        self._drawn[name] = size, shapes
        return name

    def read(self, name: str) -> bytes:
        """Return the bytes of a file, or a mask as a PNG; raise ImageError if it cannot be read or drawn."""
        if name not in self._drawn:
            return self._place.read(name)
        size, shapes = self._drawn[name]
        mask = np.zeros(size, np.bool_)
        for draw in shapes:
            mask |= draw(size)
        return mask_png(mask)

    def restart(self) -> None:
        """Prepare for another iteration over the files."""
        self._place.restart()


def annotation_json(tree: SubTree, name: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        ImageError: it cannot be read, is too large, or is no JSON.
    """
    data = tree.read(name)
    if len(data) > LARGEST_TABLE:
        raise ImageError(
            name, f"has {len(data) / 1e6:.0f} MB; annotations may have {LARGEST_TABLE / 1e6:.0f}"
        )
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ImageError(name, "is not text in UTF-8, so it is no JSON") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ImageError(name, f"is damaged, not JSON: {why}") from None


def numbers(values: Any, what: str) -> list[float]:
    """Return a list of finite numbers; raise BrokenShapeError if it is anything else."""
    if not isinstance(values, list) or not all(
        isinstance(one, int | float) and not isinstance(one, bool) for one in values
    ):
        raise BrokenShapeError(f"{what} is not a list of numbers")
    try:
        found = [float(one) for one in values]
    except OverflowError:
        raise BrokenShapeError(f"{what} has a number that is too large") from None
    if not all(map(math.isfinite, found)):
        raise BrokenShapeError(f"{what} has a number that is not finite")
    return found


def checked_outline(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
    """Refuse an outline that reaches far outside of its image, or is too long to be drawn.

    Raises:
        BrokenShapeError: it does, or is.
    """
    height, width = size
    for x, y in points:
        if not (-_FAR * width <= x <= (_FAR + 1) * width and -_FAR * height <= y <= (_FAR + 1) * height):
            raise BrokenShapeError(f"reaches ({x:g}, {y:g}), far outside of its image of {width} × {height}")
    around = zip(points, [*points[1:], *points[:1]], strict=True)
    if sum(max(abs(x - u), abs(y - v)) for (x, y), (u, v) in around) > LONGEST_OUTLINE:
        raise BrokenShapeError(f"has an outline of more than {LONGEST_OUTLINE:,} pixels")


def image_size(values: Mapping[str, Any], height: str, width: str) -> tuple[int, int] | None:
    """Return the (height, width) that an annotation file states; None if it does not.

    Raises:
        BrokenShapeError: the size is no size, or larger than images may be.
    """
    found = values.get(height), values.get(width)
    if found == (None, None):
        return None
    h, w = found
    whole = all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in found)
    if not whole or h is None or w is None:
        raise BrokenShapeError(f"its size in the annotations is {w!r} × {h!r}")
    most = decode_limits.current().pixels
    if h * w > most:
        raise BrokenShapeError(
            f"its size in the annotations is {w} × {h}, more than the {most / 1e6:.0f} megapixels of an image"
        )
    return h, w


def stored_size(tree: SubTree, file: str) -> tuple[int, int]:
    """Return the (height, width) of an image's upright pixels, for annotations that do not state it.

    Raises:
        ImageError: it cannot be read.
    """
    data = tree.read(file)
    with stored(data, file) as image:
        width, height = image.size
    # The higher orientations are those turned by 90 degrees.
    return (width, height) if orientation_of(data) >= 5 else (height, width)


def annotation_reading(
    tree: SubTree,
    layout: str,
    documents: Sequence[str],
    images: Sequence[AnnotatedImage],
    refused: list[ImageError],
) -> Reading:
    """Return the reading of annotated images, with the splits that their folders say.

    Args:
        tree: the folder.
        layout: name of the layout.
        documents: the JSON files that were read.
        images: the images in them.
        refused: errors of what cannot be used; images without a file are added.

    Raises:
        PadimError: no image is there.
    """
    place = AnnotatedTree(tree.place)
    full = {tree.prefix + name for name in documents}
    place.passed_over[:] = [one for one in place.passed_over if one.name not in full]
    found = Reading(SubTree(place, tree.prefix), layout)
    for name in documents:
        found.use_document(name)
    found.refused += refused
    reasons = {error.name: error.reason for error in tree.skipped}
    there: list[AnnotatedImage] = []
    for one in images:
        if one.file is None:
            why = reasons.get(one.path, "is named in the annotations but is not below their folder")
            found.refused.append(ImageError(one.path, why))
        else:
            there.append(one)
    splits = [_split(one.file or "") for one in there]
    wanted = evaluated_splits(splits)
    for one, split in zip(there, splits, strict=True):
        assert one.file is not None
        folder = one.file.rpartition("/")[0] or "."
        kind = one.kind
        if split not in wanted:
            leave_sample(found, one.file, folder, split, good=kind == GOOD)
            continue
        masks: tuple[str, ...] = ()
        if one.shapes and one.size is not None and kind != GOOD:
            drawn = place.add(tree.prefix + one.file, one.size, one.shapes)
            masks = (drawn.removeprefix(tree.prefix),)
        found.add(one.file, kind, folder=folder, masks=masks)
    if not found.samples:
        raise PadimError(f"{', '.join(documents[:3])}: name no image that is below their folder")
    found.refused += [error for error in tree.skipped if error.name not in {one.path for one in images}]
    for file in found.tree.images:
        found.pass_over(file, f"not named in the annotations ({layout})", "not used: not annotated")
    return found.finish()


def _split(file: str) -> Any:
    """Return the split that a folder of an image says, as in ``train/001.jpg``."""
    return next((split for part in file.split("/")[:-1] if (split := split_of(part)[0]) is not None), None)

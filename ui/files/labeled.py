"""Conversion of chosen images into a labeled image set, with the labels that the files' layout implies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import ImageError, PadimError
from ui.files import folders, image_input

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.labeled_images import LabeledImages


def of(image_set: image_input.ImageSet) -> LabeledImages:
    """Return the chosen images with their labels, if they have any.

    A folder without labels may look like one of a single kind of defect; a caller that knows that all images
    are good calls ``all_good`` of the result.

    Raises:
        PadimError: there are no images, or they cannot be read.
    """
    from padim.data.datasets import UnlabeledError
    from padim.data.labeled_images import LabeledImages

    if image_set.in_library is not None:
        return LabeledImages.of_dataset(image_set.in_library.dataset(), image_set.label)
    try:
        found = _dataset(image_set, good_needed=False)
    except (UnlabeledError, ImageError):
        found = None  # images without labels are fine; labels that contradict each other are not
    if found is not None:
        return LabeledImages.of_dataset(found, image_set.label)
    number = len(image_set.source)
    if not number:
        for _ in image_set.source:
            pass  # reading the whole source records which files were skipped, and why
        why = next((f" ({error})" for error in image_set.source.skipped), "")
        raise PadimError(f"{image_set.label}: holds no images{why}")
    return LabeledImages(image_set.source, number, image_set.label)


def _dataset(image_set: image_input.ImageSet, *, good_needed: bool) -> Dataset | None:
    from padim.data.datasets import open_uploads

    if image_set.path is not None:
        return open_folder(image_set.path, good_needed=good_needed)
    return open_uploads(image_set.files, good_needed=good_needed) if image_set.files else None


def open_folder(path: Path, *, good_needed: bool = True) -> Dataset:
    """Return the labeled images of a folder or zip on the server.

    Args:
        path: the folder or zip.
        good_needed: whether folders without any of good parts are refused.

    Raises:
        PadimError: it contains no labeled images.
    """
    from padim.data.datasets import open_dataset

    # A root's siblings (masks, for example) are not open to the app; those of folders below a root are.
    return open_dataset(path, beside=path not in folders.roots(), good_needed=good_needed)

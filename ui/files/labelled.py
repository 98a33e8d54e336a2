"""Conversion of chosen images into a labeled image set, with the labels that the files' layout implies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui.files import bring, folders

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.labeled_images import LabeledImages


def of(brought: bring.Brought) -> LabeledImages:
    """Return the chosen images with their labels, if they have any.

    A folder without labels may look like one of a single kind of defect; a caller that knows that all images
    are good calls ``all_good`` of the result.

    Raises:
        PadimError: there are no images, or they cannot be read.
    """
    from padim.data.labeled_images import LabeledImages

    try:
        found = _dataset(brought)
    except PadimError:
        found = None  # images without labels are fine
    if found is not None:
        return LabeledImages.of_dataset(found, brought.label)
    number = len(brought.source)
    if not number:
        for _ in brought.source:
            pass  # reading the whole source records which files were skipped, and why
        why = next((f" ({error})" for error in brought.source.skipped), "")
        raise PadimError(f"{brought.label}: holds no images{why}")
    return LabeledImages(brought.source, number, brought.label)


def _dataset(brought: bring.Brought) -> Dataset | None:
    from padim.data.datasets import open_uploads

    if brought.path is not None:
        return open_folder(brought.path)
    return open_uploads(brought.files) if brought.files else None


def open_folder(path: Path) -> Dataset:
    """Return the labeled images of a folder or zip on the server.

    Raises:
        PadimError: it contains no labeled images.
    """
    from padim.data.datasets import open_dataset

    # A root's siblings (masks, for example) are not open to the app; those of folders below a root are.
    return open_dataset(path, beside=path not in folders.roots())

"""Images that were brought, with their labels where there are any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from padim.errors import PadimError
from ui.files import bring, folders

if TYPE_CHECKING:
    from padim.data.datasets import Dataset
    from padim.data.labeled_images import LabeledImages


def of(brought: bring.Brought) -> LabeledImages:
    """What was brought, with its labels where it has any.

    A folder without labels may look like one of a single kind of defect; ``all_good`` of what is returned is
    for those who know better.

    Raises:
        PadimError: no images, or images that cannot be read.
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
            pass  # what was passed over, and why, is known after a look at all of it
        why = next((f" ({error})" for error in brought.source.skipped), "")
        raise PadimError(f"{brought.label}: holds no images{why}")
    return LabeledImages(brought.source, number, brought.label)


def _dataset(brought: bring.Brought) -> Dataset | None:
    from padim.data.datasets import open_uploads

    if brought.path is not None:
        return open_folder(brought.path)
    return open_uploads(brought.files) if brought.files else None


def open_folder(path: Path) -> Dataset:
    """The labelled images of a folder or zip on the server.

    Raises:
        PadimError: it has none.
    """
    from padim.data.datasets import open_dataset

    # What lies beside a folder is open to the app only where the folder above is.
    return open_dataset(path, beside=path not in folders.roots())

"""The image library of the model in use: its images as sets to work on, and what is added to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from padim.errors import PadimError
from ui.app import workspace
from ui.app.text import count
from ui.files.image_input import ImageSet

if TYPE_CHECKING:
    from collections.abc import Collection

    from padim.model import Padim
    from padim.records.library import ImageLibrary, LibraryImage
    from padim.storage.model_folders import Entry

# What images are for: those that the model was fitted on, and all others.
Role = Literal["fit", "test"]


def library(entry: Entry) -> ImageLibrary:
    """Return the image library of a model."""
    from padim.records.library import ImageLibrary

    return ImageLibrary(workspace.root(), entry.id)


def in_fit(model: Padim) -> frozenset[str]:
    """Return the SHA-256 of the images that must not count as test images of a model.

    An image that was excluded as not good is none of them: the model has not seen it.
    """
    own = {normal.sha256 for normal in model.normals_ if normal.status != "not_good"}
    return frozenset(own | model.network.adapted_with)


def images(entry: Entry, role: Role) -> list[LibraryImage]:
    """Return the images of a model's library that it was fitted on, or all others.

    Raises:
        BundleError: the model is damaged; names the file.
    """
    from padim.records.library import ImageQuery

    known = in_fit(workspace.open_model(entry))
    query = ImageQuery(only=known) if role == "fit" else ImageQuery(without=known)
    return library(entry).images(query)


def number(entry: Entry, role: Role, *, labeled: bool = False) -> int:
    """Return the number of images of a role, or of those of them with a label."""
    from padim.records.library import ImageQuery

    known = in_fit(workspace.open_model(entry))
    query = ImageQuery(only=known) if role == "fit" else ImageQuery(without=known)
    counts = library(entry).counts(query)
    return sum(counts.values()) - (counts["unknown"] if labeled else 0)


def image_set(entry: Entry, role: Role) -> ImageSet | None:
    """Return the images of a model's library that it was fitted on, or all others, as a set to work on.

    The set has the images as they are now; it is read where it lies, also by the worker process. Their labels
    are those of ``labeled.of(image_set)``.

    Args:
        entry: the model.
        role: "fit" for the originals of the images that the model was fitted on, "test" for all others.

    Returns:
        The set; None if the library has no such image.

    Raises:
        BundleError: the model is damaged; names the file.
    """
    found = images(entry, role)
    what = "image of the fit" if role == "fit" else "image"
    return set_of(entry, found, f"{count(len(found), what, None if role == 'test' else 'images of the fit')}")


def set_of(
    entry: Entry, found: Collection[LibraryImage], label: str, *, to_fit: Collection[str] = ()
) -> ImageSet | None:
    """Return some images of a model's library as a set to work on; None if there are none.

    Args:
        entry: the model.
        found: the images.
        label: describes them to the user.
        to_fit: SHA-256 of those of them that a comparison fits on.
    """
    from padim.records.library_data import source_of
    from padim.worker.images import InLibrary

    if not found:
        return None
    where = InLibrary(
        root=workspace.root(),
        model=entry.id,
        images=[image.sha256 for image in found],
        to_fit=list(to_fit),
    )
    source = source_of(found, known_good=True)
    return ImageSet(source, f"{label} of the library", entry.name, folder=".", in_library=where)


def has_originals(entry: Entry) -> bool:
    """Return whether the library has all images that a model was fitted on."""
    try:
        model = workspace.open_model(entry)
    except PadimError:
        return False
    own = {normal.sha256 for normal in model.normals_ if normal.status == "fit"}
    return len(own & {image.sha256 for image in images(entry, "fit")}) == len(own)

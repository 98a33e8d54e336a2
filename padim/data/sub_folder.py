"""One folder of a source: the images in a folder of a zip, of a folder or of uploads."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from padim.data.labeled_input import check_good_parts
from padim.data.sources import Source
from padim.errors import InputError

EVERYTHING = "."
"""As a folder: all images are good parts, whatever the names of their folders say."""


def in_folder(source: Source, folder: str, given: str = "") -> Source:
    """Return the images of one folder of a source, with their names relative to it.

    Args:
        source: a folder, a zip or uploads; in several zips the folder has the same path.
        folder: the folder's path in the source, with slashes or backslashes, in upper or lower case; ``.``
            for all images, which are then known to be good parts.
        given: the user's name for the images, for the error.

    Raises:
        InputError: the source has no image in such a folder.
    """
    wanted = "/".join(part for part in folder.replace("\\", "/").split("/") if part not in ("", "."))
    if not wanted:
        everything = copy(source)
        everything.known_good = True
        return everything
    names = names_of(source)
    folders = _all_folders(names)
    path = next((one for one in folders if one == wanted), None) or next(
        (one for one in folders if one.lower() == wanted.lower()), None
    )
    if path is None:
        with_images = list(dict.fromkeys(name.rpartition("/")[0] or EVERYTHING for name in names))
        listed = ", ".join(with_images[:12]) + (" …" if len(with_images) > 12 else "")
        raise InputError(
            f"{given or 'the images'}: there is no folder {folder} with images; there are {listed}"
        )
    return source.under(f"{path}/")


def _all_folders(names: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for name in names:
        parts = name.split("/")[:-1]
        for depth in range(len(parts)):
            found["/".join(parts[: depth + 1])] = None
    return list(found)


def names_of(source: Source) -> list[str]:
    """Return the names of the images of a source, with forward slashes, without reading any."""
    return [name.replace("\\", "/") for name in source.names()]


def check_source(source: Source, given: str) -> None:
    """Refuse a source of good parts whose folders, tables or masks say that it is labelled data.

    Args:
        source: the images.
        given: the user's name for them, for the error.

    Raises:
        LabeledInputError: not all of them are good parts; :func:`in_folder` chooses among them.
    """
    if source.known_good:
        return
    check_good_parts(names_of(source), given, source.tables, source.chosen_folder)

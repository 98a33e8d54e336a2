"""Images to be fitted, from any accepted kind of input: labelled data is refused before anything is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from pathlib import Path, PurePath
from typing import Any

from padim.data.inputs import as_images, files_of, is_image, source_at
from padim.data.labeled_input import check_good_parts, signs_of_labels
from padim.data.loading import Named
from padim.data.sources import Source
from padim.data.sub_folder import check_source, in_folder
from padim.errors import InputError

_GIVEN = "the images"


def as_good_parts(data: Any, folder: str | None = None) -> Iterable[Named]:
    """Return a stream of images to be fitted, as :func:`padim.data.inputs.as_images` does.

    The names of folders, below the one that is given, must not say that other images than those of good parts
    are among them; nor must tables of labels or the names of masks.

    Args:
        data: any input of ``as_images``.
        folder: the folder to fit on, in a folder, a zip or a source; ``.`` for all of it, whatever names say.

    Raises:
        LabeledInputError: the images are labelled data; the error says which folder to choose.
        InputError: as ``as_images``; or there is no such folder.
    """
    if isinstance(data, str | PurePath):
        source = source_at(Path(data))
        if source is None:
            return as_images(data)
        return files_of(_chosen(source, folder, str(data)))
    if isinstance(data, Source):
        return as_images(_chosen(data, folder, _GIVEN))
    if folder is not None and folder.strip("./\\"):
        raise InputError(
            f"folder={folder!r} chooses in a folder or a zip; of other images give those to fit on"
        )
    if folder is None:
        data = _checked(data)
    return as_images(data)


def _chosen(source: Source, folder: str | None, given: str) -> Source:
    chosen = source if folder is None else in_folder(source, folder, given)
    check_source(chosen, given)
    return chosen


def _checked(data: Any) -> Any:
    """Check the names in a collection of images; those of other iterables as they come."""
    if isinstance(data, str | bytes | bytearray) or not isinstance(data, Iterable) or is_image(data):
        return data
    if isinstance(data, Mapping):
        _check_names(list(data))
    elif isinstance(data, Sequence | Set):
        _check_names([_named(item) for item in data])
    elif isinstance(data, Sized):
        return _SizedCheck(data)
    else:
        return _Check(data)
    return data


def _named(item: Any) -> Any:
    """Return the name of a (name, image) pair, or the item itself."""
    return item[0] if isinstance(item, tuple | list) and len(item) == 2 else item


def _check_names(items: Sequence[Any]) -> None:
    names = [PurePath(item).as_posix() for item in items if isinstance(item, str | PurePath)]
    check_good_parts(_relative(names), _GIVEN)


def _relative(names: Sequence[str]) -> list[str]:
    """Return the names without the folders that all of them are in."""
    folders = {name.rpartition("/")[0] for name in names}
    try:
        common = os.path.commonpath(folders).replace(os.sep, "/") if folders else ""
    except ValueError:  # absolute and relative paths, or several drives
        return list(names)
    return [name.removeprefix(common).lstrip("/") for name in names]


class _Check:
    """An iterable whose names are checked as they come."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        folders: dict[str, None] = {}
        for item in self._items:
            name = _named(item)
            if isinstance(name, str | PurePath):
                folder = PurePath(name).parent.as_posix()
                if folder not in folders:
                    folders[folder] = None
                    signs = signs_of_labels(_relative([f"{one}/image" for one in folders]))
                    if signs:
                        raise InputError(
                            f"{_GIVEN}: hold more than good parts ({signs[0]}); give the files of the folder "
                            'of good parts alone, or folder="." to take all of them as good parts'
                        )
            yield item


class _SizedCheck(_Check):
    """An iterable of known length whose names are checked as they come."""

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]

"""Read a few files of a source by their names, without reading the others where that is possible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy

from padim.data.sources import FolderSource, Source, read_plain
from padim.errors import ImageError

__all__ = ["pick"]


def pick(source: Source, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the files with these names, in the order of the source.

    Only these files are read from a folder; other sources are read up to the last of them. What the source
    has noted about its latest iteration stays as it is.

    Raises:
        ImageError: a file is no longer there, or cannot be read.
    """
    wanted = set(names)
    if not wanted:
        return
    if isinstance(source, FolderSource):
        for name, path in source.paths()[0].items():
            if name in wanted:
                wanted.remove(name)
                yield name, read_plain(path, name)
    else:
        for name, data in copy(source):
            if name in wanted:
                wanted.remove(name)
                yield name, data
                if not wanted:
                    return
    for name in sorted(wanted):
        raise ImageError(name, "is no longer there; choose the images again")

"""Open a folder, a zip file or a mixed set of uploads as one source of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path, PurePosixPath

from padim.data.archives import ZipSource
from padim.data.decode import MAX_BYTES
from padim.data.leftovers import outermost
from padim.data.sources import File, FolderSource, Source, UploadSource, _Log, _order
from padim.errors import ImageError


def open_source(path: str | Path, *, max_bytes: int = MAX_BYTES) -> FolderSource | ZipSource:
    """Open a folder or a zip file as a source of images; raise ImageError if the path does not exist."""
    path = Path(path)
    if path.is_dir():
        return FolderSource(path, max_bytes=max_bytes)
    if path.is_file():
        return ZipSource(path, max_bytes=max_bytes)
    raise ImageError(str(path), "does not exist; give a folder of images or a zip file")


def expand_uploads(files: Sequence[tuple[str, File]], *, max_bytes: int = MAX_BYTES) -> Source:
    """Combine uploaded images and zip files (recognized by the suffix .zip) into one source.

    Uploads come in natural order of their names; a zip's images come together, at the zip's position. A
    broken zip is added to `skipped` like a broken image.
    """
    return _MixedSource(files, max_bytes)


class _MixedSource(Source):
    def __init__(self, files: Sequence[tuple[str, File]], max_bytes: int) -> None:
        super().__init__()
        self._parts: list[Source | ImageError] = []
        single: list[tuple[str, File]] = []
        for name, file in sorted(files, key=lambda item: _order(item[0])):
            # An archive among what a system leaves behind is left alone as well.
            if not name.lower().endswith(".zip") or outermost(PurePosixPath(name).parts) is not None:
                single.append((name, file))
                continue
            self._add(single, max_bytes)
            try:
                self._parts.append(ZipSource(file, name, max_bytes=max_bytes))
            except ImageError as error:
                self._parts.append(error)
        self._add(single, max_bytes)

    def _add(self, single: list[tuple[str, File]], max_bytes: int) -> None:
        """Add the single files that came before a zip, as one source, and empty the list."""
        if single:
            self._parts.append(UploadSource(single, max_bytes=max_bytes))
            single.clear()

    def names(self) -> list[str]:
        """Return the names of the images of all parts, in their order, without reading any."""
        return [name for part in self._parts if isinstance(part, Source) for name in part.names()]

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files among the uploads and in the zips."""
        return [table for part in self._parts if isinstance(part, Source) for table in part.tables()]

    def under(self, begin: str) -> _MixedSource:
        """Return the images in a folder of that path, of the uploads and of each zip."""
        chosen = copy(self)
        chosen._parts = [part.under(begin) if isinstance(part, Source) else part for part in self._parts]
        return chosen

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts if isinstance(part, Source))

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        for part in self._parts:
            if isinstance(part, ImageError):
                log.skipped.append(part)
            else:
                yield from part._files(log)

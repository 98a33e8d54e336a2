"""Open a folder, a zip file, an image file or a mixed set of uploads as one source of images."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path, PurePosixPath

from padim.data.archives import ZipSource, no_zip
from padim.data.formats import ARCHIVE_HEAD, HEAD, archive_kind, describe, image_format
from padim.data.leftovers import outermost
from padim.data.sources import File, FolderSource, Source, UploadSource, _Log, _read, natural_order
from padim.errors import ImageError


def open_source(path: str | Path, *, max_bytes: int | None = None) -> FolderSource | ZipSource | UploadSource:
    """Open a folder, a zip file or a single image file as a source of images.

    A file is told by its content: a zip archive may have any name, and so may an image.

    Raises:
        ImageError: the path does not exist, or the file is of another kind; the message says of which.
    """
    path = Path(path)
    if path.is_dir():
        return FolderSource(path, max_bytes=max_bytes)
    if not path.exists():
        raise ImageError(str(path), "does not exist; give a folder of images, a zip file or an image")
    head = _head(path)
    if image_format(head) is not None:
        return UploadSource([(path.name, path)], max_bytes=max_bytes)
    if head.startswith((b"PK\3\4", b"PK\5\6")) or zipfile.is_zipfile(path):
        return ZipSource(path, max_bytes=max_bytes)
    raise ImageError(path.name, _no_source(path, head))


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():  # opening a named pipe would wait for ever
            raise ImageError(path.name, "is not an ordinary file")
        with path.open("rb") as file:
            return file.read(ARCHIVE_HEAD)
    except OSError as error:
        raise ImageError(path.name, f"cannot be read ({error.strerror}); check its permissions") from error


def kind_of(path: Path) -> str:
    """Return what a file is by its first bytes, with its article, such as ``a 7z archive``."""
    head = _head(path)
    image = image_format(head)
    return describe(head) if image is None else f"a single image ({image})"


def _no_source(path: Path, head: bytes) -> str:
    """Return why a file with this beginning is no source of images."""
    if not head:
        return "is empty (0 bytes); copy it again"
    if path.suffix.lower() == ".zip":
        return no_zip(head)
    what = describe(head)
    if archive_kind(head) is not None:
        return f"is {what}, and only zip archives are read; unpack it and give the folder, or make a zip"
    return f"is {what}; give a folder of images, a zip file or an image"


def expand_uploads(files: Sequence[tuple[str, File]], *, max_bytes: int | None = None) -> Source:
    """Combine uploaded images and zip files (recognized by the suffix .zip) into one source.

    Uploads come in natural order of their names; a zip's images come together, at the zip's position. A
    broken zip, or one without any file, is added to `skipped` like a broken image.
    """
    return _MixedSource(files, max_bytes)


def _is_zip(name: str, file: File) -> bool:
    """Return whether an upload is opened as a zip: by its name, unless it is an image or a leftover."""
    # An archive among what a system leaves behind is left alone as well.
    if not name.lower().endswith(".zip") or outermost(PurePosixPath(name).parts) is not None:
        return False
    try:
        return image_format(_read(file, HEAD)[:HEAD]) is None
    except (OSError, ValueError):  # reported when it is opened
        return True


class _MixedSource(Source):
    def __init__(self, files: Sequence[tuple[str, File]], max_bytes: int | None) -> None:
        super().__init__()
        self._parts: list[Source | ImageError] = []
        single: list[tuple[str, File]] = []
        for name, file in sorted(files, key=lambda item: natural_order(item[0])):
            if not _is_zip(name, file):
                single.append((name, file))
                continue
            self._add(single, max_bytes)
            try:
                archive = ZipSource(file, name, max_bytes=max_bytes)
                if not archive.holds_files:
                    raise ImageError(name, "is a zip archive without any file; make it anew")
                self._parts.append(archive)
            except ImageError as error:
                self._parts.append(error)
        self._add(single, max_bytes)

    def _add(self, single: list[tuple[str, File]], max_bytes: int | None) -> None:
        """Add the single files that came before a zip, as one source, and empty the list."""
        if single:
            self._parts.append(UploadSource(single, max_bytes=max_bytes))
            single.clear()

    @property
    def chosen_folder(self) -> str:
        """Name of the folder chosen in the browser, if there are no zips beside it."""
        (only,) = self._parts if len(self._parts) == 1 else (None,)
        return only.chosen_folder if isinstance(only, UploadSource) else ""

    def _folders(self) -> list[tuple[str, Source]]:
        """Return the sources; of several zips, each with its name as a folder."""
        parts = [part for part in self._parts if isinstance(part, Source)]
        several = sum(isinstance(part, ZipSource) for part in parts) > 1
        return [
            (f"{PurePosixPath(part.name).stem}/" if several and isinstance(part, ZipSource) else "", part)
            for part in parts
        ]

    def names(self) -> list[str]:
        """Return the names of the images of all parts, in their order, without reading any.

        Of several zips, the names begin with that of their zip, as if it were a folder.
        """
        return [f"{folder}{name}" for folder, part in self._folders() for name in part.names()]

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files among the uploads and in the zips."""
        return [table for part in self._parts if isinstance(part, Source) for table in part.tables()]

    def under(self, begin: str) -> _MixedSource:
        """Return the images in a folder, named as :meth:`names` does, with their names relative to it."""
        chosen = copy(self)
        chosen._parts = []
        for folder, part in self._folders():
            if not folder:
                chosen._parts.append(part.under(begin))
            elif begin == folder:
                chosen._parts.append(part)
            elif begin.startswith(folder):
                chosen._parts.append(part.under(begin.removeprefix(folder)))
        return chosen

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts if isinstance(part, Source))

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        for part in self._parts:
            if isinstance(part, ImageError):
                log.skipped.append(part)
            else:
                yield from part._files(log)

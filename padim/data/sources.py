"""Sources of images (uploads and folders): lazy sequences of named files that can be iterated repeatedly.

No more than one image is in memory at a time, and a bad file never stops the iteration.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from natsort import natsort_keygen, ns

from padim.data.decode import FORMATS, IMAGE_SUFFIXES, MAX_BYTES, UNREADABLE_SUFFIXES, Refusal, too_large
from padim.errors import ImageError

T = TypeVar("T")

# An upload: its bytes, an open binary file, or its path.
File = bytes | IO[bytes] | Path

# "img2" before "img10", folder by folder, whatever the case.
_natural_key: Callable[[str], Any] = natsort_keygen(alg=ns.PATH | ns.IGNORECASE)


def _order(name: str) -> tuple[Any, str]:
    return _natural_key(name), name  # the name itself breaks ties, so that the order is deterministic


@dataclass
class _Log:
    skipped: list[ImageError] = field(default_factory=list)
    ignored: int = 0


class Source(ABC, Iterable[tuple[str, bytes]]):
    """Base class of image sources; iterating yields (name, bytes) in natural order, undecoded.

    A bad file never stops the iteration: its error is added to `skipped`. Each iteration starts with an empty
    `skipped`. Names are unique: the second "a.png" is "a (2).png". `len()` is the number of files that look
    like images, so at most that many are yielded.
    """

    def __init__(self) -> None:
        self._log = _Log()

    @property
    def skipped(self) -> list[ImageError]:
        """One error with the reason for each file passed over by the latest iteration so far."""
        return self._log.skipped

    @property
    def ignored(self) -> int:
        """Number of files that are not images, in the latest iteration so far."""
        return self._log.ignored

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        self._log = _Log()
        return unique_names(self._files(self._log))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        """Yield (name, bytes) in natural order; names may repeat."""


def unique_names(files: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """Yield the files with unique names: a second "a.png" becomes "a (2).png"."""
    used_names: set[str] = set()
    counts: dict[str, int] = {}
    for name, data in files:
        unique = name
        while unique in used_names:
            counts[name] = counts.get(name, 1) + 1
            path = PurePosixPath(name)
            unique = name.removesuffix(path.suffix) + f" ({counts[name]}){path.suffix}"
        used_names.add(unique)
        yield unique, data


class UploadSource(Source):
    """Source of single files, given as pairs of a name and the bytes, an open binary file or a path.

    Every file in the list is yielded, since the user chose it; :func:`decode` reports those that are not
    images. Open files need `getvalue()`, or `seek()` and `read()`. A file over `max_bytes` is not read.
    """

    def __init__(self, files: Sequence[tuple[str, File]], *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        for name, file in files:
            known = isinstance(file, bytes | Path) or hasattr(file, "getvalue") or hasattr(file, "seek")
            if not known:
                kind = type(file).__name__
                raise TypeError(
                    f"files: {name!r} must be bytes, a path or a seekable binary file, got {kind}"
                )
        self._uploads = sorted(files, key=lambda item: _order(item[0]))
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._uploads)

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        for name, file in self._uploads:
            try:
                data = _read(file, self._max_bytes)
            except (OSError, ValueError) as error:  # ValueError: closed, as after an upload has been released
                log.skipped.append(ImageError(name, f"cannot be read ({error}); upload it again"))
                continue
            if len(data) > self._max_bytes:
                log.skipped.append(ImageError(name, too_large(self._max_bytes)))
                continue
            yield name, data


def _read(file: File, max_bytes: int) -> bytes:
    """Read a file from its start, at most one byte more than allowed."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(max_bytes + 1)
    if hasattr(file, "getvalue"):
        # Already in memory: `getvalue` leaves the reading position alone, which threads may share.
        return cast(bytes, file.getvalue())
    file.seek(0)
    return file.read(max_bytes + 1)


class FolderSource(Source):
    """Source of the images in a folder and its sub-folders; names are relative paths with forward slashes.

    Only files with one of `IMAGE_SUFFIXES` are read. Hidden files and folders and `__MACOSX` are ignored. A
    link that leads out of the folder is refused; a linked sub-folder inside it is found under its own name
    only.

    Raises:
        ImageError: `path` is not a folder.
    """

    def __init__(self, path: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._root = Path(path).resolve()
        if not self._root.is_dir():
            raise ImageError(str(path), "is not a folder; check the path")
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._find(_Log()))

    def names(self) -> list[str]:
        """Return the names of the files that look like images, in natural order, without reading any."""
        return [name for name, _ in self._find(_Log())]

    def paths(self) -> tuple[dict[str, Path], list[ImageError]]:
        """Return the paths of the files that look like images, by name in natural order, and the errors."""
        log = _Log()
        return dict(self._find(log)), log.skipped

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        for name, path in self._find(log):
            try:
                data = read_plain(path, name, self._max_bytes)
            except ImageError as error:
                log.skipped.append(error)
                continue
            yield name, data

    def _find(self, log: _Log) -> list[tuple[str, Path]]:
        found: list[tuple[str, Path]] = []

        def unreadable(error: OSError) -> None:
            name = self._name(Path(error.filename))
            log.skipped.append(
                ImageError(name, f"folder cannot be read ({error.strerror}); check its permissions")
            )

        for folder, sub_folders, files in os.walk(self._root, onerror=unreadable):
            sub_folders[:] = sorted(entry for entry in sub_folders if not _is_junk(entry))
            for entry in sub_folders:  # os.walk does not enter linked folders
                self._check_link(Path(folder) / entry, log)
            for entry in sorted(files):
                path = Path(folder) / entry
                if _is_junk(entry) or not _looks_like_image(self._name(path), log):
                    continue
                if self._check_link(path, log):
                    found.append((self._name(path), path))
        return sorted(found, key=lambda item: _order(item[0]))

    def _name(self, path: Path) -> str:
        # File names are bytes; a name that is not UTF-8 must not break a report or a JSON file later.
        return os.fsencode(path.relative_to(self._root).as_posix()).decode("utf-8", "replace")

    def _check_link(self, path: Path, log: _Log) -> bool:
        """Return whether `path` stays in the folder; log an error if it does not."""
        if not path.is_symlink():
            return True
        try:
            inside = path.resolve(strict=True).is_relative_to(self._root)
            reason = "is a link that leads out of the folder; put the image itself there"
        except (OSError, RuntimeError):  # RuntimeError: a loop of links
            inside, reason = False, "is a link that leads nowhere; put the image itself there"
        if not inside:
            log.skipped.append(ImageError(self._name(path), reason))
        return inside


def read_plain(path: Path, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Read an ordinary file of at most ``max_bytes`` bytes.

    Args:
        path: the file.
        name: name of the file in errors.
        max_bytes: largest size in bytes.

    Raises:
        ImageError: the file is not an ordinary file, too large, or cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise Refusal("is not an ordinary file")
        if status.st_size > max_bytes:
            raise Refusal(too_large(max_bytes))
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:  # the file has grown since `stat`
            raise Refusal(too_large(max_bytes))
    except Refusal as refusal:
        raise ImageError(name, str(refusal)) from None
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror}); check its permissions") from error
    return data


def _is_junk(entry: str) -> bool:
    """Return whether a file or folder is hidden or one that operating systems leave behind."""
    return entry.startswith(".") or entry in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _looks_like_image(name: str, log: _Log) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in UNREADABLE_SUFFIXES:
        log.skipped.append(ImageError(name, f"is a {suffix[1:].upper()} file; save it as {FORMATS}"))
    else:
        log.ignored += 1
    return False

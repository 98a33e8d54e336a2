"""Sources of images (uploads and folders): lazy sequences of named files that can be iterated repeatedly.

No more than one image is in memory at a time, and a bad file never stops the iteration.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from natsort import natsort_keygen, ns

from padim import settings
from padim.data import leftovers
from padim.data.account import PassedOver
from padim.data.decode import MIB, file_limit, too_large
from padim.data.formats import (
    ARCHIVE_SUFFIXES,
    FORMATS,
    HEAD,
    IMAGE_SUFFIXES,
    UNREADABLE_SUFFIXES,
    image_format,
)
from padim.data.refusal import Refusal
from padim.errors import ImageError, InputError

T = TypeVar("T")

# Endings and largest size of files that may be tables of labels.
TABLE_SUFFIXES = (".csv", ".tsv")
LARGEST_TABLE = 64 * MIB
# Ending of files that may be annotations of images.
ANNOTATION_SUFFIX = ".json"

# An upload: its bytes, an open binary file, or its path.
File = bytes | IO[bytes] | Path

# "img2" before "img10", folder by folder, whatever the case.
_natural_key: Callable[[str], Any] = natsort_keygen(alg=ns.PATH | ns.IGNORECASE)


def natural_order(name: str) -> tuple[Any, str]:
    """Return the key that sorts names as people count: ``2.png`` before ``10.png``."""
    return _natural_key(name), name  # the name itself breaks ties, so that the order is deterministic


@dataclass
class _Log:
    """The files of one iteration that are not yielded: refused, or passed over."""

    skipped: list[ImageError] = field(default_factory=list)
    passed_over: list[PassedOver] = field(default_factory=list)
    # Positions in `passed_over` of the folders whose files are counted one by one.
    _folders: dict[str, int] = field(default_factory=dict)

    def add_to_folder(self, name: str, why: str) -> None:
        """Add one more file of a folder that is passed over as a whole."""
        place = self._folders.setdefault(name, len(self.passed_over))
        if place == len(self.passed_over):
            self.passed_over.append(PassedOver(name, why, True))
        else:
            self.passed_over[place] = replace(
                self.passed_over[place], files=self.passed_over[place].files + 1
            )

    def add(self, other: _Log) -> None:
        self.skipped += other.skipped
        self.passed_over += other.passed_over

    def under(self, begin: str) -> _Log:
        """Return the entries of one folder, with names relative to it."""
        cut = len(begin)
        return _Log(
            [ImageError(one.name[cut:], one.reason) for one in self.skipped if one.name.startswith(begin)],
            [replace(one, name=one.name[cut:]) for one in self.passed_over if one.name.startswith(begin)],
        )


def _relative(files: Sequence[tuple[str, T]], begin: str) -> list[tuple[str, T]]:
    """Return the files whose names begin with a folder's path, with their names relative to it."""
    named = [(name.replace("\\", "/"), file) for name, file in files]
    return [(name[len(begin) :], file) for name, file in named if name.startswith(begin)]


class Source(ABC, Iterable[tuple[str, bytes]]):
    """Base class of image sources; iterating yields (name, bytes) in natural order, undecoded.

    Every file is yielded, refused or passed over. A bad file never stops the iteration: its error is added to
    `skipped`. Files that are not images, archives inside the input, hidden files and leftovers of operating
    systems are added to `passed_over`. Both are empty when an iteration starts and complete when it ends.
    Names are unique: the second "a.png" is "a (2).png". `len()` is the number of files that look like images,
    so at most that many are yielded.

    Attributes:
        known_good: whether the user has said that all images are good parts, whatever their names say.
    """

    known_good = False

    def __init__(self) -> None:
        self._log = _Log()

    @property
    def skipped(self) -> list[ImageError]:
        """One error with the reason for each file passed over by the latest iteration so far."""
        return self._log.skipped

    @property
    def passed_over(self) -> list[PassedOver]:
        """Files that the latest iteration so far has not read: they are no images of the user's."""
        return self._log.passed_over

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        most = settings.current().max_images
        if (found := len(self)) > most:
            raise InputError(
                f"{found:,} images are more than one set may have ({most:,}); take a part of them, or set "
                "PADIM_MAX_IMAGES to more"
            )
        self._log = _Log()
        return unique_names(self._files(self._log))

    @abstractmethod
    def __len__(self) -> int: ...

    def names(self) -> list[str]:
        """Return the names of the files that are yielded, in natural order, without reading any."""
        return []

    @property
    def chosen_folder(self) -> str:
        """Path, with a slash at the end, of the folder that the user chose, if all names begin with it."""
        return ""

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files among the images, which may be tables of labels."""
        return []

    def under(self, begin: str) -> Source:
        """Return the images whose names begin with a folder's path, with their names relative to it.

        Args:
            begin: the path, with forward slashes and one at the end.

        Raises:
            InputError: this kind of source has no folders.
        """
        raise InputError("a folder can be chosen in a folder, a zip or uploads only")

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

    A file that was chosen by itself is always yielded, and :func:`padim.data.decode.decode` says what is
    wrong with it. Of files whose names contain their folder, as a browser sends a whole folder, those that
    are not images are passed over as in a folder. Hidden files and leftovers of operating systems always are.
    Open files need `getvalue()`, or `seek()` and `read()`. A file over `max_bytes` is not read.
    """

    def __init__(self, files: Sequence[tuple[str, File]], *, max_bytes: int | None = None) -> None:
        super().__init__()
        for name, file in files:
            known = isinstance(file, bytes | Path) or hasattr(file, "getvalue") or hasattr(file, "seek")
            if not known:
                kind = type(file).__name__
                raise TypeError(
                    f"files: {name!r} must be bytes, a path or a seekable binary file, got {kind}"
                )
        self._uploads: list[tuple[str, File]] = []
        self._tables = [(name, file) for name, file in files if name.lower().endswith(TABLE_SUFFIXES)]
        self._found = _Log()
        self._max_bytes = file_limit(max_bytes)
        for name, file in sorted(files, key=lambda item: natural_order(item[0])):
            if _is_wanted(name, file, self._found):
                self._uploads.append((name, file))
        self._log.add(self._found)

    def __len__(self) -> int:
        return len(self._uploads)

    def names(self) -> list[str]:
        """Return the names of the files that are yielded, in natural order, without reading any."""
        return list(self.files())

    def files(self) -> dict[str, File]:
        """Return the files that are yielded, by unique name in natural order."""
        return dict(unique_names(iter(self._uploads)))

    @property
    def chosen_folder(self) -> str:
        """Name of the folder chosen in the browser, with which all names begin, and a slash."""
        tops = {name.replace("\\", "/").partition("/")[:2] for name, _ in self._uploads}
        return "".join(tops.pop()) if len(tops) == 1 and all(slash for _, slash in tops) else ""

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files among the uploads."""
        return [(name, _read(file, LARGEST_TABLE)) for name, file in self._tables]

    def under(self, begin: str) -> UploadSource:
        """Return the uploads whose names begin with a folder's path, with their names relative to it."""
        chosen = copy(self)
        chosen._uploads = _relative(self._uploads, begin)
        chosen._tables = _relative(self._tables, begin)
        chosen._found = self._found.under(begin)
        return chosen

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        log.add(self._found)
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


def _is_wanted(name: str, file: File, log: _Log) -> bool:
    """Return whether an upload is to be read; else add it to the log."""
    path = PurePosixPath(name.replace("\\", "/"))
    if _is_leftover(path, log):
        return False
    # A browser sends a chosen folder as files whose names contain it; a single file is the user's own choice.
    return len(path.parts) == 1 or looks_like_image(str(path), log, lambda: _read(file, HEAD)[:HEAD])


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

    Only files that :func:`looks_like_image` recognizes are read. Hidden files and folders and leftovers of
    operating systems are passed over. A link that leads out of the folder is refused; a linked sub-folder
    inside it is found under its own name only.

    Raises:
        ImageError: `path` is not a folder.
    """

    def __init__(self, path: str | Path, *, max_bytes: int | None = None) -> None:
        super().__init__()
        self._root = Path(path).resolve()
        if not self._root.is_dir():
            raise ImageError(str(path), "is not a folder; check the path")
        self._max_bytes = file_limit(max_bytes)

    def __len__(self) -> int:
        return len(self._find(_Log()))

    def names(self) -> list[str]:
        """Return the names of the files that look like images, in natural order, without reading any."""
        return [name for name, _ in unique_names(iter(self._find(_Log())))]

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files in the folder and in its direct sub-folders."""
        found = []
        for path in sorted((*self._root.glob("*"), *self._root.glob("*/*"))):
            inside = path.suffix.lower() in TABLE_SUFFIXES and path.resolve().is_relative_to(self._root)
            if inside and leftovers.outermost(path.relative_to(self._root).parts) is None:
                with suppress(ImageError):
                    found.append((self._name(path), read_plain(path, path.name, LARGEST_TABLE)))
        return found

    def under(self, begin: str) -> FolderSource:
        """Return the source of a sub-folder."""
        return FolderSource(self._root / begin, max_bytes=self._max_bytes)

    def paths(self) -> tuple[dict[str, Path], list[ImageError], list[PassedOver]]:
        """Return the paths of the files that look like images, by name in natural order.

        Returns:
            The paths, the errors of files that are refused, and the files that are passed over.
        """
        log = _Log()
        return dict(unique_names(iter(self._find(log)))), log.skipped, log.passed_over

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
            here = Path(folder)
            for entry in sorted(sub_folders):
                why = leftovers.reason(entry)
                if why is None:
                    self._check_link(here / entry, log)  # os.walk does not enter linked folders
                    continue
                sub_folders.remove(entry)
                if files_there := _files_in(here / entry):
                    log.passed_over.append(PassedOver(f"{self._name(here / entry)}/", why, True, files_there))
            sub_folders.sort()
            for entry in sorted(files):
                path = here / entry
                name = self._name(path)
                why = leftovers.reason(entry)
                if why is not None:
                    log.passed_over.append(PassedOver(name, why, True))
                elif looks_like_image(name, log, partial(_head, path)) and self._check_link(path, log):
                    found.append((name, path))
        return sorted(found, key=lambda item: natural_order(item[0]))

    def _name(self, path: Path) -> str:
        # File names are bytes; a name that is not UTF-8 must not break a report or a JSON file later.
        return os.fsencode(path.relative_to(self._root).as_posix()).decode("utf-8", "replace")

    def _check_link(self, path: Path, log: _Log) -> bool:
        """Return whether `path` stays in the folder; log an error if it does not."""
        if not _is_link(path):
            return True
        try:
            inside = path.resolve(strict=True).is_relative_to(self._root)
            reason = "is a link that leads out of the folder; put the image itself there"
        except (OSError, RuntimeError):  # RuntimeError: a loop of links
            inside, reason = False, "is a link that leads nowhere; put the image itself there"
        if not inside:
            log.skipped.append(ImageError(self._name(path), reason))
        return inside


def read_plain(path: Path, name: str, max_bytes: int | None = None) -> bytes:
    """Read an ordinary file of at most ``max_bytes`` bytes.

    Args:
        path: the file.
        name: name of the file in errors.
        max_bytes: largest size in bytes.

    Raises:
        ImageError: the file is not an ordinary file, too large, or cannot be read.
    """
    max_bytes = file_limit(max_bytes)
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


def _head(path: Path) -> bytes:
    """Return the first bytes of an ordinary file; empty if it is none.

    Raises:
        PermissionError: it must not be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b""
        with path.open("rb") as file:
            return file.read(HEAD)
    except PermissionError:
        raise
    except OSError:
        return b""


def _is_link(path: Path) -> bool:
    """Return whether a path is a link; False for one that may not be looked at: reading it says so."""
    try:
        return path.is_symlink()
    except OSError:
        return False


def _files_in(folder: Path) -> int:
    """Return the number of files in a folder and below it, without following links.

    A folder that cannot be read, and a link to a folder, count as one file.
    """
    if _is_link(folder):
        return 1
    unreadable: list[OSError] = []
    return sum(len(files) for _, _, files in os.walk(folder, onerror=unreadable.append)) + len(unreadable)


def _is_leftover(path: PurePosixPath, log: _Log) -> bool:
    """Return whether a path is hidden or a system's leftover; add it, or its folder, to the log."""
    found = leftovers.outermost(path.parts)
    if found is None:
        return False
    index, why = found
    name = "/".join(path.parts[: index + 1])
    if index == len(path.parts) - 1:
        log.passed_over.append(PassedOver(name, why, True))
    else:
        log.add_to_folder(f"{name}/", why)
    return True


def looks_like_image(name: str, log: _Log, head: Callable[[], bytes]) -> bool:
    """Return whether a file is to be read as an image; if not, add it to the log as refused or passed over.

    The name decides where its ending is known. A file without an ending is an image if it begins as one. A
    file with an unknown ending that begins as an image is refused rather than passed over, because the user
    may have meant it.

    Args:
        name: the file's name, with its path.
        log: receives the files that are not read.
        head: returns the file's first :data:`HEAD` bytes; called only if the name does not decide.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in UNREADABLE_SUFFIXES:
        log.skipped.append(ImageError(name, f"is a {suffix[1:].upper()} file; save it as {FORMATS}"))
        return False
    if suffix in ARCHIVE_SUFFIXES:
        log.passed_over.append(PassedOver(name, "an archive inside the input; unpack it and add its images"))
        return False
    try:
        content = image_format(head())
    except PermissionError as error:  # it may be an image
        why = f"cannot be read ({error.strerror}); check its permissions"
        log.skipped.append(ImageError(name, why))
        return False
    if content is not None and not suffix:
        return True
    if content is not None:
        why = f"begins as a {content} image, but its name ends in {suffix}; rename it if it is an image"
        log.skipped.append(ImageError(name, why))
    else:
        log.passed_over.append(PassedOver(name, not_an_image(name)))
    return False


def not_an_image(name: str) -> str:
    """Return the reason why a file that is no image is passed over, with the ending of its name."""
    suffix = PurePosixPath(name).suffix.lower()
    return "not an image" + (f" ({suffix})" if suffix else "")

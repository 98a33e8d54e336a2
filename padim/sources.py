"""Where pictures come from: uploads, a folder, a zip; lazy, repeatable sequences of named files.

Nothing here keeps more than one picture in memory, and one bad file never stops the rest.
"""

from __future__ import annotations

import os
import stat
import struct
import weakref
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from natsort import natsort_keygen, ns

from padim.errors import ImageError
from padim.images import (
    ARCHIVE_SUFFIXES,
    FORMATS,
    IMAGE_SUFFIXES,
    MAX_BYTES,
    MIB,
    UNREADABLE_SUFFIXES,
    Refusal,
    megabytes,
    too_large,
)

# What an upload is: its bytes, an open file, or where it lies on disk.
File = bytes | IO[bytes] | Path

# "img2" before "img10", folder by folder, whatever the case.
_natural_key: Callable[[str], Any] = natsort_keygen(alg=ns.PATH | ns.IGNORECASE)


def _order(name: str) -> tuple[Any, str]:
    return _natural_key(name), name  # the name itself settles ties, so that the order is always the same


@dataclass
class _Log:
    skipped: list[ImageError] = field(default_factory=list)
    ignored: int = 0


class Source(ABC, Iterable[tuple[str, bytes]]):
    """Picture files, one at a time: iterating yields (name, bytes) in natural order, undecoded.

    One bad file never stops the rest: it is put into `skipped` and passed over. Each iteration starts afresh,
    with an empty `skipped`. Names are unique: the second "a.png" is "a (2).png". `len()` is the number of
    files that look like pictures, so at most that many are yielded.
    """

    def __init__(self) -> None:
        self._log = _Log()

    @property
    def skipped(self) -> list[ImageError]:
        """The files passed over by the latest iteration so far, and why."""
        return self._log.skipped

    @property
    def ignored(self) -> int:
        """How many files that are not pictures the latest iteration came across."""
        return self._log.ignored

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        self._log = _Log()
        return _with_unique_names(self._files(self._log))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        """(name, bytes) in natural order; names may repeat."""


def _with_unique_names(files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    taken: set[str] = set()
    counts: dict[str, int] = {}
    for name, data in files:
        unique = name
        while unique in taken:
            counts[name] = counts.get(name, 1) + 1
            path = PurePosixPath(name)
            unique = name.removesuffix(path.suffix) + f" ({counts[name]}){path.suffix}"
        taken.add(unique)
        yield unique, data


class UploadSource(Source):
    """Files handed over one by one, as (name, bytes, open binary file or path).

    Whatever is in the list is yielded, for its sender means it: what is not a picture is named by
    :func:`decode`. Open files need `getvalue()` or `seek()` and `read()`; a file over `max_bytes` is not
    read.
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
    """The file from its start; at most one byte more than allowed is read."""
    if isinstance(file, bytes):
        return file
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return opened.read(max_bytes + 1)
    if hasattr(file, "getvalue"):
        # In memory already: nothing is copied, and no reading position is disturbed, which threads may share.
        return cast(bytes, file.getvalue())
    file.seek(0)
    return file.read(max_bytes + 1)


class FolderSource(Source):
    """The pictures in a folder and its sub-folders; names are paths relative to it, with forward slashes.

    Only files with one of `IMAGE_SUFFIXES` are read. Hidden files and folders and `__MACOSX` are not looked
    at. A link that leads out of the folder is refused; a linked sub-folder inside it is found under its own
    name only.

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
        """The names of the files that look like pictures, in natural order; nothing is read."""
        return [name for name, _ in self._find(_Log())]

    def paths(self) -> tuple[dict[str, Path], list[ImageError]]:
        """Where the files that look like pictures lie, by name in natural order, and what is passed over."""
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
                if _is_junk(entry) or not _looks_like_picture(self._name(path), log):
                    continue
                if self._check_link(path, log):
                    found.append((self._name(path), path))
        return sorted(found, key=lambda item: _order(item[0]))

    def _name(self, path: Path) -> str:
        # File names are bytes; what is not UTF-8 must not break a report or a JSON file later.
        return os.fsencode(path.relative_to(self._root).as_posix()).decode("utf-8", "replace")

    def _check_link(self, path: Path, log: _Log) -> bool:
        """Whether `path` stays in the folder; otherwise it is logged."""
        if not path.is_symlink():
            return True
        try:
            inside = path.resolve(strict=True).is_relative_to(self._root)
            reason = "is a link that leads out of the folder; put the picture itself there"
        except (OSError, RuntimeError):  # RuntimeError: a loop of links
            inside, reason = False, "is a link that leads nowhere; put the picture itself there"
        if not inside:
            log.skipped.append(ImageError(self._name(path), reason))
        return inside


def read_plain(path: Path, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    """An ordinary file of at most that size.

    Args:
        name: what an error calls it.

    Raises:
        ImageError: it is no ordinary file, too large, or cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a named pipe would wait for ever
            raise Refusal("is not an ordinary file")
        if status.st_size > max_bytes:
            raise Refusal(too_large(max_bytes))
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:  # it has grown meanwhile
            raise Refusal(too_large(max_bytes))
    except Refusal as refusal:
        raise ImageError(name, str(refusal)) from None
    except OSError as error:
        raise ImageError(name, f"cannot be read ({error.strerror}); check its permissions") from error
    return data


def _is_junk(entry: str) -> bool:
    """What operating systems leave behind, and what people hide."""
    return entry.startswith(".") or entry in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _looks_like_picture(name: str, log: _Log) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in UNREADABLE_SUFFIXES:
        log.skipped.append(ImageError(name, f"is a {suffix[1:].upper()} file; save it as {FORMATS}"))
    else:
        log.ignored += 1
    return False


@dataclass(frozen=True)
class ZipLimits:
    """What a zip may ask for. Every limit is applied to what is really read, not to what the headers claim.

    Attributes:
        members: most entries of any kind.
        total_bytes: most bytes unpacked from one archive in one iteration.
        ratio: most unpacked bytes for one packed byte, in a member and in the whole archive; photographs
            reach 2, plain uncompressed ones 50, bombs 1000.
        ratio_floor: bytes below which the ratio does not matter.
    """

    members: int = 50_000
    total_bytes: int = 16 * 1024 * MIB
    ratio: int = 200
    ratio_floor: int = 16 * MIB


class ZipSource(Source):
    """The pictures in a zip archive; nothing is ever unpacked to disk, and one member at a time to memory.

    Names are those in the archive. Members that are encrypted, damaged, links, archives, too large, bombs, or
    whose names point outside the archive are skipped with the reason.

    Raises:
        ImageError: the archive as a whole is unreadable or has too many members; it is named.
    """

    def __init__(
        self,
        source: str | Path | File,
        name: str | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        limits: ZipLimits | None = None,
    ) -> None:
        super().__init__()
        limits = limits if limits is not None else ZipLimits()
        self._source, self._max_bytes, self._limits = source, max_bytes, limits
        if name is None:
            name = Path(source).name if isinstance(source, str | Path) else "archive.zip"
        self._name = name
        self._found = _Log()
        self._members: list[tuple[str, zipfile.ZipInfo]] = []
        self._tables: list[tuple[str, zipfile.ZipInfo]] = []
        self._archive_bytes = 0
        try:
            with self._stream() as stream:
                self._archive_bytes = stream.seek(0, os.SEEK_END)
                # zipfile builds an object for each entry of the directory, however many there are.
                if _directory_bytes(stream) > 256 * limits.members:
                    raise Refusal(f"has too many members (the limit is {limits.members}); split it")
                with zipfile.ZipFile(stream) as archive:
                    entries = archive.infolist()
            if len(entries) > limits.members:
                raise Refusal(f"has too many members (the limit is {limits.members}); split it")
            for entry in entries:
                self._sort_in(entry)
        except Refusal as refusal:
            raise ImageError(name, str(refusal)) from None
        except Exception as error:
            # As in `decode`: a malformed directory raises BadZipFile, struct.error, UnicodeDecodeError,
            # NotImplementedError, OSError, ValueError ..., and all mean that this archive is unusable.
            raise ImageError(
                name, "is not a zip archive or is damaged; copy it again or make it anew"
            ) from error
        self._members.sort(key=lambda item: _order(item[0]))

    def __len__(self) -> int:
        return len(self._members)

    def _stream(self) -> AbstractContextManager[IO[bytes]]:
        """The archive's bytes, with a reading position of our own where the source allows it."""
        if isinstance(self._source, str | Path):
            return Path(self._source).open("rb")
        if isinstance(self._source, bytes):
            return BytesIO(self._source)
        if hasattr(self._source, "getvalue"):
            return BytesIO(self._source.getvalue())
        return nullcontext(self._source)  # the caller's to close

    def _sort_in(self, entry: zipfile.ZipInfo) -> None:
        """Puts a member among the pictures, the skipped or the ignored, by what its header says."""
        raw = entry.orig_filename
        path = PurePosixPath(raw.replace("\\", "/"))  # Windows programs write backslashes
        name = str(path)
        if entry.is_dir() or raw.endswith("\\") or any(_is_junk(part) for part in path.parts if part != ".."):
            return
        skip = self._found.skipped.append
        if "\0" in raw or ".." in path.parts or path.is_absolute() or (len(raw) > 1 and raw[1] == ":"):
            printable = raw.replace("\0", "\\0")
            skip(ImageError(printable, "has a name that points outside the archive; make the zip anew"))
        elif path.suffix.lower() in ARCHIVE_SUFFIXES:
            skip(ImageError(name, "is an archive inside the archive; unpack it and add its pictures"))
        elif (table := path.suffix.lower() == ".csv") | _looks_like_picture(name, self._found):
            if stat.S_ISLNK(entry.external_attr >> 16):
                skip(ImageError(name, "is a link, not a picture; add the picture itself"))
            elif entry.flag_bits & 0x1:
                skip(ImageError(name, "is encrypted; make the zip anew without a password"))
            elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                # Python's other decompressors do not bound the memory they use.
                skip(
                    ImageError(
                        name, "is packed by an unusual method; make the zip anew with ordinary compression"
                    )
                )
            else:
                (self._tables if table else self._members).append((name, entry))

    def open(self) -> ZipReader:
        """The archive for reading its pictures and tables by name, with limits over all that is read."""
        return ZipReader(self)

    @property
    def budget(self) -> int:
        """Most bytes unpacked in one go through the archive."""
        limits = self._limits
        return min(limits.total_bytes, max(limits.ratio_floor, limits.ratio * self._archive_bytes))

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        log.skipped += self._found.skipped
        log.ignored += self._found.ignored
        budget = self.budget
        with ExitStack() as opened:
            try:
                archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(self._stream())))
            except (
                Exception
            ) as error:  # as in __init__; here the file has changed, or an upload has been released
                log.skipped.append(
                    ImageError(self._name, f"cannot be read any more ({error}); choose it again")
                )
                return
            for done, (name, entry) in enumerate(self._members):
                data = bytearray()
                try:
                    self._unpack(archive, entry, budget, data)
                except _BudgetSpent:
                    left = len(self._members) - done
                    reason = (
                        f"unpacks to more than {megabytes(budget)}: the last {left} pictures were not read"
                    )
                    log.skipped.append(ImageError(self._name, f"{reason}; split it"))
                    return
                except Refusal as refusal:
                    log.skipped.append(ImageError(name, str(refusal)))
                    continue
                except Exception as error:
                    # BadZipFile (checksum, headers that differ), zlib.error, EOFError, NotImplementedError,
                    # MemoryError ...: this member is unusable, the next one may be sound.
                    reason = "is damaged inside the archive; make the zip anew"
                    log.skipped.append(ImageError(name, reason))
                    log.skipped[-1].__cause__ = error
                    continue
                finally:
                    budget -= len(data)
                picture = bytes(data)
                data.clear()  # not twice in memory while the caller works on it
                yield name, picture

    def _unpack(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: int, data: bytearray) -> None:
        """Unpacks a member into `data`, stopping at the first limit it passes."""
        if entry.file_size > self._max_bytes:
            raise Refusal(too_large(self._max_bytes))
        packed = min(entry.compress_size, self._archive_bytes)
        most_by_ratio = max(self._limits.ratio_floor, self._limits.ratio * packed)
        with archive.open(entry) as member:
            while chunk := member.read(MIB):
                data += chunk
                if len(data) > self._max_bytes:
                    raise Refusal(too_large(self._max_bytes))
                if len(data) > most_by_ratio:
                    raise Refusal(
                        f"unpacks to more than {self._limits.ratio} times its packed size, as zip bombs do; "
                        "add it as a PNG or by itself"
                    )
                if len(data) > budget:
                    raise _BudgetSpent


class ZipReader:
    """A zip's pictures and tables by name, in any order; what is passed over is in ``skipped``.

    Attributes:
        pictures: names in natural order.
        tables: names of the CSV files.
        skipped: members that cannot be read, and why.
    """

    def __init__(self, source: ZipSource) -> None:
        self._source = source
        self._pictures = dict(source._members)
        self._tables = dict(source._tables)
        self.pictures = list(self._pictures)
        self.tables = sorted(self._tables)
        self.skipped = list(source._found.skipped)
        self._left = source.budget
        self._opened = ExitStack()
        self._archive: zipfile.ZipFile | None = None
        weakref.finalize(self, self._opened.close)

    def again(self) -> None:
        """Begin to count what is unpacked anew, for another go through the archive."""
        self._left = self._source.budget

    def read(self, name: str) -> bytes:
        """One member, unpacked.

        Raises:
            ImageError: it is damaged, too large or a bomb, or the archive cannot be read any more.
        """
        entry = self._pictures.get(name) or self._tables[name]
        data = bytearray()
        try:
            if self._archive is None:
                stream = self._opened.enter_context(self._source._stream())
                self._archive = self._opened.enter_context(zipfile.ZipFile(stream))
            self._source._unpack(self._archive, entry, self._left, data)
        except _BudgetSpent:
            raise ImageError(
                name, f"is beyond the {megabytes(self._source.budget)} that are unpacked; split the zip"
            ) from None
        except Refusal as refusal:
            raise ImageError(name, str(refusal)) from None
        except Exception as error:  # as in ZipSource: whatever it is, this member is unusable
            raise ImageError(name, "is damaged inside the archive; make the zip anew") from error
        finally:
            self._left -= len(data)
        return bytes(data)


class _BudgetSpent(Exception):
    """The archive's total limit is reached."""


def _directory_bytes(stream: IO[bytes]) -> int:
    """Size of the zip's directory as `zipfile` will read it (0: none found, which it will report)."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - (1 << 16) - 22 - 20 - 56))
    tail = stream.read()
    at = len(tail) - 22
    if not (at >= 0 and tail[at : at + 4] == b"PK\5\6" and tail.endswith(b"\0\0")):
        at = tail.rfind(b"PK\5\6")
    if at < 0 or at + 22 > len(tail):
        return 0
    (size,) = struct.unpack_from("<I", tail, at + 12)
    if at >= 76 and tail[at - 20 : at - 16] == b"PK\6\7" and tail[at - 76 : at - 72] == b"PK\6\6":
        (size,) = struct.unpack_from("<Q", tail, at - 76 + 40)
    return int(size)


def open_source(path: str | Path, *, max_bytes: int = MAX_BYTES) -> FolderSource | ZipSource:
    """A folder or a zip file as a source; ImageError where it is neither."""
    path = Path(path)
    if path.is_dir():
        return FolderSource(path, max_bytes=max_bytes)
    if path.is_file():
        return ZipSource(path, max_bytes=max_bytes)
    raise ImageError(str(path), "does not exist; give a folder of pictures or a zip file")


def expand_uploads(files: Sequence[tuple[str, File]], *, max_bytes: int = MAX_BYTES) -> Source:
    """One source over uploads that may be pictures and zips (told by the ending .zip) mixed.

    Uploads come in natural order of their names; a zip's pictures come together, in its place. A broken zip
    is put into `skipped` like a broken picture.
    """
    return _MixedSource(files, max_bytes)


class _MixedSource(Source):
    def __init__(self, files: Sequence[tuple[str, File]], max_bytes: int) -> None:
        super().__init__()
        self._parts: list[Source | ImageError] = []
        for name, file in sorted(files, key=lambda item: _order(item[0])):
            if not name.lower().endswith(".zip"):
                self._parts.append(UploadSource([(name, file)], max_bytes=max_bytes))
                continue
            try:
                self._parts.append(ZipSource(file, name, max_bytes=max_bytes))
            except ImageError as error:
                self._parts.append(error)

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts if isinstance(part, Source))

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        for part in self._parts:
            if isinstance(part, ImageError):
                log.skipped.append(part)
            else:
                yield from part._files(log)

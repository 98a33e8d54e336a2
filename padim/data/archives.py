"""Read images from zip files, member by member, within limits on unpacked size and compression ratio."""

from __future__ import annotations

import os
import stat
import struct
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from copy import copy
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from padim.data.account import PassedOver
from padim.data.decode import MIB, file_limit, megabytes, too_large
from padim.data.formats import ARCHIVE_HEAD, ARCHIVE_SUFFIXES, HEAD, describe, image_format
from padim.data.refusal import Refusal
from padim.data.sources import (
    ANNOTATION_SUFFIX,
    LARGEST_TABLE,
    TABLE_SUFFIXES,
    File,
    Source,
    _is_leftover,
    _Log,
    _relative,
    looks_like_image,
    natural_order,
    not_an_image,
    unique_names,
)
from padim.data.zip_names import decoded_names
from padim.errors import ImageError

_ZIP = b"PK\3\4"


@dataclass(frozen=True)
class ZipLimits:
    """Limits on reading a zip file; each is applied to the bytes really read, not to what the headers claim.

    Attributes:
        members: largest number of entries of any kind.
        total_bytes: largest number of bytes unpacked from one archive in one iteration.
        ratio: largest number of unpacked bytes per packed byte, in a member and in the whole archive;
            photographs reach 2, plain uncompressed images 50, zip bombs 1000.
        ratio_floor: unpacked bytes below which the ratio is not checked.
    """

    members: int = 50_000
    total_bytes: int = 16 * 1024 * MIB
    ratio: int = 200
    ratio_floor: int = 16 * MIB


class ZipSource(Source):
    """Source of the images in a zip archive, unpacked to memory one member at a time, never to disk.

    Names are those in the archive, decoded by :mod:`padim.data.zip_names`. Members that are encrypted,
    damaged, links, too large or zip bombs, or whose names point outside the archive, are refused with the
    reason.

    Raises:
        ImageError: the archive as a whole is unreadable or has too many members; the error names it.
    """

    def __init__(
        self,
        source: str | Path | File,
        name: str | None = None,
        *,
        max_bytes: int | None = None,
        limits: ZipLimits | None = None,
    ) -> None:
        super().__init__()
        limits = limits if limits is not None else ZipLimits()
        self._source, self._max_bytes, self._limits = source, file_limit(max_bytes), limits
        if name is None:
            name = Path(source).name if isinstance(source, str | Path) else "archive.zip"
        self._name = name
        self._found = _Log()
        self._members: list[tuple[str, zipfile.ZipInfo]] = []
        self._tables: list[tuple[str, zipfile.ZipInfo]] = []
        self._documents: list[tuple[str, zipfile.ZipInfo]] = []
        self._archive_bytes = 0
        try:
            with self._stream() as stream:
                self._archive_bytes = stream.seek(0, os.SEEK_END)
                # Checked first, because zipfile builds an object for each entry, however many there are.
                if _directory_bytes(stream) > 256 * limits.members:
                    raise Refusal(f"has too many members (the limit is {limits.members}); split it")
                with zipfile.ZipFile(stream) as archive:
                    entries = archive.infolist()
                    if len(entries) > limits.members:
                        raise Refusal(f"has too many members (the limit is {limits.members}); split it")
                    for name_inside, entry in zip(decoded_names(entries), entries, strict=True):
                        self._sort_in(name_inside, entry, archive)
        except Refusal as refusal:
            raise ImageError(name, str(refusal)) from None
        except UnicodeDecodeError as error:
            why = "states that its names are UTF-8, but one of them is not; make the zip anew"
            raise ImageError(name, why) from error
        except Exception as error:
            # As in `decode`: a malformed directory raises BadZipFile, struct.error, NotImplementedError,
            # OSError, ValueError ..., and all mean that this archive is unusable.
            raise ImageError(name, no_zip(self._head())) from error
        self._members = list(
            unique_names(iter(sorted(self._members, key=lambda item: natural_order(item[0]))))
        )
        self._log.add(self._found)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def name(self) -> str:
        """Name of the archive."""
        return self._name

    @property
    def holds_files(self) -> bool:
        """Whether there is any file in the archive, of whatever kind."""
        found = self._found
        return bool(self._members or self._tables or found.skipped or found.passed_over)

    def names(self) -> list[str]:
        """Return the names of the members that look like images, in natural order, without reading any."""
        return [name for name, _ in self._members]

    def tables(self) -> list[tuple[str, bytes]]:
        """Return name and content of the CSV files in the archive."""
        reader, found = self.open(), []
        for name, entry in self._tables:
            if entry.file_size <= LARGEST_TABLE:
                with suppress(ImageError):
                    found.append((name, reader.read(name)))
        return found

    def under(self, begin: str) -> ZipSource:
        """Return the members of a folder of the archive, with their names relative to it."""
        chosen = copy(self)
        chosen._members = _relative(self._members, begin)
        chosen._tables = _relative(self._tables, begin)
        chosen._documents = _relative(self._documents, begin)
        chosen._found = self._found.under(begin)
        return chosen

    def _stream(self) -> AbstractContextManager[IO[bytes]]:
        """Open the archive as a binary stream, with its own reading position where the source allows it."""
        if isinstance(self._source, str | Path):
            return Path(self._source).open("rb")
        if isinstance(self._source, bytes):
            return BytesIO(self._source)
        if hasattr(self._source, "getvalue"):
            return BytesIO(self._source.getvalue())
        return nullcontext(self._source)  # the caller owns and closes it

    def _head(self) -> bytes:
        """Return the file's first bytes; only those of a zip if it cannot be read."""
        try:
            with self._stream() as stream:
                stream.seek(0)
                return stream.read(ARCHIVE_HEAD)
        except (OSError, ValueError):
            return _ZIP

    def _sort_in(self, raw: str, entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> None:
        """Add a member to the images, the tables, the refused or the files passed over, by its header."""
        path = PurePosixPath(raw)
        name = str(path)
        if entry.is_dir() or raw.endswith("/"):
            return  # a folder's own entry; its files have theirs
        if _is_leftover(PurePosixPath(*(part for part in path.parts if part != "..")), self._found):
            return
        skip = self._found.skipped.append
        around = raw.replace("\\", "/")  # whatever a backslash means here, it must not lead out
        if "\0" in raw or ".." in around.split("/") or around.startswith("/") or around[1:2] == ":":
            printable = raw.replace("\0", "\\0")
            skip(ImageError(printable, "has a name that points outside the archive; make the zip anew"))
        elif path.suffix.lower() in ARCHIVE_SUFFIXES:
            self._found.passed_over.append(
                PassedOver(name, "an archive inside the archive; unpack it and add its images")
            )
        elif (why := _unusable_member(entry)) is not None:
            # What is not an image is passed over, whatever is wrong with the member.
            if looks_like_image(name, self._found, bytes):
                skip(ImageError(name, why))
        elif path.suffix.lower() in TABLE_SUFFIXES:
            self._tables.append((name, entry))
        elif looks_like_image(name, self._found, partial(_member_head, archive, entry)):
            self._members.append((name, entry))
        elif path.suffix.lower() == ANNOTATION_SUFFIX:
            self._documents.append((name, entry))

    def open(self) -> ZipReader:
        """Open the archive to read its images and tables by name, within the limits of this source."""
        return ZipReader(self)

    @property
    def budget(self) -> int:
        """Largest number of bytes that one iteration over the archive may unpack."""
        limits = self._limits
        return min(limits.total_bytes, max(limits.ratio_floor, limits.ratio * self._archive_bytes))

    def _files(self, log: _Log) -> Iterator[tuple[str, bytes]]:
        log.add(self._found)
        # A table is read by name, as labels; in a stream of images it is passed over.
        log.passed_over += [PassedOver(name, not_an_image(name)) for name, _ in self._tables]
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
                    reason = f"unpacks to more than {megabytes(budget)}: the last {left} images were not read"
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
                image = bytes(data)
                data.clear()  # the image is not twice in memory while the caller uses it
                yield name, image

    def _unpack(self, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, budget: int, data: bytearray) -> None:
        """Unpack a member into `data`; raise at the first limit that it exceeds."""
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
    """Reader of a zip archive's images and tables by name, in any order.

    Attributes:
        images: names in natural order.
        tables: names of the CSV files.
        documents: names of the JSON files.
        skipped: one error with the reason for each member that cannot be read.
        passed_over: the members that are not read, with the reason.
    """

    def __init__(self, source: ZipSource) -> None:
        self._source = source
        self._images = dict(source._members)
        self._tables = dict(source._tables)
        self.images = list(self._images)
        self.tables = sorted(self._tables)
        self._documents = dict(source._documents)
        self.documents = sorted(self._documents)
        self.skipped = list(source._found.skipped)
        self.passed_over = list(source._found.passed_over)
        self._left = source.budget
        self._opened = ExitStack()
        self._archive: zipfile.ZipFile | None = None
        weakref.finalize(self, self._opened.close)

    def restart(self) -> None:
        """Reset the count of unpacked bytes, before another iteration over the archive."""
        self._left = self._source.budget

    def read(self, name: str) -> bytes:
        """Unpack one member and return its bytes.

        Raises:
            ImageError: the member is damaged, too large or a zip bomb, or the archive can no longer be read.
        """
        entry = self._images.get(name) or self._tables.get(name) or self._documents[name]
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


def no_zip(head: bytes) -> str:
    """Return why a file that should be a zip archive is none that can be read, by its first bytes."""
    if not head:
        return "is not a zip archive or is damaged: it is empty (0 bytes); copy it again"
    kind = image_format(head)
    what = describe(head) if kind is None else f"an image ({kind})"
    true_kind = "" if head.startswith(_ZIP[:2]) else f": it is {what}"
    return f"is not a zip archive or is damaged{true_kind}; copy it again or make it anew"


def _unusable_member(entry: zipfile.ZipInfo) -> str | None:
    """Return why a member cannot be unpacked, by its header; None if it can."""
    if stat.S_ISLNK(entry.external_attr >> 16):
        return "is a link, not an image; add the image itself"
    if entry.flag_bits & 0x1:
        return "is encrypted; make the zip anew without a password"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python's other decompressors do not bound the memory they use.
        return "is packed by an unusual method; make the zip anew with ordinary compression"
    return None


def _member_head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Return the first bytes of a member; empty if it is damaged."""
    try:
        with archive.open(entry) as member:
            return member.read(HEAD)
    except Exception:  # as when it is read whole: a damaged member raises many kinds of errors
        return b""


class _BudgetSpent(Exception):
    """Raised when the limit on all bytes unpacked from the archive is reached."""


def _directory_bytes(stream: IO[bytes]) -> int:
    """Return the size in bytes of the zip's central directory; 0 if none is found (`zipfile` reports it)."""
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

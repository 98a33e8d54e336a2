"""Thumbnails (small JPEG images) of the normals, in the working folder and in a saved model.

An opened model reads them from its bundle. They are copied to working files only when the model is changed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import xxhash

from padim.errors import BundleError, DamagedError
from padim.storage.atomic import naming, write_atomic
from padim.storage.bundle import Bundle
from padim.storage.record_file import REMEDY

# (offset, length) in the file.
Place = tuple[int, int]
_PIECE = 2**20


class Readable(Protocol):
    """Interface for reading thumbnails, to show and save them."""

    def read(self, place: Place) -> bytes:
        """Return one JPEG image."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole file in checked pieces."""


@dataclass(frozen=True)
class _Line:
    """Position of a thumbnail in the file, and the XXH3-64 of its bytes."""

    offset: int
    length: int
    checksum: str

    def text(self) -> str:
        return f"{self.offset} {self.length} {self.checksum} {self._line_checksum()}\n"

    def _line_checksum(self) -> str:
        return xxhash.xxh3_64_hexdigest(f"{self.offset} {self.length} {self.checksum}".encode())

    @classmethod
    def parse(cls, text: bytes) -> _Line | None:
        try:
            offset, length, checksum, own = text.decode("ascii").split(" ")
            line = cls(int(offset), int(length), checksum)
        except ValueError:
            return None
        return line if line.text() == f"{offset} {length} {checksum} {own}\n" else None


class _Known(NamedTuple):
    """Lines of a file as last read, by place, with the end of the last thumbnail and the lines' bytes."""

    signature: tuple[int, int, int] | None
    lines: dict[Place, _Line]
    end: int
    nbytes: int


_NOTHING = _Known(None, {}, 0, 0)


class Thumbnails:
    """Working files of thumbnails: concatenated JPEG images in one file, and a line for each in another.

    A line has the image's place and checksum, and is written after the image has been flushed to the disk.
    """

    def __init__(self, path: Path) -> None:
        """Open the file ``path`` and the lines in the file with suffix ``.txt``; nothing is written."""
        self.path = path
        self._lines_path = path.with_suffix(".txt")
        self._known = _NOTHING

    @property
    def nbytes(self) -> int:
        """End of the last image that has a line, in bytes."""
        return self._read().end

    def _lines(self) -> dict[Place, _Line]:
        """Return the lines by place, up to the first damaged one."""
        return self._read().lines

    def _read(self) -> _Known:
        """Return the lines; they are read again only if another process has changed the file."""
        try:
            signature = self._signature()
        except OSError:
            return _NOTHING
        if self._known.signature != signature:
            found, nbytes = {}, 0
            for text in self._lines_path.read_bytes().split(b"\n")[:-1]:
                line = _Line.parse(text)
                if line is None:
                    break
                found[line.offset, line.length] = line
                nbytes += len(text) + 1
            end = max((line.offset + line.length for line in found.values()), default=0)
            self._known = _Known(signature, found, end, nbytes)
        return self._known

    def _signature(self) -> tuple[int, int, int]:
        about = self._lines_path.stat()
        return about.st_ino, about.st_size, about.st_mtime_ns

    def append(self, jpegs: Sequence[bytes]) -> list[Place]:
        """Append JPEG images and return their places."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        known = self._read()
        end, added = known.end, []
        # If there is a damaged line, the lines after it are unknown: all are read again then.
        size = self._lines_path.stat().st_size if self._lines_path.exists() else 0
        up_to_date = size == known.nbytes
        with naming(self.path), self.path.open("r+b" if self.path.exists() else "w+b") as file:
            file.truncate(end)
            file.seek(end)
            for jpeg in jpegs:
                file.write(jpeg)
                added.append(_Line(end, len(jpeg), xxhash.xxh3_64_hexdigest(jpeg)))
                end += len(jpeg)
            file.flush()
            os.fsync(file.fileno())
        with naming(self._lines_path), self._lines_path.open("a", encoding="ascii", newline="") as text:
            lines = [line.text() for line in added]
            text.writelines(lines)
            text.flush()
            os.fsync(text.fileno())
        places = [(line.offset, line.length) for line in added]
        if up_to_date:
            # Updated in memory, so that the lines are not read again after every batch.
            there = known.lines | dict(zip(places, added, strict=True))
            self._known = _Known(self._signature(), there, end, known.nbytes + sum(map(len, lines)))
        return places

    def fill(self, other: Readable, places: Iterable[Place]) -> None:
        """Replace the content by a copy of other thumbnails."""
        self._lines_path.unlink(missing_ok=True)
        write_atomic(self.path, lambda file: file.writelines(other.chunks()))
        size = self.path.stat().st_size
        pieces: list[Place] = []
        end = 0
        for offset, length in sorted(set(places)):
            if end < offset:  # bytes that belong to no image are kept, so that the places stay valid
                pieces.append((end, offset - end))
            pieces.append((offset, length))
            end = max(end, offset + length)
        if end < size:
            pieces.append((end, size - end))
        lines = []
        with self.path.open("rb") as file:
            for offset, length in pieces:
                file.seek(offset)
                lines.append(_Line(offset, length, xxhash.xxh3_64_hexdigest(file.read(length))))
        write_atomic(self._lines_path, "".join(line.text() for line in lines).encode("ascii"))

    def read(self, place: Place) -> bytes:
        """Read one JPEG image.

        Raises:
            DamagedError: the image does not match its checksum.
        """
        line = self._lines().get(place)
        if line is None:
            raise DamagedError(self._lines_path, f"has no small image at byte {place[0]}", REMEDY)
        return self._content(line)

    def _content(self, line: _Line) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(line.offset)
                content = file.read(line.length)
        except FileNotFoundError as error:
            raise DamagedError(self.path, "is missing", REMEDY) from error
        if xxhash.xxh3_64_hexdigest(content) != line.checksum:
            row = list(self._lines()).index((line.offset, line.length))
            raise DamagedError(self.path, f"small image {row + 1} does not match its checksum", REMEDY, row)
        return content

    def holds(self, place: Place) -> bool:
        """Return whether the image exists and matches its checksum."""
        try:
            self.read(place)
        except DamagedError:
            return False
        return True

    def chunks(self) -> Iterator[bytes]:
        """Yield all images one after another.

        Raises:
            DamagedError: an image does not match its checksum.
        """
        end = 0
        for (offset, _), line in sorted(self._lines().items()):
            if offset != end:
                raise DamagedError(self._lines_path, f"has no small image at byte {end}", REMEDY)
            yield self._content(line)
            end += line.length

    def truncate(self, nbytes: int) -> None:
        """Keep only the images that end within the first ``nbytes``."""
        lines = [line for line in self._lines().values() if line.offset + line.length <= nbytes]
        if not self._lines_path.exists():
            return
        write_atomic(self._lines_path, "".join(line.text() for line in lines).encode("ascii"))
        if self.path.exists() and self.path.stat().st_size > self.nbytes:
            with self.path.open("r+b") as file:
                file.truncate(self.nbytes)

    def delete(self) -> None:
        """Delete both files."""
        self._lines_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def damages(self) -> Iterator[DamagedError]:
        """Yield an error for everything that is damaged; reads all images."""
        if not self._lines_path.exists():
            if self.path.exists() and self.path.stat().st_size:
                what = "was written by an earlier version of this program, without checksums"
                yield DamagedError(self.path, what, REMEDY)
            return
        lines = self._lines()
        if len(lines) != len(self._lines_path.read_bytes().splitlines()):
            yield DamagedError(self._lines_path, f"line {len(lines) + 1} is damaged", REMEDY)
        for line in lines.values():
            try:
                self._content(line)
            except DamagedError as error:
                yield error


class SavedThumbnails:
    """Thumbnails of a saved model, read from its bundle.

    The file was checked when the model was opened, and stays readable while the model is in memory, even if
    another session saves the model again.
    """

    def __init__(self, saved: Bundle) -> None:
        """Open the thumbnails' file in a bundle.

        Raises:
            BundleError: the file is missing, truncated or altered; the error names it.
        """
        self._name = f"{saved.path}: thumbnails.bin"
        self._file: BinaryIO
        self._file, self._sha256 = saved.open("thumbnails.bin")
        self._reading = threading.Lock()

    def read(self, place: Place) -> bytes:
        """Read one JPEG image.

        Raises:
            BundleError: there is no image at that place.
        """
        offset, length = place
        content = self._read_at(offset, length)
        if len(content) != length:
            raise BundleError(f"{self._name}: the normals' images are truncated")
        return content

    def _read_at(self, offset: int, length: int) -> bytes:
        with self._reading:
            self._file.seek(offset)
            return self._file.read(length)

    def chunks(self) -> Iterator[bytes]:
        """Yield the whole file in pieces.

        Raises:
            BundleError: after the last piece, if the content is no longer what was saved.
        """
        digest, offset = hashlib.sha256(), 0
        while piece := self._read_at(offset, _PIECE):
            digest.update(piece)
            offset += len(piece)
            yield piece
        if digest.hexdigest() != self._sha256:
            raise BundleError(f"{self._name} was altered after it was saved")

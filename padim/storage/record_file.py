"""Append-only files of records of equal size, each with a key and checksums: a fit's data per normal image.

On disk a record is its content, followed by the XXH3-64 of every block of that content. The line of the
record in ``records.txt`` has its key, the XXH3-128 of those checksums, and the XXH3-64 of the line itself.
The content is flushed to the disk before its line is written. So a reader of a few blocks detects any damage
to them without reading the rest, and a line never refers to content that a power failure has lost.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt
import xxhash

from padim.errors import DamagedError
from padim.storage.atomic import naming, write_atomic

KEYS = "records.txt"
# Version of the files' layout; version 1 had no checksums.
FORMAT = 2
REMEDY = "give the same images again, or delete the working features; the saved model itself is not affected"
_SUM_BYTES = 8

_Signature = tuple[int, int, int]
# A SHA-256, two checksums and the separators.
LINE_BYTES = 64 + 32 + 16 + 3


@dataclass(frozen=True)
class RecordLine:
    """Line of a record in ``records.txt``.

    Attributes:
        key: SHA-256 of the record's image.
        checksums: hex XXH3-128 of the checksums of its blocks.
    """

    key: str
    checksums: str

    def text(self, row: int) -> str:
        """Return the line as written; its checksum includes the row, so that swapped lines are detected."""
        return f"{self.key} {self.checksums} {self._line_checksum(row)}\n"

    def _line_checksum(self, row: int) -> str:
        return xxhash.xxh3_64_hexdigest(f"{row} {self.key} {self.checksums}".encode())

    @classmethod
    def parse(cls, text: bytes, row: int) -> RecordLine | None:
        """Parse a line; return None if it does not match its checksum."""
        try:
            key, checksums, own = text.decode("ascii").split(" ")
        except ValueError:  # UnicodeDecodeError is one
            return None
        line = cls(key, checksums)
        return line if own == line._line_checksum(row) else None


class Records:
    """File of records with their keys, and a header that describes them.

    The keys (the images' SHA-256) identify the records, whatever happened since. The file is written with
    ordinary buffered writes and read in pieces: a memory map would count as resident memory.
    """

    def __init__(
        self,
        folder: Path,
        content: str,
        header_file: str,
        header: Mapping[str, Any],
        record_bytes: int,
        block_bytes: int | None = None,
    ) -> None:
        """Open the records in ``folder``; nothing is written before :meth:`start`.

        Args:
            folder: folder for these records only.
            content, header_file: names of the files in it.
            header: description as plain JSON; records with another header are not mixed with these.
            record_bytes: size of a record's content in bytes, without its checksums.
            block_bytes: bytes of content per checksum; default: a whole record.
        """
        self.folder = folder
        self._path = folder / content
        self._header_path = folder / header_file
        self._record = record_bytes
        self._block = block_bytes or record_bytes
        self._sums = -(-record_bytes // self._block)
        self._stride = record_bytes + self._sums * _SUM_BYTES
        sizes = {"format": FORMAT, "record_bytes": record_bytes, "block_bytes": self._block}
        self._wanted_header = sealed({**header, **sizes})
        self._read_lines: tuple[_Signature | None, list[RecordLine], int] = (None, [], 0)
        self._read_header: tuple[_Signature | None, object] = (None, None)
        self._tables: dict[int, npt.NDArray[np.uint64]] = {}

    @classmethod
    def stored_in(cls, folder: Path, content: str, header_file: str) -> Records:
        """Open the records in ``folder`` with the header stored there, to verify them.

        Raises:
            DamagedError: the header is damaged or of a version without checksums.
        """
        path = folder / header_file
        header = read_header(path)
        header.pop("xxh3")
        sizes = header.pop("record_bytes"), header.pop("block_bytes")
        return cls(folder, content, header_file, header, *sizes)

    def start(self) -> Self:
        """Prepare the files for writing, by a single writer; return self.

        Records of another extractor or another version of this program are replaced; a record cut short by a
        crash is dropped.
        """
        if not self.matches:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The folder itself stays: its creator may have locked it, so that no other process sweeps it.
            for path in self.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            self._path.write_bytes(b"")
            (self.folder / KEYS).write_bytes(b"")
            write_atomic(self._header_path, json.dumps(self._wanted_header).encode())
        elif len(self) * self._stride != self.nbytes or len(self) != self._count_lines():
            self.truncate(len(self))
        return self

    @property
    def matches(self) -> bool:
        """Whether the stored header equals the header given here."""
        return self._stored_header() == self._wanted_header

    def _stored_header(self) -> object:
        try:
            if not self._path.is_file() or not (self.folder / KEYS).is_file():
                return None
            signature = _signature(self._header_path)
            if self._read_header[0] != signature:
                self._read_header = signature, json.loads(self._header_path.read_bytes())
            return self._read_header[1]
        except (OSError, ValueError, RecursionError):
            return None

    @property
    def nbytes(self) -> int:
        """Size of the content file in bytes, with the checksums."""
        return self._path.stat().st_size if self._path.exists() else 0

    def keys(self) -> list[str]:
        """Return the records' keys, in order, up to a damaged line; empty if the header differs."""
        return [line.key for line in self._lines()] if self.matches else []

    def _lines(self) -> list[RecordLine]:
        """Return the lines up to the first damaged one; they are read again only if the file has changed."""
        path = self.folder / KEYS
        try:
            signature = _signature(path)
        except OSError:
            return []
        if self._read_lines[0] != signature:
            found: list[RecordLine] = []
            nbytes = 0
            for row, text in enumerate(path.read_bytes().split(b"\n")[:-1]):
                line = RecordLine.parse(text, row)
                if line is None:
                    break
                found.append(line)
                nbytes += len(text) + 1
            self._tables = {}
            self._read_lines = signature, found, nbytes
        return self._read_lines[1]

    def _count_lines(self) -> int:
        try:
            return len((self.folder / KEYS).read_bytes().splitlines())
        except OSError:
            return 0

    def __len__(self) -> int:
        return min(self.nbytes // self._stride, len(self._lines()) if self.matches else 0)

    def holds(self, keys: Sequence[str]) -> bool:
        """Return whether the first records have exactly these keys."""
        return len(self) >= len(keys) and self.keys()[: len(keys)] == list(keys)

    # --- writing -----------------------------------------------------------------------------------

    def _append(self, records: Iterable[memoryview], keys: Sequence[str]) -> None:
        """Append records, given as bytes, and then their keys."""
        held = self._lines()
        added: list[RecordLine] = []
        nbytes = self._read_lines[2]
        # If there is a damaged line, the lines after it are unknown: all are read again then.
        up_to_date = (self.folder / KEYS).stat().st_size == nbytes
        with naming(self._path), self._path.open("ab") as file:
            for record, key in zip(records, keys, strict=True):
                table = self._checksums(record)
                file.write(record)
                file.write(table)
                added.append(RecordLine(key, xxhash.xxh3_128_hexdigest(table)))
            file.flush()
            os.fsync(file.fileno())
        keys_path = self.folder / KEYS
        with naming(keys_path), keys_path.open("a", encoding="ascii", newline="") as text:
            lines = [line.text(row) for row, line in enumerate(added, start=len(held))]
            text.writelines(lines)
            text.flush()
            os.fsync(text.fileno())
        if up_to_date:
            # Updated in memory, so that the lines are not read again after every batch.
            self._read_lines = _signature(keys_path), held + added, nbytes + sum(map(len, lines))

    def _checksums(self, record: memoryview) -> bytes:
        content = record.cast("B")
        starts = range(0, self._record, self._block)
        sums = [xxhash.xxh3_64_intdigest(content[start : start + self._block]) for start in starts]
        return np.array(sums, "<u8").tobytes()

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` records."""
        lines = self._lines()[:count]
        text = "".join(line.text(row) for row, line in enumerate(lines))
        # The lines first: content without a line is not a record.
        write_atomic(self.folder / KEYS, text.encode("ascii"))
        with self._path.open("r+b") as file:
            file.truncate(len(lines) * self._stride)

    def delete(self) -> None:
        """Delete the folder with all its files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- reading -----------------------------------------------------------------------------------

    def _open(self) -> BinaryIO:
        return self._path.open("rb", buffering=0)

    def _content(
        self, file: BinaryIO, row: int, first: int = 0, last: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """Read and check the content of some blocks of a record.

        Args:
            file: the content file, from :meth:`_open`.
            row: index of the record.
            first, last: blocks ``first`` to ``last - 1``; default: all.

        Raises:
            IndexError: there is no such record.
            DamagedError: the content does not match its checksum.
        """
        last = self._sums if last is None else last
        lines = self._lines()
        if row >= len(lines):
            raise IndexError(f"{self._path}: {len(lines)} records are held, not {row + 1}")
        table = self._table(file, row, lines[row])
        start, stop = first * self._block, min(last * self._block, self._record)
        file.seek(row * self._stride + start)
        content = np.fromfile(file, np.uint8, stop - start)
        if len(content) != stop - start:
            raise self._damaged(row, "is cut short")
        view = content.data
        for number, checksum in enumerate(table[first:last].tolist()):
            begin = number * self._block
            if xxhash.xxh3_64_intdigest(view[begin : begin + self._block]) != checksum:
                raise self._damaged(row, "does not match its checksum")
        return content

    def _table(self, file: BinaryIO, row: int, line: RecordLine) -> npt.NDArray[np.uint64]:
        """Return the checksums of a record's blocks, which are themselves checked at the first access."""
        table = self._tables.get(row)
        if table is None:
            file.seek(row * self._stride + self._record)
            content = file.read(self._sums * _SUM_BYTES)
            if xxhash.xxh3_128_hexdigest(content) != line.checksums:
                raise self._damaged(row, "does not match its checksum")
            table = np.frombuffer(content, "<u8")
            self._tables[row] = table
        return table

    def _damaged(self, row: int, what: str) -> DamagedError:
        return DamagedError(self._path, f"the record of normal {row + 1} {what}", REMEDY, row)

    def count_intact(self) -> int:
        """Return how many records, from the first on, match their checksums; reads all of them."""
        for row in range(len(self)):
            try:
                with self._open() as file:
                    self._content(file, row)
            except DamagedError:
                return row
        return len(self)

    def problem(self) -> DamagedError | None:
        """Return an error if some records are not usable, as far as is known without reading them.

        It is None if all are usable, or if there are no records.
        """
        if not self.folder.is_dir():
            return None
        try:
            read_header(self._header_path)
        except DamagedError as error:
            return error
        lines, held = self._lines(), self.nbytes // self._stride
        if len(lines) != self._count_lines():
            return DamagedError(self.folder / KEYS, f"line {len(lines) + 1} is damaged", REMEDY)
        if held > len(lines):
            return DamagedError(self.folder / KEYS, f"names {len(lines)} of {held} records", REMEDY)
        return self._damaged(held, "is cut short") if held < len(lines) else None

    def damages(self) -> Iterator[DamagedError]:
        """Yield an error for everything that is damaged; reads all records."""
        if (problem := self.problem()) is not None:
            yield problem
        for row in range(len(self)):
            try:
                with self._open() as file:
                    self._content(file, row)
            except DamagedError as error:
                yield error


def _signature(path: Path) -> _Signature:
    """Return a value that changes when the file is written or replaced; raise OSError if it is missing."""
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def sealed(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header with the XXH3-128 of its content added as ``xxh3``."""
    plain = {key: value for key, value in header.items() if key != "xxh3"}
    text = json.dumps(plain, sort_keys=True)
    return {**plain, "xxh3": xxhash.xxh3_128_hexdigest(text.encode())}


def read_header(path: Path) -> dict[str, Any]:
    """Read and check a header that was sealed with :func:`sealed`.

    Raises:
        DamagedError: the header is missing, damaged, or of a version without checksums.
    """
    try:
        header = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(path, f"is missing or damaged ({error})", REMEDY) from error
    if not isinstance(header, dict) or header.get("xxh3") != sealed(header)["xxh3"]:
        if isinstance(header, dict) and not {"xxh3", "format"} & header.keys():
            raise DamagedError(
                path, "was written by an earlier version of this program, without checksums", REMEDY
            )
        raise DamagedError(path, "is damaged", REMEDY)
    return header

"""Append-only files of equal records, each with a key and checksums: what a fit keeps of every normal image.

On disk a record is its content, followed by the XXH3-64 of every block of that content. The line of the
record in ``records.txt`` holds its key, the XXH3-128 of those checksums, and the XXH3-64 of the line itself.
The content is flushed to the disk before its line is written. So a reader of a few blocks notices any damage
to them without reading the rest, and a line never promises what a power cut has lost.
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
# Of the files' layout; 1 had no checksums.
FORMAT = 2
REMEDY = "give the same images again, or delete the working features; the saved model itself is not affected"
_SUM_BYTES = 8

_Signature = tuple[int, int, int]
# A SHA-256, two checksums and what separates them.
LINE_BYTES = 64 + 32 + 16 + 3


@dataclass(frozen=True)
class RecordLine:
    """A record's line in ``records.txt``.

    Attributes:
        key: whose record it is.
        checksums: XXH3-128 of the checksums of its blocks, hex.
    """

    key: str
    checksums: str

    def text(self, row: int) -> str:
        """As it is written; the row takes part, so that lines cannot change places."""
        return f"{self.key} {self.checksums} {self._own(row)}\n"

    def _own(self, row: int) -> str:
        return xxhash.xxh3_64_hexdigest(f"{row} {self.key} {self.checksums}".encode())

    @classmethod
    def parse(cls, text: bytes, row: int) -> RecordLine | None:
        """None for a line that is not what was written."""
        try:
            key, checksums, own = text.decode("ascii").split(" ")
        except ValueError:  # UnicodeDecodeError is one
            return None
        line = cls(key, checksums)
        return line if own == line._own(row) else None


class Records:
    """The file, its keys and a header that says what it is of.

    The keys (the images' SHA-256) tell whose records these are, whatever happened since. Written with
    ordinary buffered writes and read piece by piece: a memory map would count as resident.
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
        """A view of what is in ``folder``; nothing is written before :meth:`start`.

        Args:
            folder: for these records alone.
            content, header_file: names of the files in it.
            header: as plain JSON; records of another header do not mix with these.
            record_bytes: size of one, without its checksums.
            block_bytes: content that shares a checksum; default: a whole record.
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
        """The records that lie in ``folder``, whatever they are of, to be verified.

        Raises:
            DamagedError: the header is damaged, or of a version without checksums.
        """
        path = folder / header_file
        header = read_header(path)
        header.pop("xxh3")
        sizes = header.pop("record_bytes"), header.pop("block_bytes")
        return cls(folder, content, header_file, header, *sizes)

    def start(self) -> Self:
        """Make it ready to be written to, by the only one who does.

        What another extractor or another version of this program has left there is replaced; a record cut
        short by a crash is dropped.
        """
        if not self.matches:
            self.folder.mkdir(parents=True, exist_ok=True)
            # The folder itself stays: its maker may hold it, so that no other process sweeps it.
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
        """Whether what lies there is of this very kind."""
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
        """Size on disk in bytes, with the checksums."""
        return self._path.stat().st_size if self._path.exists() else 0

    def keys(self) -> list[str]:
        """The key of every record, in order, up to a damaged line; none of records of another kind."""
        return [line.key for line in self._lines()] if self.matches else []

    def _lines(self) -> list[RecordLine]:
        """The lines up to the first that is damaged; read again only when the file has changed."""
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
        """Whether the first records are just those."""
        return len(self) >= len(keys) and self.keys()[: len(keys)] == list(keys)

    # --- writing -----------------------------------------------------------------------------------

    def _append(self, records: Iterable[memoryview], keys: Sequence[str]) -> None:
        """Add records, each as its bytes, and then their keys."""
        held = self._lines()
        added: list[RecordLine] = []
        nbytes = self._read_lines[2]
        # Behind a damaged line nothing is known: all is read again then.
        whole = (self.folder / KEYS).stat().st_size == nbytes
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
        if whole:
            # Known without reading all lines again, batch after batch.
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
        # The lines first: what they do not name is no record.
        write_atomic(self.folder / KEYS, text.encode("ascii"))
        with self._path.open("r+b") as file:
            file.truncate(len(lines) * self._stride)

    def delete(self) -> None:
        """Remove the files; what is derived from them stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- reading -----------------------------------------------------------------------------------

    def _open(self) -> BinaryIO:
        return self._path.open("rb", buffering=0)

    def _content(
        self, file: BinaryIO, row: int, first: int = 0, last: int | None = None
    ) -> npt.NDArray[np.uint8]:
        """The content of some blocks of a record, checked.

        Args:
            file: as :meth:`_open` gives it.
            row: which record.
            first, last: blocks ``first`` to ``last - 1``; default: all.

        Raises:
            IndexError: there is no such record.
            DamagedError: it is not what was written.
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
        """The checksums of a record's blocks, themselves checked the first time."""
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

    def whole(self) -> int:
        """How many records from the first on are as they were written; reads all of them."""
        for row in range(len(self)):
            try:
                with self._open() as file:
                    self._content(file, row)
            except DamagedError:
                return row
        return len(self)

    def problem(self) -> DamagedError | None:
        """Why the records are not all usable, as far as can be told without reading them.

        None where no records are kept.
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
        """Everything that is damaged; reads all records."""
        if (problem := self.problem()) is not None:
            yield problem
        for row in range(len(self)):
            try:
                with self._open() as file:
                    self._content(file, row)
            except DamagedError as error:
                yield error


def _signature(path: Path) -> _Signature:
    """Changes whenever the file is written or replaced; OSError where there is none."""
    about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def sealed(header: Mapping[str, Any]) -> dict[str, Any]:
    """A header with the XXH3-128 of all that it says."""
    plain = {key: value for key, value in header.items() if key != "xxh3"}
    text = json.dumps(plain, sort_keys=True)
    return {**plain, "xxh3": xxhash.xxh3_128_hexdigest(text.encode())}


def read_header(path: Path) -> dict[str, Any]:
    """A header that :func:`sealed` has sealed, checked.

    Raises:
        DamagedError: missing, damaged, or of a version without checksums.
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

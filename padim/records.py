"""Records: an append-only file of equal pieces, each with a key; what a fit keeps of every normal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from padim.files import write_atomic

_KEYS = "records.txt"


class Records:
    """The file, its keys and a header that says what it is of.

    The keys (the pictures' SHA-256) tell whose records these are, whatever happened since. Written with
    ordinary buffered writes and read piece by piece: a memory map would count as resident.
    """

    def __init__(
        self, folder: Path, content: str, header_file: str, header: Mapping[str, Any], record_bytes: int
    ) -> None:
        """A view of what is in ``folder``; nothing is written before :meth:`start`.

        Args:
            folder: for these records alone.
            content, header_file: names of the files in it.
            header: as plain JSON; records of another header do not mix with these.
            record_bytes: size of one.
        """
        self.folder = folder
        self._path = folder / content
        self._header_path = folder / header_file
        self._wanted_header = dict(header)
        self._record = record_bytes

    def start(self) -> Self:
        """Make it ready to be written to, by the only one who does.

        What another extractor or another version of this program has left there is replaced; a record cut
        short by a crash is dropped.
        """
        if not self.matches:
            self.delete()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(b"")
            (self.folder / _KEYS).write_text("", encoding="ascii")
            write_atomic(self._header_path, json.dumps(self._wanted_header).encode())
        elif len(self.keys()) * self._record != self.nbytes:
            self.truncate(len(self))
        return self

    @property
    def matches(self) -> bool:
        """Whether what lies there is of this very kind."""
        return self._stored_header() == self._wanted_header

    def _stored_header(self) -> object:
        try:
            if not self._path.is_file() or not (self.folder / _KEYS).is_file():
                return None
            return json.loads(self._header_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    @property
    def nbytes(self) -> int:
        """Size on disk in bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def keys(self) -> list[str]:
        """The key of every record, in order; none of records of another kind."""
        if not self.matches:
            return []
        return (self.folder / _KEYS).read_text(encoding="ascii").splitlines()

    def __len__(self) -> int:
        return min(self.nbytes // self._record, len(self.keys()))

    def holds(self, keys: Sequence[str]) -> bool:
        """Whether the first records are just those."""
        return len(self) >= len(keys) and self.keys()[: len(keys)] == list(keys)

    def _append(self, pieces: Iterable[Any], keys: Sequence[str]) -> None:
        """Add records, as what a binary file can write, and then their keys."""
        with self._path.open("ab") as file:
            for piece in pieces:
                file.write(piece)
        with (self.folder / _KEYS).open("a", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in keys)

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` records."""
        keys = self.keys()[:count]
        with self._path.open("r+b") as file:
            file.truncate(count * self._record)
        write_atomic(self.folder / _KEYS, "".join(f"{key}\n" for key in keys).encode("ascii"))

    def delete(self) -> None:
        """Remove the files; what is derived from them stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

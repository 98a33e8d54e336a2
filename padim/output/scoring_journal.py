"""A journal of the rows of a running scoring, so that no result is lost if the program is stopped.

``results.partial.jsonl`` has one JSON document per line: first the settings of the scoring, then one row per
image. Lines are only appended, each is passed to the operating system before the next image's, and the file
is synced to disk at least once a second; an incomplete last line is dropped. The file is removed once
results.csv and results.json have been written from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from padim.errors import PadimError
from padim.storage.atomic import naming, sync_folder, write_atomic

NAME = "results.partial.jsonl"
_FORMAT = "padim-scoring"
# Seconds between two syncs to disk.
_FLUSHED_EVERY = 1.0


class Journal:
    """The open journal of one scoring.

    Attributes:
        path: the journal's file.
        rows: SHA-256 and byte offset of each image's row, by name.
    """

    def __init__(self, folder: Path, rows: dict[str, tuple[str, int]], end: int) -> None:
        """Open an existing journal for appending; use :meth:`begin` or :meth:`resume` instead."""
        self.path = folder / NAME
        self.rows = rows
        with naming(self.path):
            self._file = self.path.open("r+b")
            self._file.truncate(end)
            self._file.seek(end)
        self._flushed = time.monotonic()

    @classmethod
    def begin(
        cls, folder: Path, begun_with: Mapping[str, Any], rows: Iterable[Mapping[str, Any]] = ()
    ) -> Self:
        """Create a journal, in place of an existing one.

        Args:
            folder: the folder of the results.
            begun_with: the settings on which rows depend, as plain JSON.
            rows: rows of an earlier scoring with the same settings, to reuse.
        """
        head = {"format": _FORMAT, "begun_with": dict(begun_with)}
        write_atomic(folder / NAME, b"".join(map(_encoded, (head, *rows))))
        return cls(folder, *_read(folder)[1:])

    @classmethod
    def resume(cls, folder: Path, begun_with: Mapping[str, Any]) -> Self:
        """Open the journal of a scoring that was stopped.

        Raises:
            PadimError: there is none, or the scoring had other settings; the message names them.
        """
        known, rows, end = _read(folder)
        if known is None:
            raise PadimError(f"{folder}: holds no scoring that was stopped; score without --resume")
        for name, now in begun_with.items():
            if known.get(name) != now:
                raise PadimError(
                    f"{folder}: the scoring there was started with {name} {known.get(name)}, not {now}; "
                    "use that value, or start again with --force"
                )
        return cls(folder, rows, end)

    def add(self, row: Mapping[str, Any]) -> int:
        """Append a row, and return its byte offset.

        Raises:
            OSError: the row cannot be written, for example on a full disk; the error names the file.
        """
        with naming(self.path):
            place = self._file.tell()
            self._file.write(_encoded(row))
            self._file.flush()
            if time.monotonic() - self._flushed > _FLUSHED_EVERY:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()
        return place

    def row(self, place: int) -> dict[str, Any]:
        """Return the row at a byte offset."""
        end = self._file.tell()
        self._file.seek(place)
        row = json.loads(self._file.readline())
        self._file.seek(end)
        return dict(row)

    def remove(self) -> None:
        """Remove the journal's file, once the results are complete."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()


def begun_with(folder: Path) -> dict[str, Any] | None:
    """Return the settings of a stopped scoring in ``folder``; None if there is none."""
    return _read(folder)[0]


def rows_kept(folder: Path) -> int:
    """Return the number of images whose rows a stopped scoring in ``folder`` has kept."""
    return len(_read(folder)[1])


def _read(folder: Path) -> tuple[dict[str, Any] | None, dict[str, tuple[str, int]], int]:
    """Return a journal's settings, each image's hash and offset by name, and the end of the complete lines.

    The settings are None, and the others empty, if there is no valid journal.
    """
    rows: dict[str, tuple[str, int]] = {}
    try:
        with (folder / NAME).open("rb") as file:
            head = _line(file.readline())
            if head is None or head.get("format") != _FORMAT or not isinstance(head.get("begun_with"), dict):
                return None, {}, 0
            end = file.tell()
            while (row := _line(file.readline())) is not None:
                name, digest = row.get("name"), row.get("sha256")
                if isinstance(name, str) and isinstance(digest, str) and not row.get("error"):
                    rows[name] = digest, end
                end = file.tell()
    except OSError:
        return None, {}, 0
    return head["begun_with"], rows, end


def _encoded(document: Mapping[str, Any]) -> bytes:
    """Encode a document as one line; undecodable bytes of file names become JSON escapes."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _line(line: bytes) -> dict[str, Any] | None:
    """Decode the document of a line; None for an empty or incomplete line."""
    if not line.endswith(b"\n"):
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None

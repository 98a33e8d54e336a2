"""The rows of a scoring under way, on disk as they come: what is judged is kept whatever stops the program.

``results.partial.jsonl`` has one JSON document a line: first what the scoring was begun with, then a row an
image. Lines are only ever added, each is handed to the system before the next image's, and the file is
flushed to the disk at least once a second; a last line that was cut short is dropped. The file goes once
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
# Seconds between two flushes to the disk.
_FLUSHED_EVERY = 1.0


class Journal:
    """The open journal of one scoring."""

    def __init__(self, folder: Path, rows: dict[str, tuple[str, int]], end: int) -> None:
        """Open a journal that is there, to add to; :meth:`begin` and :meth:`go_on` say what is in it."""
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
        """Start one, in place of any former one.

        Args:
            folder: of the results.
            begun_with: what the rows depend on, as plain JSON.
            rows: of an earlier scoring with the same.
        """
        head = {"format": _FORMAT, "begun_with": dict(begun_with)}
        write_atomic(folder / NAME, b"".join(map(_encoded, (head, *rows))))
        return cls(folder, *_read(folder)[1:])

    @classmethod
    def go_on(cls, folder: Path, begun_with: Mapping[str, Any]) -> Self:
        """Open the journal of a scoring that was stopped.

        Raises:
            PadimError: there is none, or it was begun with something else; says with what.
        """
        known, rows, end = _read(folder)
        if known is None:
            raise PadimError(f"{folder}: holds no scoring that was stopped")
        for name, now in begun_with.items():
            if known.get(name) != now:
                raise PadimError(
                    f"{folder}: the scoring there was begun with {name} {known.get(name)}, not {now}; "
                    "use that, or start afresh with --force"
                )
        return cls(folder, rows, end)

    def add(self, row: Mapping[str, Any]) -> int:
        """Keep a row; returns where it stands.

        Raises:
            OSError: the disk is full, say; names the file.
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
        """The row that stands there."""
        end = self._file.tell()
        self._file.seek(place)
        row = json.loads(self._file.readline())
        self._file.seek(end)
        return dict(row)

    def remove(self) -> None:
        """The results are complete: the journal goes."""
        self.path.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()


def begun_with(folder: Path) -> dict[str, Any] | None:
    """What a scoring in ``folder`` that was stopped was begun with; None where there is none."""
    return _read(folder)[0]


def rows_kept(folder: Path) -> int:
    """How many images' rows a scoring that was stopped has kept."""
    return len(_read(folder)[1])


def _read(folder: Path) -> tuple[dict[str, Any] | None, dict[str, tuple[str, int]], int]:
    """What it was begun with, each image's hash and place by name, and where the whole lines end."""
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
    """One line. A name on disk need not be text: what cannot be encoded becomes JSON's own escape for it."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def _line(line: bytes) -> dict[str, Any] | None:
    """A whole line's document; None at the end, or where a line was cut short."""
    if not line.endswith(b"\n"):
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None

"""Write inspections to CSV files in a folder that another program reads: a file a day, or one for each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from padim.output.csv_form import CsvForm
from padim.output.results import csv_line
from padim.records.sink_settings import CsvDropSettings
from padim.service.sinks.base import SinkAwayError
from padim.storage.atomic import explain_os_error, write_atomic

if TYPE_CHECKING:
    from padim.records.outbox import OutboxMessage

__all__ = ["CSV_DROP_COLUMNS", "CsvDropSink"]

CSV_DROP_COLUMNS = (
    *("message_id", "id", "inspected", "name", "verdict", "score", "threshold", "reasons", "regions"),
    *("part_number", "serial", "lot", "station", "shift", "source", "who"),
    *("model_id", "model_name", "version", "width", "height", "sha256"),
)
# The end of a file in which a line that was written just before a crash must be.
_TAIL = 256 * 1024
_END = b"\r\n"
# The byte order mark, by which spreadsheets read umlauts.
_MARK = b"\xef\xbb\xbf"


class CsvDropSink:
    """A folder with CSV files; alarms and test messages go to files ``PREFIX-alarms.csv`` and
    ``PREFIX-tests.csv``.

    A line is in the file whole or not at all: half of one, left by a computer that lost its power, is cut off
    before the next. A message that comes again is not written again.
    """

    def __init__(self, settings: CsvDropSettings, root: Path, *, testing: bool = False) -> None:
        self._settings = settings
        self._folder = Path(settings.folder)

    def open(self) -> None:
        """Look whether the folder is there."""
        if problem := self.health():
            raise SinkAwayError(problem)

    def send(self, message: OutboxMessage) -> None:
        """Write a message, on the disk before it returns."""
        # A share that is gone leaves its mount point: an empty folder that can be written must not be made.
        self.open()
        try:
            if message.kind == "inspection" and self._settings.per == "inspection":
                self._write_one(message)
            else:
                self._append(message)
        except OSError as error:
            raise SinkAwayError(str(explain_os_error(error, self._folder))) from error

    def health(self) -> str:
        """Return why the folder cannot be used; empty if it can."""
        if self._folder.is_dir():
            return ""
        return f"{self._folder}: there is no such folder; make it, or connect the share that has it"

    def close(self) -> None:
        """Do nothing: files are closed after each message."""

    def _write_one(self, message: OutboxMessage) -> None:
        inspected = _inspected(message)
        name = f"{self._settings.prefix}-{inspected:%Y%m%dT%H%M%S}-{message.uid}.csv"
        form = self._settings.form
        content = _MARK + _line(CSV_DROP_COLUMNS, form) + _line(_cells(message), form)
        write_atomic(self._folder / name, content, make_folder=False)

    def _append(self, message: OutboxMessage) -> None:
        prefix, form = self._settings.prefix, self._settings.form
        cells: list[object]
        if message.kind == "inspection":
            path = self._folder / f"{prefix}-{_inspected(message):%Y-%m-%d}.csv"
            columns: Sequence[str] = CSV_DROP_COLUMNS
            cells = _cells(message)
        else:
            path = self._folder / f"{prefix}-{message.kind}s.csv"
            columns = ("message_id", "created", "subject", "text")
            subject = message.payload.get("subject", message.kind)
            cells = [message.uid, message.created.isoformat(), subject, message.payload["text"]]
        if not path.exists():
            write_atomic(path, _MARK + _line(columns, form), make_folder=False)
        with path.open("r+b") as file:
            _cut_half_line(file)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _TAIL))
            if message.uid.encode() in file.read():
                return
            file.seek(end)
            file.write(_line(cells, form))
            file.flush()
            os.fsync(file.fileno())


def _cut_half_line(file: IO[bytes]) -> None:
    """Remove what follows the last complete line."""
    end = file.seek(0, os.SEEK_END)
    start = max(0, end - _TAIL)
    file.seek(start)
    tail = file.read()
    if not tail.endswith(_END):
        file.truncate(start + tail.rfind(_END) + len(_END))


def _inspected(message: OutboxMessage) -> datetime:
    return datetime.fromisoformat(message.payload["inspected"]).astimezone(UTC)


def _cells(message: OutboxMessage) -> list[object]:
    document = {**message.payload, "message_id": message.uid}
    document["reasons"] = "; ".join(document["reasons"])
    document["regions"] = len(document["regions"])
    return [document[name] for name in CSV_DROP_COLUMNS]


def _line(cells: Sequence[object], form: CsvForm) -> bytes:
    # One message is one line, whatever names people have given.
    plain = [" ".join(cell.splitlines()) if isinstance(cell, str) else cell for cell in cells]
    return csv_line(plain, form).encode()

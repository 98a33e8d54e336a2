"""What archives of exported inspections have in common: unique names, what is missing, cancelling."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from padim.data.formats import IMAGE_SUFFIXES
from padim.errors import Cancelled
from padim.output.file_names import flat_name
from padim.output.results import csv_line
from padim.records.inspection import Inspection

__all__ = ["ExportAccount", "counted", "file_name", "write_missing"]

T = TypeVar("T")
RecordProgress = Callable[[int, int], None]


@dataclass
class ExportAccount:
    """What became of the inspections of an export.

    Attributes:
        written: number of inspections that are in the files.
        missing: (record, image, what is missing and why) of each thing that is not.
    """

    written: int = 0
    missing: list[tuple[int, str, str]] = field(default_factory=list)

    def lacks(self, one: Inspection, why: str) -> None:
        """Note something that the export lacks of an inspection."""
        self.missing.append((one.id, one.name, why))


def counted(
    items: Iterable[T], total: int, progress: RecordProgress | None, cancel: Callable[[], bool] | None
) -> Iterator[T]:
    """Yield the items, reporting each; raise Cancelled as soon as ``cancel`` says so."""
    for done, item in enumerate(items):
        if cancel is not None and cancel():
            raise Cancelled
        if progress is not None:
            progress(done, total)
        yield item


def file_name(one: Inspection, used: set[str], suffix: str | None = None) -> str:
    """Return an unused portable name for a file of an inspection; its image's own ending by default."""
    own = PurePosixPath(one.name).suffix.lower()
    return flat_name(one.name, suffix or (own if own in IMAGE_SUFFIXES else ".png"), used)


def write_missing(archive: zipfile.ZipFile, account: ExportAccount) -> None:
    """Write the list of what is missing; no file if nothing is."""
    if not account.missing:
        return
    lines = [csv_line(("record", "image", "missing")), *map(csv_line, account.missing)]
    archive.writestr("missing.csv", "".join(lines).encode("utf-8-sig", "replace"))

"""What a watch has inspected and could not store, because a disk is full or the database is away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from padim.service.watch_folder import FoundFile
from padim.service.watch_state import FileMark, WatchedFileRow

if TYPE_CHECKING:
    from padim.service.inspecting_models import InspectingModel
    from padim.service.inspector import InspectionResult

__all__ = ["InspectedFile", "ReadFile", "UnsavedResults"]

_MOST, _MOST_BYTES = 64, 64 * 2**20


@dataclass(frozen=True, eq=False)
class ReadFile:
    """A file that was read whole: where it is, its bytes, and its row."""

    found: FoundFile
    content: bytes
    row: WatchedFileRow


@dataclass(frozen=True, eq=False)
class InspectedFile:
    """A file with its result and the model that inspected it."""

    file: ReadFile
    result: InspectionResult
    using: InspectingModel


class UnsavedResults:
    """Results that are tried again until they are stored; their number in memory is limited.

    Attributes:
        held: results whose record or files are missing.
        rows: rows of files that are done, which the state file does not have.
        parked: files that were inspected beyond what can be held: they are inspected again, under the same
            identity, when results can be stored.
    """

    def __init__(self) -> None:
        self.held: list[InspectedFile] = []
        self.rows: dict[tuple[str, str], WatchedFileRow] = {}
        self.parked: dict[str, FileMark] = {}

    def __len__(self) -> int:
        return len(self.held) + len(self.rows) + len(self.parked)

    @property
    def not_on_record(self) -> int:
        """Number of images that were inspected and are not on record, or of a model that records nothing."""
        return sum(one.result.record_id is None for one in self.held) + len(self.parked)

    def hold(self, one: InspectedFile) -> bool:
        """Keep a result for later; return False if there is no room."""
        size = sum(len(other.file.content) for other in self.held) + len(one.file.content)
        if self.held and (len(self.held) >= _MOST or size > _MOST_BYTES):
            return False
        self.held.append(one)
        return True

    def park(self, found: FoundFile) -> None:
        """Remember that a file was inspected, and nothing else of it."""
        self.parked[found.path] = found.mark

    def without(self, images: Iterable[FoundFile]) -> list[FoundFile]:
        """Return the files that are neither held nor parked nor done."""
        kept = {(one.file.found.path, one.file.found.mark) for one in self.held}
        kept |= {(row.path, row.mark) for row in self.rows.values()}
        kept |= set(self.parked.items())
        return [one for one in images if (one.path, one.mark) not in kept]

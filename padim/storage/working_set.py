"""Taken: what is kept of the normals, on disk, while a model is worked on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from padim.data.loading import Prepared
from padim.errors import DamagedError
from padim.storage.feature_store import Spool
from padim.storage.image_store import Pictures
from padim.storage.normals import Normal
from padim.storage.thumbnails import Thumbnails

# Their names in a model's working folder.
WORK = ("spool", "pictures", "thumbnails.bin", "thumbnails.txt")
# Records that are copied at a time: the disk is waited for once each.
_AT_ONCE = 16


@dataclass(frozen=True)
class Taken:
    """Embeddings, small pictures and, where the method needs them, the pictures themselves.

    Attributes:
        spool: their embeddings.
        thumbnails: small pictures for the eye.
        pictures: at input size, where the method learns from them; else None.
    """

    folder: Path
    spool: Spool
    thumbnails: Thumbnails
    pictures: Pictures | None

    def start(self) -> Self:
        """Make the files ready to be written to."""
        self.spool.start()
        if self.pictures is not None:
            self.pictures.start()
        return self

    def append(self, batch: Sequence[Prepared], embeddings: npt.NDArray[np.float32]) -> None:
        """Add a batch; thumbnails are added by who makes the records."""
        keys = [item.sha256 for item in batch]
        if self.pictures is not None:
            self.pictures.append(np.stack([item.rgb for item in batch]), keys)
        self.spool.append(embeddings, keys)

    def copy(self, other: Taken, rows: Sequence[int], keys: Sequence[str]) -> None:
        """Add some that another folder holds."""
        if self.pictures is not None and other.pictures is not None:
            for start in range(0, len(rows), _AT_ONCE):
                some = slice(start, start + _AT_ONCE)
                self.pictures.append(other.pictures.read(rows[some]), keys[some])
        copy_features(other.spool, np.arange(other.spool.channels), rows, keys, self.spool)

    def holds(self, keys: Sequence[str]) -> bool:
        """Whether the first records are of just these pictures."""
        return self.spool.holds(keys) and (self.pictures is None or self.pictures.holds(keys))

    def keys(self) -> list[str]:
        """The pictures of which all is there."""
        keys = self.spool.keys()[: len(self.spool)]
        return keys if self.pictures is None else keys[: len(self.pictures)]

    def whole(self) -> int:
        """How many pictures from the first on are there as they were written; reads all there is."""
        counts = [records.whole() for records in (self.spool, self.pictures) if records is not None]
        return min(counts)

    def problem(self) -> DamagedError | None:
        """What is wrong with the files, as far as can be told without reading the records."""
        found = (records.problem() for records in (self.spool, self.pictures) if records is not None)
        return next((problem for problem in found if problem is not None), None)

    def truncate(self, count: int) -> None:
        """Keep the first ``count``; thumbnails are left as they are."""
        self.spool.truncate(count)
        if self.pictures is not None:
            self.pictures.truncate(count)


def copy_features(
    source: Spool, channels: npt.NDArray[np.int64], rows: Sequence[int], keys: Sequence[str], target: Spool
) -> None:
    """Append some records of a spool, reduced to the chosen channels, to another."""
    for start in range(0, len(rows), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        records = source.read(rows[some], channels)
        target.append(np.ascontiguousarray(records.transpose(0, 2, 1)), keys[some])


@contextmanager
def naming_damage(normals: Sequence[Normal]) -> Iterator[None]:
    """Let the error of a damaged record say which picture it is of."""
    try:
        yield
    except DamagedError as error:
        if error.row is None or error.row >= len(normals):
            raise
        raise error.of(normals[error.row].name) from error

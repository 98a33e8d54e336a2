"""Taken: what is kept of the normals, on disk, while a model is worked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from padim.normals import Thumbnails
from padim.pictures import Pictures
from padim.pipeline import Prepared
from padim.spool import Spool

# Their names in a model's working folder.
WORK = ("spool", "pictures", "thumbnails.bin")


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

    def copy(self, other: Taken, row: int, key: str) -> None:
        """Add one that another folder holds."""
        record = other.spool.read([row], np.arange(other.spool.channels))
        if self.pictures is not None and other.pictures is not None:
            self.pictures.append(other.pictures.read([row]), [key])
        self.spool.append(np.ascontiguousarray(record.transpose(0, 2, 1)), [key])

    def holds(self, keys: Sequence[str]) -> bool:
        """Whether the first records are of just these pictures."""
        return self.spool.holds(keys) and (self.pictures is None or self.pictures.holds(keys))

    def keys(self) -> list[str]:
        """The pictures of which all is there."""
        keys = self.spool.keys()[: len(self.spool)]
        return keys if self.pictures is None else keys[: len(self.pictures)]

    def truncate(self, count: int, thumbnail_bytes: int) -> None:
        """Keep the first ``count``."""
        self.spool.truncate(count)
        if self.pictures is not None:
            self.pictures.truncate(count)
        self.thumbnails.truncate(thumbnail_bytes)

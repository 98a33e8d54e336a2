"""Spool: the normals' embeddings on disk, all channels, while a model is being worked on.

With it, held-out scores, exclusion, undo and another channel draw never run the network again. It is
written with ordinary buffered writes and read in windows: a memory map of it would count as resident.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from padim.files import write_atomic

_FEATURES = "features.f32"
_KEYS = "records.txt"
_HEADER = "spool.json"


class Spool:
    """An append-only file of float32 records ``(positions, channels)``, one per normal, each with a key.

    Position by position, because that is how they are learnt from: a block of them is one piece of a record.

    The keys (the pictures' SHA-256) tell whose embeddings these are, whatever happened since.

    Attributes:
        identity: of the extractor that made the embeddings; others do not mix with it.
        channels: of all layers together.
        positions: grid positions, p.
    """

    def __init__(self, folder: Path, identity: str, channels: int, positions: int) -> None:
        """A view of the spool in ``folder``; nothing is written before :meth:`start`."""
        self.folder = folder
        self.identity = identity
        self.channels = channels
        self.positions = positions
        self._record = channels * positions * 4
        self._wanted_header = {
            "identity": identity,
            "channels": channels,
            "positions": positions,
            "order": "position, channel",
        }

    def start(self) -> Self:
        """Make it ready to be written to, by the only one who does.

        What another extractor or another version of this program has left there is replaced; a record cut
        short by a crash is dropped.
        """
        if not self.matches:
            self.delete()
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _FEATURES).write_bytes(b"")
            (self.folder / _KEYS).write_text("", encoding="ascii")
            write_atomic(self.folder / _HEADER, json.dumps(self._wanted_header).encode())
        elif len(self.keys()) * self._record != self.nbytes:
            self.truncate(len(self))
        return self

    @property
    def matches(self) -> bool:
        """Whether what lies there is of this very kind."""
        return self._stored_header() == self._wanted_header

    def _stored_header(self) -> object:
        try:
            if not (self.folder / _FEATURES).is_file() or not (self.folder / _KEYS).is_file():
                return None
            return json.loads((self.folder / _HEADER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    @property
    def _path(self) -> Path:
        return self.folder / _FEATURES

    @property
    def nbytes(self) -> int:
        """Size on disk in bytes."""
        return self._path.stat().st_size if self._path.exists() else 0

    def keys(self) -> list[str]:
        """The key of every record, in order; none of a spool of another kind."""
        if not self.matches:
            return []
        return (self.folder / _KEYS).read_text(encoding="ascii").splitlines()

    def __len__(self) -> int:
        return min(self.nbytes // self._record, len(self.keys()))

    def append(self, embeddings: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
        """Add records.

        Args:
            embeddings: float32 ``(n, channels, grid, grid)`` or ``(n, channels, p)``.
            keys: n words without spaces.
        """
        if embeddings.dtype != np.float32 or embeddings[0].size * 4 != self._record:
            raise ValueError(f"embeddings must be float32 (n, {self.channels}, {self.positions} positions)")
        if len(keys) != len(embeddings):
            raise ValueError(f"{len(embeddings)} records need as many keys, got {len(keys)}")
        with self._path.open("ab") as file:
            for record in embeddings.reshape(len(embeddings), self.channels, self.positions):
                file.write(cv2.transpose(np.ascontiguousarray(record)).data)
        with (self.folder / _KEYS).open("a", encoding="ascii") as file:
            file.writelines(f"{key}\n" for key in keys)

    def truncate(self, count: int) -> None:
        """Keep the first ``count`` records."""
        keys = self.keys()[:count]
        with self._path.open("r+b") as file:
            file.truncate(count * self._record)
        write_atomic(self.folder / _KEYS, "".join(f"{key}\n" for key in keys).encode("ascii"))

    def read(
        self,
        rows: Sequence[int],
        channels: npt.NDArray[np.int64],
        positions: slice = slice(None),
    ) -> npt.NDArray[np.float32]:
        """Records, reduced to the chosen channels and positions.

        Args:
            rows: which records, ``n`` of them.
            channels: which channels, ``d`` of them.
            positions: which of the grid's positions, ``p`` of them.

        Returns:
            float32 ``(n, p, d)``.
        """
        wanted = range(*positions.indices(self.positions))
        result = np.empty((len(rows), len(wanted), len(channels)), np.float32)
        held, first = len(self), wanted.start * self.channels * 4
        with self._path.open("rb", buffering=0) as file:
            for index, row in enumerate(rows):
                if row >= held:
                    raise IndexError(f"the spool holds {held} records, not {row + 1}")
                file.seek(row * self._record + first)
                piece = np.fromfile(file, np.float32, len(wanted) * self.channels)
                np.take(piece.reshape(-1, self.channels), channels, axis=1, out=result[index], mode="clip")
        return result

    def delete(self) -> None:
        """Remove the file; what is derived from it stays."""
        shutil.rmtree(self.folder, ignore_errors=True)

"""The feature store: the normals' embeddings on disk, all channels, while a model is being changed.

With it, held-out scores, exclusion, undo and a new draw of channels do not run the network again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from padim.storage.record_file import LINE_BYTES, Records

CONTENT = "features.f32"
# Names on disk, unchanged since the first version: new names would orphan the working data of saved models.
FOLDER = "spool"
HEADER = "spool.json"
# Positions per checksum; a fit reads blocks of positions, which need not begin at these.
_POSITIONS_PER_CHECKSUM = 8


def bytes_per_image(channels: int, positions: int) -> int:
    """Return the bytes on disk of a record with its checksums and its line."""
    return 4 * channels * positions + 8 * -(-positions // _POSITIONS_PER_CHECKSUM) + LINE_BYTES


class FeatureStore(Records):
    """Append-only file of float32 records ``(positions, channels)``, one per normal image, each with a key.

    Records are stored by position because fitting reads them so: a block of positions is one piece of a
    record.

    Attributes:
        identity: identity of the extractor that computed the embeddings; others must not be mixed with them.
        channels: number of channels of all layers together.
        positions: number of grid positions, p.
    """

    def __init__(self, folder: Path, identity: str, channels: int, positions: int) -> None:
        """Open the feature store in ``folder``; nothing is written before :meth:`start`."""
        header = {
            "identity": identity,
            "channels": channels,
            "positions": positions,
            "order": "position, channel",
        }
        block = _POSITIONS_PER_CHECKSUM * channels * 4
        super().__init__(folder, CONTENT, HEADER, header, channels * positions * 4, block)
        self.identity = identity
        self.channels = channels
        self.positions = positions

    def append(self, embeddings: npt.NDArray[np.float32], keys: Sequence[str]) -> None:
        """Append records.

        Args:
            embeddings: float32 ``(n, channels, grid, grid)`` or ``(n, channels, p)``.
            keys: n keys without spaces.
        """
        if embeddings.dtype != np.float32 or embeddings[0].size * 4 != self._record:
            raise ValueError(f"embeddings must be float32 (n, {self.channels}, {self.positions} positions)")
        if len(keys) != len(embeddings):
            raise ValueError(f"{len(embeddings)} records need as many keys, got {len(keys)}")
        records = embeddings.reshape(len(embeddings), self.channels, self.positions)
        self._append((cv2.transpose(np.ascontiguousarray(record)).data for record in records), keys)

    def read(
        self,
        rows: Sequence[int],
        channels: npt.NDArray[np.int64],
        positions: slice = slice(None),
    ) -> npt.NDArray[np.float32]:
        """Read records, reduced to the chosen channels and positions.

        Args:
            rows: indices of the records, ``n`` of them.
            channels: indices of the channels, ``d`` of them.
            positions: slice of the grid positions, ``p`` of them.

        Returns:
            float32 ``(n, p, d)``.

        Raises:
            DamagedError: a record does not match its checksum.
        """
        wanted = range(*positions.indices(self.positions))
        result = np.empty((len(rows), len(wanted), len(channels)), np.float32)
        if not wanted:
            return result
        first = wanted.start // _POSITIONS_PER_CHECKSUM
        last = -(-wanted.stop // _POSITIONS_PER_CHECKSUM)
        before = wanted.start - first * _POSITIONS_PER_CHECKSUM
        with self._open() as file:
            for index, row in enumerate(rows):
                piece = self._content(file, row, first, last).view(np.float32).reshape(-1, self.channels)
                chosen = piece[before : before + len(wanted)]
                np.take(chosen, channels, axis=1, out=result[index], mode="clip")
        return result

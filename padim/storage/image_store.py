"""The image store: the normals at input size on disk, for methods fitted to images instead of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from padim.storage.record_file import Records

CONTENT = "pixels.u8"
# Names on disk, unchanged since the first version: new names would orphan the working data of saved models.
FOLDER = "pictures"
HEADER = "pictures.json"


class ImageStore(Records):
    """Append-only file of uint8 records ``(h, w, 3)``, one per normal image, each with a key.

    Attributes:
        shape: (h, w) in pixels.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        height, width = shape
        # Of squares the header has the side, as before there were rectangles, so that stored ones stay valid.
        size = height if height == width else list(shape)
        super().__init__(folder, CONTENT, HEADER, {"size": size}, 3 * height * width)
        self.shape = shape

    def append(self, rgb: npt.NDArray[np.uint8], keys: Sequence[str]) -> None:
        """Append images, uint8 ``(n, h, w, 3)``, with one key each."""
        if rgb.dtype != np.uint8 or rgb.shape[1:] != (*self.shape, 3):
            height, width = self.shape
            raise ValueError(f"images must be uint8 (n, {height}, {width}, 3), got {rgb.shape}")
        if len(keys) != len(rgb):
            raise ValueError(f"{len(rgb)} records need as many keys, got {len(keys)}")
        self._append((image.data for image in np.ascontiguousarray(rgb)), keys)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Read images, uint8 ``(n, h, w, 3)``.

        Raises:
            DamagedError: an image does not match its checksum.
        """
        result = np.empty((len(rows), *self.shape, 3), np.uint8)
        with self._open() as file:
            for index, row in enumerate(rows):
                result[index] = self._content(file, row).reshape(result.shape[1:])
        return result

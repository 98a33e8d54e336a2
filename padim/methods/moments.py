"""Streaming statistics: count, mean and scatter of the embeddings at every grid position, in float64.

Batches are merged by the update of Chan, Golub and LeVeque (1979, "Updating formulae and a pairwise
algorithm for computing sample variances"), so there is no cancellation, and statistics of
separate portions can be merged.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from padim.errors import DamagedError, PadimError
from padim.network.threads import each_block, position_blocks
from padim.storage.record_file import REMEDY
from padim.storage.sealed import is_whole, write_sealed

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


class PatchStatistics:
    """Streaming first and second moments of ``p`` positions with ``d`` features each.

    Attributes:
        count: the number of images, n.
        mean: float64 ``(p, d)``.
        scatter: float64 ``(p, d, d)``, the sum over images of (x - mean)(x - mean)^T.

    Memory is ``8 p d (d + 1)`` bytes regardless of the number of images.
    """

    def __init__(self, positions: int, features: int) -> None:
        self.count = 0
        self.mean: Doubles = np.zeros((positions, features))
        self.scatter: Doubles = np.zeros((positions, features, features))

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(p, d)``: the number of positions and of features."""
        positions, features = self.mean.shape
        return positions, features

    def _check(self, x: Floats, dimensions: int) -> None:
        if x.ndim != dimensions or x.shape[-2:] != self.mean.shape:
            wanted = "(n, p, d)" if dimensions == 3 else "(p, d)"
            raise ValueError(f"x must be {wanted} with (p, d) = {self.mean.shape}, got {x.shape}")
        if not np.isfinite(x).all():
            raise ValueError("x contains values that are not finite")

    def update(self, x: Floats) -> Self:
        """Add a batch of images.

        Args:
            x: ``(n, p, d)``, any float type; n may be 0.
        """
        self._check(x, 3)
        added = len(x)
        if added == 0:
            return self
        total = self.count + added

        def add_block(block: slice) -> None:
            part = x[:, block].transpose(1, 0, 2)
            # Always a copy, because it is centered in place. The between-groups term is an additional row of
            # the product, which saves one pass over the scatter.
            batch = np.empty((part.shape[0], added + 1, part.shape[2]))
            rows = batch[:, :-1]
            rows[:] = part
            mean = rows.mean(axis=1)
            rows -= mean[:, None]
            delta = mean - self.mean[block]
            np.multiply(delta, math.sqrt(self.count * added / total), out=batch[:, -1])
            self.scatter[block] += batch.transpose(0, 2, 1) @ batch
            self.mean[block] += delta * (added / total)

        each_block(self.shape[0], add_block)
        self.count = total
        return self

    def merge(self, other: PatchStatistics) -> Self:
        """Add the statistics of other images; the result is that of all images together."""
        if other.shape != self.shape:
            raise ValueError(f"cannot merge statistics of (p, d) = {other.shape} into {self.shape}")
        if other.count:
            total = self.count + other.count
            for block in position_blocks(self.shape[0]):
                delta = other.mean[block] - self.mean[block]
                self.scatter[block] += other.scatter[block]
                between = delta[:, :, None] * delta[:, None, :]
                self.scatter[block] += (self.count * other.count / total) * between
                self.mean[block] += delta * (other.count / total)
            self.count = total
        return self

    def add(self, x: Floats) -> Self:
        """Add one image, ``(p, d)``: a rank-1 update."""
        self._check(x, 2)
        return self.update(x[None])

    def remove(self, x: Floats) -> Self:
        """Remove one image, ``(p, d)``: the inverse of :meth:`add`, up to rounding.

        The caller must make sure that ``x`` was added before.

        Raises:
            ValueError: no image is left to remove.
        """
        self._check(x, 2)
        if self.count == 0:
            raise ValueError("no image is left to remove")
        remaining = self.count - 1
        if remaining == 0:
            self.mean[:] = 0
            self.scatter[:] = 0
        else:
            delta = np.asarray(x, np.float64) - self.mean
            self.mean -= delta / remaining
            for block in position_blocks(self.shape[0]):
                part = delta[block]
                self.scatter[block] -= (self.count / remaining) * (part[:, :, None] * part[:, None, :])
            if remaining == 1:
                self.scatter[:] = 0
        self.count = remaining
        return self

    def save(self, path: Path) -> None:
        """Write a checkpoint (``.npz``), atomically and with a checksum."""
        write_sealed(
            path,
            lambda file: np.savez(
                file, count=np.int64(self.count), mean=self.mean, scatter=self.scatter, allow_pickle=False
            ),
        )

    @classmethod
    def load(cls, path: Path) -> PatchStatistics:
        """Read a checkpoint; a fit resumed from it is bitwise equal to one without an interruption.

        Raises:
            DamagedError: the file does not match its checksum.
            PadimError: the file is missing, truncated or not a checkpoint; the message names the file.
        """
        # Checkpoints of earlier versions have no checksum at the end; the archive has one for every array.
        if path.is_file() and is_whole(path) is False:
            raise DamagedError(path, "does not match its checksum", REMEDY)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                count, mean, scatter = int(arrays["count"]), arrays["mean"], arrays["scatter"]
        except Exception as error:
            # For damaged archives numpy raises errors of zipfile, zlib and struct as well as its own.
            raise PadimError(f"{path}: not a readable checkpoint ({error})") from error
        positions, features = mean.shape if mean.ndim == 2 else (0, 0)
        if (
            scatter.shape != (positions, features, features)
            or mean.dtype != np.float64
            or scatter.dtype != np.float64
            or count < 0
            or not (np.isfinite(mean).all() and np.isfinite(scatter).all())
        ):
            raise PadimError(f"{path}: not a checkpoint of patch statistics")
        statistics = cls.__new__(cls)
        statistics.count, statistics.mean, statistics.scatter = count, mean, scatter
        return statistics

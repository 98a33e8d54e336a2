"""Pose spread of the good parts of a fitted model: how much their position and rotation vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from padim.analysis.alignment import Alignment, align
from padim.data.decode import decode
from padim.data.loading import Cancel, Progress

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["MOST_IMAGES", "PoseSpread", "good_images", "pose_spread"]

# The maximum number of images measured: more give the same percentiles and take longer.
MOST_IMAGES = 300


@dataclass(frozen=True)
class PoseSpread:
    """The pose spread of the good parts of a model.

    Attributes:
        alignment: the alignment of the images measured.
        measured: the images measured, as indices into ``model.normals_``.
        good: the number of images of good parts.
    """

    alignment: Alignment
    measured: tuple[int, ...]
    good: int

    @property
    def lengths(self) -> npt.NDArray[np.float32]:
        """Return the length of each shift in map pixels, float32 ``(n,)``; NaN where it is not measurable."""
        shifts = self.alignment.shifts
        return np.asarray(np.hypot(shifts[:, 0], shifts[:, 1]), np.float32)

    @property
    def typical(self) -> float:
        """Return the median length of the shifts, in map pixels."""
        return float(np.nanmedian(self.lengths))

    @property
    def without_outline(self) -> int:
        """Return the number of images that share no outline with the others, and so have no shift."""
        return int(np.isnan(self.lengths).sum())

    def farthest(self, beyond: float, most: int = 5) -> list[tuple[int, float]]:
        """Return (index into ``normals_``, shift) of images shifted by more than ``beyond``, sorted."""
        pairs = [(index, float(length)) for index, length in zip(self.measured, self.lengths, strict=True)]
        return sorted((pair for pair in pairs if pair[1] > beyond), key=lambda pair: -pair[1])[:most]


class _PreprocessedThumbnails:
    """The thumbnails of normal images, preprocessed as for the model and decoded one at a time."""

    def __init__(self, model: Padim, indices: Sequence[int]) -> None:
        self._model = model
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        for index in self._indices:
            normal = self._model.normals_[index]
            rgb = decode(self._model.working_set.thumbnail(index), normal.name)
            yield self._model.state.input_of(normal, rgb)


def good_images(model: Padim) -> list[int]:
    """Return the indices into ``model.normals_`` of the images of good parts, if the part was found."""
    normals = enumerate(model.normals_)
    return [i for i, normal in normals if normal.status != "not_good" and not normal.lost]


def pose_spread(
    model: Padim,
    *,
    most: int = MOST_IMAGES,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PoseSpread:
    """Measure the pose spread of the good parts in the model input, from their thumbnails.

    For models that locate parts it is what locating leaves.

    Args:
        model: a fitted model.
        most: the maximum number of images to measure, evenly over all.
        progress: called as (done, total or None, stage).
        cancel: called between images; returning True cancels.

    Raises:
        Cancelled: ``cancel`` returned True.
        BundleError: a thumbnail is damaged.
    """
    indices = good_images(model)
    n = len(indices)
    # Evenly over all, because images are often in order of time, and a station drifts.
    chosen = [indices[i * n // most] for i in range(most)] if n > most else indices
    return PoseSpread(align(_PreprocessedThumbnails(model, chosen), progress, cancel), tuple(chosen), n)

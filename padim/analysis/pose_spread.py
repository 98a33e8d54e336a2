"""How far apart the good parts of a fitted model lie in their images."""

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

# Images that are measured at most: more give the same percentiles, and take longer.
MOST_IMAGES = 300


@dataclass(frozen=True)
class PoseSpread:
    """How the good parts of a model lie.

    Attributes:
        alignment: of the images measured.
        measured: which those are, as indices into ``model.normals_``.
        good: how many images of good parts there are.
    """

    alignment: Alignment
    measured: tuple[int, ...]
    good: int

    @property
    def lengths(self) -> npt.NDArray[np.float32]:
        """float32 ``(n,)``: length of each shift in map pixels; NaN where there is none."""
        shifts = self.alignment.shifts
        return np.asarray(np.hypot(shifts[:, 0], shifts[:, 1]), np.float32)

    @property
    def typical(self) -> float:
        """Median length of the shifts, in map pixels."""
        return float(np.nanmedian(self.lengths))

    @property
    def without_outline(self) -> int:
        """Images that share no outline with the others, and so have no shift."""
        return int(np.isnan(self.lengths).sum())

    def farthest(self, beyond: float, most: int = 5) -> list[tuple[int, float]]:
        """Images shifted by more than this, the farthest first: indices into ``normals_``, and lengths."""
        pairs = [(index, float(length)) for index, length in zip(self.measured, self.lengths, strict=True)]
        return sorted((pair for pair in pairs if pair[1] > beyond), key=lambda pair: -pair[1])[:most]


class _AsSeen:
    """The normals' small images as the model sees them, decoded one at a time."""

    def __init__(self, model: Padim, indices: Sequence[int]) -> None:
        self._model = model
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        for index in self._indices:
            rgb = decode(self._model.working_set.thumbnail(index), self._model.normals_[index].name)
            yield self._model.network.preprocess(rgb)


def good_images(model: Padim) -> list[int]:
    """Indices into ``model.normals_`` of all images that are not found not good."""
    return [i for i, normal in enumerate(model.normals_) if normal.status != "not_good"]


def pose_spread(
    model: Padim,
    *,
    most: int = MOST_IMAGES,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> PoseSpread:
    """Measure how the good parts lie, from the kept thumbnails.

    Args:
        model: fitted.
        most: images to measure at most, evenly over all.
        progress: called as (done, total or None, stage).
        cancel: asked between images; True stops.

    Raises:
        Cancelled: ``cancel`` said so.
        BundleError: a kept thumbnail is damaged.
    """
    indices = good_images(model)
    n = len(indices)
    # Evenly over all: images often come in the order they were taken, and a station drifts.
    chosen = [indices[i * n // most] for i in range(most)] if n > most else indices
    return PoseSpread(align(_AsSeen(model, chosen), progress, cancel), tuple(chosen), n)

"""Notice images of another product: nothing in them is as near to the good parts as it is in every good part.

A defect changes a part here and there; of another product, or under another light, even the places that
differ least lie far from the good parts. So of each image the distance is taken below which a tenth of its
places lie. The highest of the good parts, each judged without itself, gives the limit: 1.5 times it and three
times as far above their median. Fitted on 24 parts of MVTec AD *bottle*, *magnetic tile* or the generated
flange, images of the other two came to 1.6 to 18 times the highest good part, defects of the same part to at
most 1.1 times.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from padim.decision.calibration import FEWEST_PARTS
from padim.text import count

if TYPE_CHECKING:
    from padim.model import Padim

__all__ = ["Strangers", "is_stranger", "stranger_limit", "strangers"]

_PLACES = 0.1
_TIMES, _SPREADS = 1.5, 3.0
# From this share of the images on, the batch as a whole is said to be of another product.
_MOST = 0.9
# Below this share nothing is said.
_LEAST = 0.5


class ImageWithGrid(Protocol):
    """A scored image with its distances, such as :class:`padim.Prediction`."""

    @property
    def name(self) -> str: ...
    @property
    def grid(self) -> npt.NDArray[np.float32]: ...
    @property
    def lost(self) -> str: ...


@dataclass(frozen=True)
class Strangers:
    """The images of a batch that do not look like a model's parts.

    Attributes:
        names: their names.
        n: number of images judged; those in which the part was not found are not.
    """

    names: tuple[str, ...]
    n: int

    @property
    def sentence(self) -> str:
        """Sentence such as "None of these 50 images looks like this model's parts: ...".

        Empty unless it concerns at least half of the batch: a large defect can change a single image as much.
        """
        if not self.names or len(self.names) < _LEAST * self.n:
            return ""
        why = "another product, or another light, camera or position"
        if len(self.names) == self.n:
            whose = "This image does not look" if self.n == 1 else f"None of these {self.n:,} images looks"
            return f"{whose} like this model's parts: {why}?"
        whole = len(self.names) >= _MOST * self.n
        verb = "does" if len(self.names) == 1 else "do"
        named = "" if whole else f", such as {self.names[0]}"
        some = f"{len(self.names):,} of {count(self.n, 'image')} {verb}"
        return f"{some} not look like this model's parts{named}: {why}?"


def _nearest(grid: npt.NDArray[np.float32]) -> float:
    """Return the distance below which a tenth of the places lie."""
    return float(np.quantile(grid, _PLACES))


def stranger_limit(model: Padim) -> float | None:
    """Return the distance beyond which an image is taken for another product's; None if nothing tells.

    Args:
        model: a fitted model.
    """
    fitted = model.state.fitted
    if fitted.calibration == "none":
        return None
    good = [
        _nearest(grid)
        for grid, normal in zip(fitted.held_out, fitted.normals, strict=False)
        if normal.status in ("fit", "kept_out") and not normal.lost and grid.size
    ]
    if len(good) < FEWEST_PARTS:
        return None
    highest, middle = max(good), float(np.median(good))
    return max(_TIMES * highest, middle + _SPREADS * (highest - middle))


def is_stranger(image: ImageWithGrid, limit: float | None) -> bool:
    """Whether an image does not look like the parts with this limit of :func:`stranger_limit`."""
    return limit is not None and not image.lost and image.grid.size > 0 and _nearest(image.grid) > limit


def strangers(model: Padim, images: Iterable[ImageWithGrid]) -> Strangers:
    """Find the images of a batch that do not look like the model's parts.

    Args:
        model: the model that scored them.
        images: the scored images.
    """
    limit = stranger_limit(model)
    names, n = [], 0
    if limit is None:
        return Strangers((), 0)
    for image in images:
        if image.lost or not image.grid.size:
            continue
        n += 1
        if is_stranger(image, limit):
            names.append(image.name)
    return Strangers(tuple(names), n)

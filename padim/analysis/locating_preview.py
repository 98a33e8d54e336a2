"""Try out locating on some good parts, before a model is fitted with it: what it does to the images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from padim.data.decode import decode
from padim.data.loading import Cancel, Progress
from padim.errors import Cancelled
from padim.locating.cut import cut_out
from padim.locating.frame import Frame, Matrix
from padim.locating.locator import Locator
from padim.locating.pose import Pose
from padim.locating.warp import warp

__all__ = [
    "MOST_PARTS",
    "LocatedPart",
    "LocatingPreview",
    "advice",
    "evenly",
    "outlined",
    "preview",
    "preview_shape",
    "sharpness",
]

RGB = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

# Parts that are tried: enough to see whether it works, few enough to look at.
MOST_PARTS = 12
# Pixels of a preview: about those of the usual model input.
_AREA = 256 * 256
# Standard deviation of the blur, in pixels, that takes the sensor's noise out of the measure of sharpness.
_BLUR = 1.0
# Gain in sharpness from which the mean image is called sharper.
_LEAST_GAIN = 0.03


@dataclass(frozen=True, eq=False)
class LocatedPart:
    """One good part before and after locating.

    Attributes:
        name: the image's name.
        before: the whole image, reduced: uint8 ``(h, w, 3)``.
        outline: corners of the frame on ``before``, float64 ``(4, 2)`` as (x, y); None if it was not found.
        same_place: what the frame would show if the part was not located: uint8 ``(*shape, 3)``.
        after: what the frame shows at the part's place, uint8 ``(*shape, 3)``; None if it was not found.
        pose: where the part lies relative to the reference; None if it was not found.
        lost: the reason why it was not found; empty if it was.
    """

    name: str
    before: RGB
    outline: Floats | None
    same_place: RGB
    after: RGB | None
    pose: Pose | None
    lost: str


@dataclass(frozen=True, eq=False)
class LocatingPreview:
    """What locating does to some good parts.

    Attributes:
        reference: name of the image of the reference part.
        frame: the window of the reference part that becomes the model input.
        reference_view: what the frame shows of the reference: uint8 ``(*shape, 3)``.
        parts: the parts that were tried, without the reference.
    """

    reference: str
    frame: Frame
    reference_view: RGB
    parts: tuple[LocatedPart, ...]

    @cached_property
    def found(self) -> tuple[LocatedPart, ...]:
        """The parts that were found."""
        return tuple(part for part in self.parts if part.after is not None)

    @cached_property
    def lost(self) -> tuple[LocatedPart, ...]:
        """The parts that were not found."""
        return tuple(part for part in self.parts if part.after is None)

    @cached_property
    def mean_before(self) -> RGB | None:
        """Mean of the found parts in one fixed window, as without locating; None without any."""
        return _mean([part.same_place for part in self.found])

    @cached_property
    def mean_after(self) -> RGB | None:
        """Mean of the found parts, each at its own place; None without any."""
        return _mean([part.after for part in self.found if part.after is not None])

    @cached_property
    def sharpness(self) -> tuple[float, float] | None:
        """Sharpness of the mean image before and after, see :func:`sharpness`; None with fewer than two."""
        if len(self.found) < 2:
            return None
        after = [part.after for part in self.found if part.after is not None]
        return sharpness([part.same_place for part in self.found]), sharpness(after)

    @property
    def poses(self) -> tuple[Pose, ...]:
        """The poses of the parts that were found."""
        return tuple(part.pose for part in self.parts if part.pose is not None)


def advice(found: LocatingPreview) -> tuple[bool, str]:
    """Return whether locating looks worth trying on defects, and why, as sentences.

    It is an indication from a few good parts. Whether defects are found better, only defects can tell.
    """
    n, lost = len(found.parts), len(found.lost)
    if lost == n:
        return False, (
            "The part was found in none of the images. Look at the reasons below: another method, other "
            "marks or wider limits may help."
        )
    many = (
        f"The part was not found in {lost:,} of {n:,} images; each such image would be rejected or reviewed. "
        if lost
        else ""
    )
    if found.sharpness is None:
        return False, f"{many}One located part alone tells nothing."
    before, after = found.sharpness
    if after < before + _LEAST_GAIN:
        how = "no sharper than" if after > before - _LEAST_GAIN else "less sharp than"
        return False, (
            f"{many}The mean image of the located parts is {how} that of the parts as they lie: locating "
            "gains nothing here."
        )
    return not lost, (
        f"{many}The mean image is sharper: located parts agree better. Whether defects are found better, "
        "only defects can tell."
    )


def evenly(names: Sequence[str], most: int = MOST_PARTS) -> list[str]:
    """Return up to ``most`` of the names, evenly over all: images are often in order of time."""
    n = len(names)
    return [names[i * n // most] for i in range(most)] if n > most else list(names)


def preview_shape(height: float, width: float) -> tuple[int, int]:
    """Return (height, width) of a preview with the proportions of a window, at about 256 x 256 pixels."""
    scale = math.sqrt(_AREA / (height * width))
    return max(16, round(height * scale)), max(16, round(width * scale))


def preview(
    locator: Locator,
    reference: str,
    images: Iterable[tuple[str, bytes]],
    *,
    total: int | None = None,
    bit_depth: int | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> LocatingPreview:
    """Locate the part in some images and cut out what the model would see.

    Args:
        locator: the method with its reference part.
        reference: name of the image of the reference part, which is not tried.
        images: (name, content of the file) of the images.
        total: the number of images, for the progress.
        bit_depth: the range of images deeper than 8 bits.
        progress: called as (done, total or None, stage).
        cancel: polled between images and while one is decoded; True stops.

    Raises:
        ImageError: an image cannot be read.
        Cancelled: ``cancel`` returned True.
    """
    shape = preview_shape(locator.frame.height, locator.frame.width)
    parts = []
    for done, (name, data) in enumerate(images):
        if cancel is not None and cancel():
            raise Cancelled("stopped before all parts were tried")
        if progress is not None:
            progress(done, total, "Locating the part in each image")
        if name != reference:
            rgb = decode(data, name, bit_depth=bit_depth, cancel=cancel)
            parts.append(_located(locator, name, rgb, shape))
    fixed = locator.frame.to_reference(shape)
    return LocatingPreview(reference, locator.frame, warp(locator.reference, fixed, shape), tuple(parts))


def _located(locator: Locator, name: str, rgb: RGB, shape: tuple[int, int]) -> LocatedPart:
    frame = locator.frame
    before_shape = preview_shape(*rgb.shape[:2])
    reduction = rgb.shape[1] / before_shape[1], rgb.shape[0] / before_shape[0]
    whole: Matrix = np.array([[reduction[0], 0, 0], [0, reduction[1], 0]], np.float64)
    before = warp(rgb, whole, before_shape)
    cut = cut_out(rgb, locator, shape)
    # What the frame would show at the reference's own place, in an image of the same view.
    height, width = frame.image_size
    own = np.diag([rgb.shape[1] / width, rgb.shape[0] / height])
    same_place = warp(rgb, own @ frame.to_reference(shape), shape)
    if cut.placement is None:
        return LocatedPart(name, before, None, same_place, None, None, cut.lost)
    height, width = shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
    outline = corners @ cut.placement.matrix.T / reduction
    return LocatedPart(name, before, outline, same_place, cut.rgb, cut.pose, "")


def _mean(images: Sequence[RGB]) -> RGB | None:
    if not images:
        return None
    total = np.zeros(images[0].shape, np.float64)
    for image in images:
        total += image
    return np.rint(total / len(images)).astype(np.uint8)


def sharpness(images: Sequence[RGB]) -> float:
    """Return how sharp the mean of some images is, relative to the single images: from 0 to 1.

    It is the root mean square of the gradient of the mean image, divided by that of the single images; 1 for
    equal images, about ``1 / sqrt(n)`` for n images that have nothing in common.

    Args:
        images: at least one, uint8 ``(h, w, 3)`` each.
    """
    grays = [_smooth(image) for image in images]
    single = float(np.mean([_gradient_energy(gray) for gray in grays]))
    together = _gradient_energy(np.asarray(np.mean(grays, axis=0, dtype=np.float64), np.float32))
    return math.sqrt(together / single) if single > 0 else 1.0


def _smooth(rgb: RGB) -> npt.NDArray[np.float32]:
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), _BLUR), np.float32)


def _gradient_energy(gray: npt.NDArray[np.float32]) -> float:
    return float(np.mean(np.diff(gray, axis=0) ** 2) + np.mean(np.diff(gray, axis=1) ** 2))


def outlined(part: LocatedPart) -> RGB:
    """Return ``part.before`` with the frame drawn where the part was found."""
    image = part.before.copy()
    if part.outline is not None:
        points = np.rint(part.outline * 16 - 8).astype(np.int32)
        for color, width in (((20, 24, 28), 4), ((255, 255, 255), 2)):
            cv2.polylines(image, [points], True, color, width, cv2.LINE_AA, 4)
    return image

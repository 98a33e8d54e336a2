"""Pose spread of parts: the shift and rotation of each image relative to the others.

PaDiM compares each grid position with the same position of other images, so a displaced part is compared with
a different place on the parts. The coarse step is phase correlation at low resolution, over trial rotations.
The fine step finds the shift and rotation with the highest enhanced correlation coefficient, which is
invariant to gain and offset (Evangelidis and Psarakis, 2008, as implemented in OpenCV). An image is always
compared with the mean of the *others*: noise correlates with a mean that includes it, most of all at zero
displacement. Both steps are repeated, because the mean of aligned images is sharper.

Limits: rotations up to about 14 degrees, shifts up to a third of the image, a single scale. A repeating
pattern is measured to the nearest repeat; a fixed background is measured together with the moving parts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from padim.data.loading import Cancel, Progress, Watch
from padim.decision.calibration import FEWEST_PARTS

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_Shape = tuple[int, int]

FINE, COARSE = 128, 64  # longer sides of the resized images that the two steps work on
TURNS = np.radians([0.0, -4.0, 4.0, -8.0, 8.0, -12.0, 12.0])
_COARSE_ROUNDS, _FINE_ROUNDS = 3, 2
# The fine step ends after 30 iterations, or when the coefficient gains less than 1e-5.
_UNTIL = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-5)
_TURN_PREFERENCE = 1.1  # factor by which a rotation must be better than none: a round part fits any rotation
# The smallest height of a clear correlation peak relative to the spread around it. Noise and plain textures
# reach 3 to 5 for any number of images, because a peak is the largest of some thousand values; parts with an
# outline reach 12 to 300.
_CLEAR_PEAK = 7.0
_FAINTEST = 0.05  # gray levels of contrast
_FARTHEST_SHIFT = 1 / 3
_STAGE = "Measuring how the parts lie"


@dataclass(frozen=True)
class Alignment:
    """The pose of each image relative to the common position of all images, with summary figures.

    An image that shares no outline with the others has no measurable shift or rotation: both are NaN.

    Attributes:
        shifts: float32 ``(n, 2)``, the displacement of the content down and to the right,
            dy and dx in map pixels.
        angles: float32 ``(n,)``, the rotation about the image center in degrees, positive
            counterclockwise on the screen.
        strength: float32 ``(n,)``, the correlation with the mean of the others after alignment, at most 1.
        measurable: False with fewer than three images, or if most of them share no outline (textures); all
            figures are NaN then.
        shift95: the 95th percentile of the length of the shifts, in map pixels.
        angle95: the 95th percentile of the absolute rotations, in degrees.
        edge95: the 95th percentile of the largest displacement by shift and rotation together of content
            half an image away from the center, in map pixels.
    """

    shifts: Floats = field(repr=False)
    angles: Floats = field(repr=False)
    strength: Floats = field(repr=False)
    measurable: bool
    shift95: float
    angle95: float
    edge95: float


def align(
    images: Iterable[npt.NDArray[np.uint8]],
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Alignment:
    """Measure the pose spread of the parts in images of one kind.

    Args:
        images: uint8 ``(h, w)`` or ``(h, w, 3)``, all of one size, preprocessed as for the model; read once,
            and 32 KB kept of each.
        progress: called as (done, total or None, stage).
        cancel: called between images; returning True cancels.

    Raises:
        Cancelled: ``cancel`` returned True.
        ValueError: an image has another shape or type.
    """
    watch = Watch(progress, cancel)
    small: list[npt.NDArray[np.uint8]] = []
    size: _Shape | None = None
    fine = coarse = (0, 0)
    total = len(images) if isinstance(images, Sized) else None
    for number, image in enumerate(images, start=1):
        size = _checked(image, size)
        fine, coarse = _within(size, FINE), _within(size, COARSE)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
        small.append(np.asarray(_resized(gray, fine), np.uint8))
        watch.step(number, total, "Reading images")
    n = len(small)
    if size is None or n < FEWEST_PARTS:
        return _unmeasurable(np.zeros(n, np.float32))
    motion = np.zeros((n, 3))
    rough = [_structure(gray, coarse) for gray in small]
    for done in range(_COARSE_ROUNDS):
        motion, clear = _coarse(rough, motion, watch, done)
    motion[:, :2] *= np.divide(fine, coarse)[::-1]
    for done in range(_COARSE_ROUNDS, _COARSE_ROUNDS + _FINE_ROUNDS):
        motion, strength = _fine(small, motion, watch, done)
    # A wrong match of outlines shows in a low correlation once the image is aligned with the others.
    clear &= strength >= np.median(strength) / 2
    if np.count_nonzero(clear) < max(FEWEST_PARTS, n / 2):
        return _unmeasurable(strength)
    motion = _centered(motion, clear)
    motion[:, :2] *= np.divide(size, fine)[::-1]
    motion[~clear] = np.nan
    shift, angle = np.hypot(motion[:, 0], motion[:, 1])[clear], np.abs(motion[:, 2])[clear]
    return Alignment(
        shifts=motion[:, 1::-1].astype(np.float32),
        angles=np.degrees(motion[:, 2]).astype(np.float32),
        strength=strength,
        measurable=True,
        shift95=float(np.percentile(shift, 95)),
        angle95=float(np.degrees(np.percentile(angle, 95))),
        edge95=float(np.percentile(shift + angle * max(size) / 2, 95)),
    )


def _checked(image: npt.NDArray[np.uint8], size: _Shape | None) -> _Shape:
    """Return the size of an image, which must be that of the others, if there are any."""
    own = image.shape[:2]
    kind = image.dtype == np.uint8 and (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3))
    if not kind or 0 in own or size not in (None, own):
        raise ValueError(
            f"images must be uint8 (h, w) or (h, w, 3) of one size, got {image.dtype} {image.shape}"
        )
    return own[0], own[1]


def _within(size: _Shape, longest: int) -> _Shape:
    """Return the shape of an image reduced to a longer side of so many pixels, the other at least 8."""
    height, width = (max(8, round(longest * side / max(size))) for side in size)
    return height, width


def _unmeasurable(strength: Floats) -> Alignment:
    n = len(strength)
    shifts, angles = np.full((n, 2), np.nan, np.float32), np.full(n, np.nan, np.float32)
    return Alignment(shifts, angles, strength, False, math.nan, math.nan, math.nan)


# --- motions: (dx, dy, angle in radians), from the common position to the image ---------------------------


def _rotation(angle: float) -> Doubles:
    """Return the rotation matrix ``(2, 2)`` for (x, y) with y down, counterclockwise on the screen."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, sine], [-sine, cosine]])


def _moved_to_common(image: Floats, motion: Doubles) -> Floats:
    """Return the image warped so that its part is in the common position."""
    height, width = image.shape
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
    warp = _warp(motion, (height, width))
    return np.asarray(
        cv2.warpAffine(image, warp, (width, height), flags=flags, borderMode=border), np.float32
    )


def _warp(motion: Doubles, shape: _Shape) -> Doubles:
    """Return the matrix ``(2, 3)`` from pixels in the common position to pixels of the image.

    The rotation is about the image center.
    """
    middle = (np.array(shape[::-1]) - 1) / 2
    turn = _rotation(motion[2])
    return np.column_stack([turn, middle + motion[:2] - turn @ middle])


def _centered(motion: Doubles, clear: npt.NDArray[np.bool_]) -> Doubles:
    """Return the motions relative to the median one; shift and rotation have no absolute zero."""
    motion = motion.copy()
    motion[:, 2] -= np.median(motion[clear, 2])
    turns = np.stack([_rotation(angle) for angle in motion[:, 2]])
    # A common shift s moves each part by s rotated with the part. Medians, because one outlier
    # must not move the rest.
    for _ in range(3):
        common = np.linalg.solve(turns[clear].mean(axis=0), np.median(motion[clear, :2], axis=0))
        motion[:, :2] -= turns @ common
    return motion


# --- image structure ----------------------------------------------------------------------------------


def _resized(gray: npt.NDArray[np.uint8], shape: _Shape) -> npt.NDArray[np.uint8]:
    how = cv2.INTER_AREA if len(gray) >= shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(gray, shape[::-1], interpolation=how))


def _structure(gray: npt.NDArray[np.uint8], shape: _Shape) -> Floats:
    """Return the outlines without lighting: band-passed to details of a few pixels, with unit contrast."""
    smaller, side = _resized(gray, shape).astype(np.float32), max(shape)
    band = cv2.GaussianBlur(smaller, (0, 0), side / 100) - cv2.GaussianBlur(smaller, (0, 0), side / 18)
    contrast = float(band.std())
    # A blank image leaves nothing but rounding, which must not be amplified to an outline.
    return np.asarray(band / contrast if contrast > _FAINTEST else np.zeros_like(band), np.float32)


def _window(shape: _Shape) -> Floats:
    """Return a Tukey window ``(h, w)``: 1 inside, falling to 0 over the outer 15 % on each side."""
    rises = []
    for side in shape:
        to_border = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
        rises.append(0.5 - 0.5 * np.cos(np.pi * np.minimum(to_border / (0.15 * side), 1)))
    return np.outer(*rises).astype(np.float32)


# --- coarse -----------------------------------------------------------------------------------------------


def _coarse(
    rough: list[Floats], motion: Doubles, watch: Watch, done: int
) -> tuple[Doubles, npt.NDArray[np.bool_]]:
    """Return motions accurate to about a pixel at COARSE, and which images have a clear peak."""
    rows, columns = rough[0].shape
    n, window = len(rough), _window((rows, columns))
    down, across = fft.fftfreq(rows, 1 / rows), fft.fftfreq(columns, 1 / columns)
    allowed = np.maximum.outer(np.abs(down), np.abs(across)) <= COARSE * _FARTHEST_SHIFT
    # Fine detail differs from part to part; a Gaussian low-pass leaves a smooth, wide peak.
    pass_band = np.exp(-np.add.outer(fft.fftfreq(rows) ** 2, fft.rfftfreq(columns) ** 2) / (2 * 0.12**2))
    preference = np.where(TURNS == 0, _TURN_PREFERENCE, 1.0)
    total = np.zeros((rows, columns), np.float32)
    for image, one in zip(rough, motion, strict=True):
        total += _moved_to_common(image, one)
    result, clear = np.zeros((n, 3)), np.zeros(n, bool)
    for index, image in enumerate(rough):
        watch.step(done * n + index, (_COARSE_ROUNDS + _FINE_ROUNDS) * n, _STAGE)
        others = (total - _moved_to_common(image, motion[index])) / np.float32(n - 1)
        trials = np.stack([_moved_to_common(image, np.array([0, 0, turn])) for turn in TURNS])
        cross = fft.rfft2(trials * window) * np.conj(fft.rfft2(others * window))
        size = np.abs(cross)
        # At frequencies with little energy the phase is noise, which a floor suppresses.
        cross *= pass_band / (size + 1e-3 * size.mean() + 1e-12)
        surfaces = np.where(allowed, fft.irfft2(cross, s=others.shape), -np.inf)
        best = int((surfaces.max(axis=(1, 2)) * preference).argmax())
        surface = surfaces[best]
        row, column = np.unravel_index(surface.argmax(), surface.shape)
        around = surface[allowed]
        spread = 1.4826 * np.median(np.abs(around - np.median(around)))
        clear[index] = surface[row, column] - np.median(around) > _CLEAR_PEAK * max(float(spread), 1e-9)
        # The shift was measured after undoing the rotation; rotate it into the image.
        result[index, :2] = _rotation(TURNS[best]) @ [across[column], down[row]]
        result[index, 2] = TURNS[best]
    return result, clear


# --- fine -------------------------------------------------------------------------------------------------


def _fine(
    small: list[npt.NDArray[np.uint8]], motion: Doubles, watch: Watch, done: int
) -> tuple[Doubles, Floats]:
    """Refine motions from a few pixels to a few hundredths of a pixel at FINE; also return the strengths."""
    shape = (small[0].shape[0], small[0].shape[1])
    n, window = len(small), _window(shape)
    inner = (window > 0.5).astype(np.uint8)
    total = np.zeros(shape, np.float32)
    for gray, one in zip(small, motion, strict=True):
        total += _moved_to_common(_structure(gray, shape), one)
    result, strength = motion.copy(), np.zeros(n, np.float32)
    for index, gray in enumerate(small):
        watch.step(done * n + index, (_COARSE_ROUNDS + _FINE_ROUNDS) * n, _STAGE)
        image = _structure(gray, shape)
        others = (total - _moved_to_common(image, motion[index])) / np.float32(n - 1)
        found = _by_correlation(image, others, motion[index], inner)
        # A larger change means that the search diverged, for parts without enough detail of their own.
        if np.hypot(*(found - motion[index])[:2]) < 4 * FINE / COARSE:
            result[index] = found
        strength[index] = _correlation(_moved_to_common(image, result[index]), others, window)
    return result, strength


def _by_correlation(image: Floats, others: Floats, motion: Doubles, inner: npt.NDArray[np.uint8]) -> Doubles:
    """Return the motion for which the image, moved to the common position, correlates best with the others.

    Args:
        image, others: float32 ``(h, w)``.
        motion: the initial motion.
        inner: uint8, a mask of the pixels to compare; the border holds content from outside the image.

    Returns:
        The motion found, or the initial one if the search does not converge.
    """
    shape = (image.shape[0], image.shape[1])
    begin = _warp(motion, shape).astype(np.float32)
    try:
        _, warp = cv2.findTransformECC(others, image, begin, cv2.MOTION_EUCLIDEAN, _UNTIL, inner, 1)
    except cv2.error:  # raised where the images have no detail in common
        return motion.copy()
    angle = math.atan2(-warp[1, 0], warp[0, 0])
    middle = (np.array(shape[::-1]) - 1) / 2
    return np.array([*(warp[:, 2] - middle + _rotation(angle) @ middle), angle])


def _correlation(one: Floats, other: Floats, window: Floats) -> float:
    """Return the weighted correlation coefficient; 0 for images without contrast."""
    a, b = one - np.average(one, weights=window), other - np.average(other, weights=window)
    norm = math.sqrt(float((window * a * a).sum()) * float((window * b * b).sum()))
    return float((window * a * b).sum()) / norm if norm > 1e-6 else 0.0


# --- advice ------------------------------------------------------------------------------------


def advise(alignment: Alignment, grid_stride: int, width: int) -> tuple[bool, str]:
    """Return whether the pose spread exceeds a grid cell, and advice as text.

    Args:
        alignment: the alignment of the images a model is fitted on.
        grid_stride: map pixels per grid cell.
        width: the width of the map in pixels.

    Returns:
        True if the spread is larger than a cell, and one to three sentences.
    """
    if not alignment.measurable:
        if len(alignment.strength) < FEWEST_PARTS:
            return False, f"It takes at least {FEWEST_PARTS} images to measure how the parts lie."
        return False, (
            "The images share no outline to measure by. For a surface without edges that is as it should "
            "be; for parts it means that they lie too differently, and a fixture is needed."
        )
    edge, share = alignment.edge95, 100 * alignment.edge95 / width
    found = (
        f"95 % of the parts lie within {edge:.1f} map pixels ({share:.1f} % of the image's width) of their "
        f"common position, the turn of up to {alignment.angle95:.1f} degrees counted at the edge"
    )
    if edge <= grid_stride:
        return False, f"{found}: no more than a grid cell of {grid_stride}. Nothing needs to be done."
    remedies = ["A fixture or stop that holds the part is the best remedy"]
    # The available grid strides are 4, 8 and 16.
    if grid_stride < 16:
        enough = "" if edge <= 16 else ", though even that is less than what is needed"
        remedies.append(f"without one, fit with grid stride 16{enough}")
    remedies.append("smooth the maps more")
    remedies.append("choose 'pad' where images come in different proportions")
    return True, f"{found}: more than a grid cell of {grid_stride}, so edges alarm. {'; '.join(remedies)}."

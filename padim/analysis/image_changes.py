"""Simulated changes of lighting, camera and fixture, applied to an image at its original resolution.

The changes, applied one at a time:

* ``brighter``, ``darker``: percent more or less light; values change with its power 1 / 2.2, as in ordinary
  images.
* ``gamma``: the exponent of the values is larger by this many percent (another camera setting).
* ``flatter``: percent of the contrast lost, towards the image's mean (haze, stray light).
* ``blur``: out of focus, a Gaussian of that standard deviation in image pixels.
* ``noise``: sensor noise with this standard deviation in gray levels of 255, independent in each pixel and
channel. * ``jpeg``: points of quality lost; 60 is JPEG at quality 40.
* ``shift``: the part is displaced by this many image pixels, each image in a direction of its own.
* ``rotation``: the part is rotated by this many degrees about the image center, in either direction.

Content that a shift or rotation brings in from outside the image is unknown; it is mirrored from the inside.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from padim.data.loading import RGB

__all__ = ["KINDS", "MOST", "SEVERITIES", "ChangeKind", "alter", "words"]

ChangeKind = Literal["brighter", "darker", "gamma", "flatter", "blur", "noise", "jpeg", "shift", "rotation"]

KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
SEVERITIES: Mapping[ChangeKind, tuple[float, ...]] = {
    "brighter": (5, 10, 20, 40),
    "darker": (5, 10, 20, 40),
    "gamma": (5, 10, 20, 40),
    "flatter": (5, 10, 20, 40),
    "blur": (0.5, 1, 2, 4),
    "noise": (2, 5, 10, 20),
    "jpeg": (10, 30, 50, 70),
    "shift": (1, 2, 4, 8, 16),
    "rotation": (0.5, 1, 2, 5, 10),
}
"""The default severities of each kind; see the module for the units."""

# The largest permitted severity; shifts are not limited by the size of the image.
MOST: Mapping[ChangeKind, float] = {
    "brighter": 1000,
    "darker": 99,
    "gamma": 1000,
    "flatter": 100,
    "blur": 100,
    "noise": 255,
    "jpeg": 99,
    "shift": 10_000,
    "rotation": 180,
}
_DISPLAY_POWER = 1 / 2.2
# Rows of noise drawn at a time.
_BAND = 64


def words(kind: ChangeKind, severity: float) -> str:
    """Return a severity with its unit as text: "10 % more light", "quality 40", "2 px"."""
    if severity == 0:
        return "as it is"
    if kind == "jpeg":
        return f"quality {100 - severity:g}"
    unit = {
        "brighter": " % more light",
        "darker": " % less light",
        "gamma": " % more gamma",
        "flatter": " % less contrast",
        "blur": " px sigma",
        "noise": " grey levels",
        "shift": " px",
        "rotation": "°",
    }[kind]
    return f"{severity:g}{unit}"


def alter(rgb: RGB, kind: ChangeKind, severity: float, seed: int | Sequence[int] = 0) -> RGB:
    """Return an image with a simulated change.

    Args:
        rgb: uint8 ``(h, w, 3)``; is not modified.
        kind: one of ``KINDS``.
        severity: in the unit of the kind, see the module; 0 returns the image itself.
        seed: the seed of the noise and of the direction of a shift or rotation. These are the same at every
            severity, so that a stronger change differs in strength only.

    Returns:
        uint8 ``(h, w, 3)``.

    Raises:
        ValueError: the kind is unknown, or the severity is out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not 0 <= severity <= MOST[kind]:
        raise ValueError(f"severity of {kind} must be from 0 to {MOST[kind]:g}, got {severity}")
    if severity == 0:
        return rgb
    rng = np.random.default_rng(seed)
    if kind in ("brighter", "darker"):
        light = 1 + severity / 100 if kind == "brighter" else 1 - severity / 100
        return _looked_up(rgb, _SCALE * light**_DISPLAY_POWER)
    if kind == "gamma":
        return _looked_up(rgb, 255 * (_SCALE / 255) ** (1 + severity / 100))
    if kind == "flatter":
        mean = float(rgb.mean())
        return _looked_up(rgb, mean + (1 - severity / 100) * (_SCALE - mean))
    if kind == "blur":
        return np.asarray(cv2.GaussianBlur(rgb, (0, 0), severity, borderType=cv2.BORDER_REFLECT_101))
    if kind == "noise":
        noisy = np.empty_like(rgb)
        for top in range(0, len(rgb), _BAND):  # the same noise as if drawn at once, in less memory
            band = rgb[top : top + _BAND]
            noisy[top : top + _BAND] = _levels(band + severity * rng.standard_normal(band.shape, np.float32))
        return noisy
    if kind == "jpeg":
        file = io.BytesIO()
        PillowImage.fromarray(rgb).save(file, "JPEG", quality=max(1, round(100 - severity)))
        return np.array(PillowImage.open(file).convert("RGB"))
    height, width = rgb.shape[:2]
    if kind == "shift":
        direction = rng.uniform(0, 2 * math.pi)
        move = severity * math.cos(direction), severity * math.sin(direction)
        matrix = np.array([[1, 0, move[0]], [0, 1, move[1]]])
    else:
        turn = severity if rng.random() < 0.5 else -severity
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, 1.0)
    # OpenCV does not terminate when it mirrors a side of one pixel, so the edge pixel is repeated there.
    border = cv2.BORDER_REFLECT_101 if min(height, width) > 1 else cv2.BORDER_REPLICATE
    warped = cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=border)
    return np.asarray(warped)


_SCALE = np.arange(256, dtype=np.float64)


def _looked_up(rgb: RGB, values: npt.NDArray[np.float64]) -> RGB:
    """Return the image with every level replaced by its entry in a table of 256 values."""
    return np.asarray(cv2.LUT(rgb, _levels(values)), np.uint8)


def _levels(values: npt.NDArray[np.floating]) -> RGB:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)

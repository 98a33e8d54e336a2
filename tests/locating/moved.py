"""Images whose parts lie at a known place: textures, and the same moved by a known pose."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import Frame
from padim.locating.pose import Pose

RGB = npt.NDArray[np.uint8]


def texture(
    seed: int, height: int = 256, width: int = 256, *, detail: float = 3.0, color: bool = True
) -> RGB:
    """Return a smooth random texture: uint8 ``(height, width, 3)``, with different channels if colored."""
    rng = np.random.default_rng(seed)
    channels = []
    for _ in range(3 if color else 1):
        noise = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), detail)
        channels.append(np.clip(128 + 45 * noise / noise.std(), 0, 255))
    return np.stack(channels * (1 if color else 3), axis=-1).astype(np.uint8)


def moved(image: RGB, pose: Pose, *, border: int | None = None, value: int = 0) -> RGB:
    """Return the image with its content moved by the pose; what was outside is mirrored, or ``value``."""
    height, width = image.shape[:2]
    matrix = pose.to_image(Frame.whole((height, width)), (height, width), resize=True)
    matrix[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5  # OpenCV counts pixel centers as whole numbers
    mode = cv2.BORDER_REFLECT if border is None else border
    result = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=mode, borderValue=(value,) * 3
    )
    return np.asarray(result, np.uint8)


def photographed(image: RGB, seed: int, *, noise: float = 0.0, gain: float = 1.0, offset: float = 0.0) -> RGB:
    """Return the image with another brightness and contrast, and white noise."""
    changed = image * gain + offset + np.random.default_rng(seed).normal(0, 1, image.shape) * noise
    return np.clip(changed, 0, 255).round().astype(np.uint8)


def errors(found: Pose, true: Pose) -> tuple[float, float, float]:
    """Return the errors in pixels at the frame's center, in degrees, and of the scale."""
    turned = abs((found.turn - true.turn + 180) % 360 - 180)
    return math.hypot(found.dx - true.dx, found.dy - true.dy), turned, abs(found.scale / true.scale - 1)


def pose(dx: float = 0, dy: float = 0, turn: float = 0, scale: float = 1, match: float = 1) -> Pose:
    """Return a pose; no argument: that of the reference."""
    return Pose(dx, dy, turn, scale, match)


def settings(method: str, **values: Any) -> Any:
    """Return settings of locating."""
    from padim.locating.settings import Align

    return Align(method=method, **values)

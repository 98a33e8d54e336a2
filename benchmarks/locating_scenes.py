"""Images of made parts at known poses, for the benchmark and the tests of locating."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import Frame, rotation
from padim.locating.pose import Pose

__all__ = ["DETAILED", "PARTS", "Part", "Scene", "errors", "render"]

RGB = npt.NDArray[np.uint8]
# How many times finer images are drawn than they are returned.
_FINE = 4


@dataclass(frozen=True)
class Part:
    """A part: polygons over each other, each with corners ``(n, 2)`` relative to the center and a color.

    Lengths are in halves of the image's shorter side. The first polygon is the outline.
    """

    polygons: tuple[tuple[npt.NDArray[np.float64], tuple[int, int, int]], ...]

    def recolored(self, change: Callable[[tuple[int, int, int]], tuple[int, int, int]]) -> Part:
        """Return the part in other colors."""
        return Part(tuple((corners, change(color)) for corners, color in self.polygons))

    def with_polygon(self, corners: list[tuple[float, float]], color: tuple[int, int, int]) -> Part:
        """Return the part with another polygon on top: a print, a stain, a notch."""
        return Part((*self.polygons, (np.array(corners, float), color)))


@dataclass(frozen=True)
class Scene:
    """What is drawn: the part, where it lies, and the surroundings.

    Attributes:
        x, y: center of the part, in pixels.
        turn: degrees counterclockwise.
        scale: size relative to the part's own.
        background: color of the background.
        noise: standard deviation of the noise, in gray levels.
        gradient: gray levels by which the light differs from left to right.
        vignetting: share by which the corners are darker.
        blur: standard deviation of the blur, in pixels.
    """

    part: Part
    x: float
    y: float
    turn: float = 0.0
    scale: float = 1.0
    background: tuple[int, int, int] = (40, 40, 40)
    noise: float = 2.0
    gradient: float = 0.0
    vignetting: float = 0.0
    blur: float = 0.6

    def moved(self, **changes: float) -> Scene:
        """Return the scene with other values."""
        return replace(self, **changes)  # type: ignore[arg-type]


def render(scene: Scene, size: tuple[int, int] = (256, 256), seed: int = 0) -> RGB:
    """Draw a scene: uint8 ``(height, width, 3)``."""
    height, width = size
    fine = np.empty((height * _FINE, width * _FINE, 3), np.float32)
    fine[:] = scene.background
    for corners, color in scene.part.polygons:
        linear = rotation(scene.turn) * scene.scale * min(size) / 2
        places = (corners @ linear.T + (scene.x, scene.y)) * _FINE - 0.5
        cv2.fillPoly(fine, [np.round(places * 256).astype(np.int32)], color, cv2.LINE_8, 8)
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    if scene.blur:
        image = cv2.GaussianBlur(image, (0, 0), scene.blur)
    x, y = np.meshgrid((np.arange(width) + 0.5) / width * 2 - 1, (np.arange(height) + 0.5) / height * 2 - 1)
    light = 1 - scene.vignetting * (x * x + y * y) / 2
    image = image * light[..., None] + scene.gradient * x[..., None] / 2
    image = image + np.random.default_rng(seed).normal(0, scene.noise, image.shape)
    return np.asarray(image.round().clip(0, 255), np.uint8)


def errors(
    pose: Pose, frame: Frame, reference: Scene, scene: Scene, side: int = 256
) -> tuple[float, float, float]:
    """Return by how much a pose is wrong.

    Returns:
        The largest displacement of a corner of the frame that is due to the shift alone, that is the
        distance at its center, in pixels of a map whose longer side has ``side`` pixels; degrees; and the
        relative error of the scale.
    """
    turn, scale = scene.turn - reference.turn, scene.scale / reference.scale
    center = np.array([frame.center_x, frame.center_y])
    place = (scene.x, scene.y) + scale * rotation(turn) @ (center - (reference.x, reference.y))
    distance = math.hypot(*(center - place + np.array([pose.dx, pose.dy])))
    per_pixel = max(frame.width, frame.height) / side
    degrees = abs((pose.turn - turn + 180) % 360 - 180)
    return distance / per_pixel, degrees, abs(pose.scale / scale - 1)


def _circle(radius: float, x: float = 0.0, y: float = 0.0) -> npt.NDArray[np.float64]:
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def _box(left: float, top: float, right: float, bottom: float) -> npt.NDArray[np.float64]:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


_SHAFT = np.array([(-0.42, -0.08), (0.5, -0.08), (0.62, 0.0), (0.5, 0.08), (-0.42, 0.08)])
_CORNER = [(-0.45, -0.5), (-0.15, -0.5), (-0.15, 0.2), (0.5, 0.2), (0.5, 0.45), (-0.45, 0.45)]
_METAL, _DARK, _LIGHT = (170, 172, 176), (115, 112, 110), (215, 214, 210)

PARTS: dict[str, Part] = {
    # Head, shaft and point: the ends differ.
    "screw": Part(
        (
            (
                np.vstack([_box(-0.6, -0.2, -0.42, 0.2)[:2], _SHAFT, _box(-0.6, -0.2, -0.42, 0.2)[2:]]),
                _METAL,
            ),
            (_box(0.0, -0.08, 0.04, 0.08), _DARK),
            (_box(0.2, -0.08, 0.24, 0.08), _DARK),
        )
    ),
    # Its outline is the same both ways round; only the print tells the ends.
    "bar": Part(((_box(-0.6, -0.15, 0.6, 0.15), _METAL), (_box(0.3, -0.08, 0.5, 0.08), _DARK))),
    # A washer with a mark: round, only the mark tells the direction.
    "washer": Part(
        (
            (_circle(0.5), _METAL),
            (_circle(0.2), _LIGHT),
            (_circle(0.07, 0.32, 0.1), _DARK),
            (_box(-0.1, 0.3, 0.1, 0.36), _DARK),
        )
    ),
    # A nut: the outline has six directions.
    "nut": Part(
        (
            (
                np.stack([0.5 * np.cos(np.arange(6) * np.pi / 3), 0.5 * np.sin(np.arange(6) * np.pi / 3)], 1),
                _METAL,
            ),
            (_circle(0.25), _DARK),
            (_circle(0.06, 0.36, 0.0), _LIGHT),
        )
    ),
    # A bracket: no symmetry at all.
    "bracket": Part(
        (
            (
                np.array(_CORNER),
                _METAL,
            ),
            (_circle(0.07, -0.3, -0.3), _DARK),
        )
    ),
}


def _board() -> Part:
    """Return a circuit board: many components of different shapes, for what is located by its details."""
    random = np.random.default_rng(3)
    polygons = [(_box(-0.75, -0.6, 0.75, 0.6), (60, 110, 70))]
    for _ in range(70):
        x, y = random.uniform(-0.68, 0.68), random.uniform(-0.53, 0.53)
        wide, high = random.uniform(0.02, 0.11, 2)
        red, green, blue = (int(level) for level in random.integers(20, 240, 3))
        polygons.append((_box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), (red, green, blue)))
    return Part(tuple(polygons))


# Parts with many details all over.
DETAILED: dict[str, Part] = {"board": _board()}

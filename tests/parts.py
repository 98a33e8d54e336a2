"""Synthetic images of a part: textured, with natural variation, and a defect on request; seeded."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]


def part(
    seed: int, *, size: tuple[int, int] = (96, 96), defect: bool = False, shot: int = 0, variety: float = 1.0
) -> RGB:
    """An image of part number ``seed``, uint8 ``(h, w, 3)``.

    Args:
        seed: another seed is another part of the same kind.
        size: (height, width) in pixels.
        defect: a dark scratch and a bright chip.
        shot: another shot of the same part has other sensor noise, and nothing else.
        variety: how much parts differ; 0 makes all of them equal but for the noise.
    """
    height, width = size
    rng = np.random.default_rng([seed, 7])
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    # What all parts share: a grained surface, and a ring on it.
    grain = cv2.resize(
        np.random.default_rng(1).normal(size=(24, 24)).astype(np.float32), (width, height), interpolation=2
    )
    shift = 0.01 * variety * rng.normal(size=2)
    ring = np.hypot(x - x.mean() - shift[0], y - y.mean() - shift[1]) - 0.28
    surface = 128 + 14 * grain + 60 * np.exp(-((ring / 0.04) ** 2))
    # What makes each one itself: its own grain, the light.
    own = cv2.resize(rng.normal(size=(12, 12)).astype(np.float32), (width, height), interpolation=2)
    light = 1 + variety * (0.05 * rng.normal() + 0.06 * rng.normal() * (x - 0.5))
    surface = (surface + 9 * variety * own) * light
    if defect:
        row, column = (int(side * rng.uniform(0.3, 0.7)) for side in size)
        cv2.line(surface, (column - 12, row - 9), (column + 12, row + 9), 10, 3)
        cv2.circle(surface, (column, row + 12), 5, 250, -1)
    rgb = surface[..., None] * np.array([1.0, 0.93, 0.84], np.float32)
    rgb = rgb + np.random.default_rng([seed, shot, 9]).normal(scale=2.0, size=rgb.shape)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def png(rgb: RGB) -> bytes:
    """As a PNG file."""
    buffer = BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=1024)
def _file(seed: int, size: tuple[int, int], defect: bool) -> bytes:
    return png(part(seed, size=size, defect=defect))


def normals(count: int, *, first: int = 0, size: tuple[int, int] = (96, 96)) -> list[tuple[str, bytes | RGB]]:
    """``count`` good parts as PNG files, named in order."""
    return [(f"good_{i:03d}.png", _file(i, size, False)) for i in range(first, first + count)]


def defects(count: int, *, size: tuple[int, int] = (96, 96)) -> list[tuple[str, bytes | RGB]]:
    """``count`` defective parts as PNG files."""
    return [(f"bad_{i:03d}.png", _file(500 + i, size, True)) for i in range(count)]


def screw(seed: int, *, side: int = 128, shift: float = 0.1, turn: float = 180.0) -> RGB:
    """An image of screw number ``seed`` on a plain background, uint8 ``(side, side, 3)``.

    Args:
        seed: another seed is another screw in another pose.
        side: the size in pixels.
        shift: the largest displacement from the middle along each axis, as a share of the side.
        turn: the largest rotation in degrees.
    """
    rng = np.random.default_rng([seed, 11])
    # Drawn at four times the size, then reduced, so that edges are smooth.
    big = 4 * side
    middle, length, width = big / 2, 0.3 * big, 0.035 * big
    gray = np.full((big, big), 205, np.float32)

    def fill(points: list[tuple[float, float]], value: int) -> None:
        corners = [(middle + x, middle + y) for x, y in points]
        cv2.fillPoly(gray, [np.array(corners, np.int32)], value)

    fill(
        [(-length, -width), (0.85 * length, -width), (length, 0), (0.85 * length, width), (-length, width)],
        90,
    )
    for k in range(16):
        x = -0.2 * length + 1.05 * length * k / 16
        fill(
            [(x, -1.3 * width), (x + 0.4 * width, -1.3 * width), (x + width, 1.3 * width), (x, 1.3 * width)],
            60,
        )
    head = -length - 2 * width
    fill([(head, -2.5 * width), (-length, -2.5 * width), (-length, 2.5 * width), (head, 2.5 * width)], 75)
    own = cv2.resize(rng.normal(size=(32, 32)).astype(np.float32), (big, big), interpolation=cv2.INTER_CUBIC)
    gray += np.where(gray < 200, 6 * own, 0)
    pose = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-turn, turn), 1)
    pose[:, 2] += big * shift * rng.uniform(-1, 1, 2)
    gray = cv2.warpAffine(gray, pose, (big, big), borderMode=cv2.BORDER_REPLICATE)
    gray = cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)
    noisy = gray[..., None] * rng.uniform(0.98, 1.02) + rng.normal(scale=2.0, size=(side, side, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)

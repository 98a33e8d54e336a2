"""Synthetic images, generated from a seed, so that a benchmark needs neither data nor disk space.

They show a brushed plate with a bore; light, texture and noise vary from image to image, and some have a
scratch and a stain. They serve to measure time and memory: they are fast to generate, and have enough texture
for realistic maps and scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

RGB = npt.NDArray[np.uint8]


@lru_cache(maxsize=8)
def _plate(side: int) -> npt.NDArray[np.float32]:
    """Return the plate that all images of one size show: float32 ``(side, side)``, about 0..1."""
    rng = np.random.default_rng(7)
    brushed = cv2.GaussianBlur(rng.standard_normal((side, side)).astype(np.float32), (0, 0), 12, sigmaY=0.8)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side - 0.5
    radius = np.hypot(x, y)
    plate = 0.55 + 0.08 * brushed / brushed.std()
    plate -= 0.35 / (1 + np.exp((radius - 0.18) * 120))
    plate += 0.12 * np.exp(-(((radius - 0.33) / 0.02) ** 2))
    return plate.astype(np.float32)


@lru_cache(maxsize=1)
def _noise() -> npt.NDArray[np.float32]:
    """Return a field of noise to crop from; new noise for every image would take longer than the fit."""
    return np.random.default_rng(11).standard_normal((1536, 1536, 3), dtype=np.float32)


def image(index: int, *, side: int | None = None, defect: bool = False, seed: int = 0) -> RGB:
    """Return image number ``index``: uint8 ``(side, side, 3)``, the same for the same arguments.

    Args:
        index: the image's number, from 0.
        side: in pixels; by default 256, 320, 384, 448 or 512, depending on the seed.
        defect: add a scratch and a stain.
        seed: selects another set of images.
    """
    rng = np.random.default_rng([seed, index, defect])
    side = side or int(rng.choice([256, 320, 384, 448, 512]))
    light = rng.normal(1.0, 0.06, (5, 5)).astype(np.float32)
    gray = _plate(side) * cv2.resize(light, (side, side), interpolation=cv2.INTER_CUBIC)
    if defect:
        scale = side / 256
        angle, length = rng.uniform(0, np.pi), rng.uniform(15, 60) * scale
        start = rng.uniform(0.15, 0.85, 2) * side
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        mark = np.zeros((side, side), np.float32)
        cv2.line(mark, _point(start), _point(end), 1.0, max(1, round(2 * scale)), cv2.LINE_AA)
        cv2.circle(mark, _point(rng.uniform(0.15, 0.85, 2) * side), round(rng.uniform(3, 9) * scale), 0.6, -1)
        gray = gray * (1 - rng.uniform(0.25, 0.6) * cv2.GaussianBlur(mark, (0, 0), 0.7 * scale))
    top, left = rng.integers(0, _noise().shape[0] - side, 2) if side < 1536 else (0, 0)
    noise = _noise()[top : top + side, left : left + side]
    if noise.shape[:2] != gray.shape:
        noise = cv2.resize(noise, (side, side))
    color = np.array([1.02, 1.0, 0.95], np.float32)
    return np.clip(255 * (gray[..., None] * color + 0.015 * noise), 0, 255).astype(np.uint8)


def _point(xy: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))


def jpeg(rgb: RGB, quality: int = 92) -> bytes:
    """Encode an image as a JPEG file."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError("the image cannot be encoded")
    return data.tobytes()


class Generated:
    """A source of ``count`` JPEG files, each generated when it is read and not stored."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for index in range(self.count):
            yield f"{index:05d}.jpg", jpeg(image(index, seed=self.seed))

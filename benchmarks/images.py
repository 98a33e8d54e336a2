"""Seeded images of an imaginary part, made on the fly, so that a benchmark needs no data and no disk.

A brushed plate with a bore: light, texture and noise vary from image to image; some carry a scratch and a
stain. They are for timing and memory: cheap to make, textured enough that maps and scores are realistic.
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
    """What all images of one size share: float32 ``(side, side)``, about 0..1."""
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
    """A pool of noise to cut from: drawing it anew for every image would cost more than the fit."""
    return np.random.default_rng(11).standard_normal((1536, 1536, 3), dtype=np.float32)


def image(index: int, *, side: int | None = None, defect: bool = False, seed: int = 0) -> RGB:
    """Image number ``index``: uint8 ``(side, side, 3)``, the same for the same arguments.

    Args:
        index: from 0.
        side: in pixels; without it 256, 320, 384, 448 or 512, by the seed.
        defect: add a scratch and a stain.
        seed: another set of images.
    """
    rng = np.random.default_rng([seed, index, defect])
    side = side or int(rng.choice([256, 320, 384, 448, 512]))
    light = rng.normal(1.0, 0.06, (5, 5)).astype(np.float32)
    grey = _plate(side) * cv2.resize(light, (side, side), interpolation=cv2.INTER_CUBIC)
    if defect:
        scale = side / 256
        angle, length = rng.uniform(0, np.pi), rng.uniform(15, 60) * scale
        start = rng.uniform(0.15, 0.85, 2) * side
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        mark = np.zeros((side, side), np.float32)
        cv2.line(mark, _point(start), _point(end), 1.0, max(1, round(2 * scale)), cv2.LINE_AA)
        cv2.circle(mark, _point(rng.uniform(0.15, 0.85, 2) * side), round(rng.uniform(3, 9) * scale), 0.6, -1)
        grey = grey * (1 - rng.uniform(0.25, 0.6) * cv2.GaussianBlur(mark, (0, 0), 0.7 * scale))
    top, left = rng.integers(0, _noise().shape[0] - side, 2) if side < 1536 else (0, 0)
    noise = _noise()[top : top + side, left : left + side]
    if noise.shape[:2] != grey.shape:
        noise = cv2.resize(noise, (side, side))
    colour = np.array([1.02, 1.0, 0.95], np.float32)
    return np.clip(255 * (grey[..., None] * colour + 0.015 * noise), 0, 255).astype(np.uint8)


def _point(xy: npt.NDArray[np.float64]) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))


def jpeg(rgb: RGB, quality: int = 92) -> bytes:
    """The image as a JPEG file."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError("the image cannot be encoded")
    return data.tobytes()


class Generated:
    """A source of ``count`` JPEG files, each made when it is asked for and kept nowhere."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for index in range(self.count):
            yield f"{index:05d}.jpg", jpeg(image(index, seed=self.seed))

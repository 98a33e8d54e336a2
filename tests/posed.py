"""Synthetic parts that lie anywhere: an L-shaped plate before a dark background, with known poses."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import rotation

RGB = npt.NDArray[np.uint8]


def posed(
    seed: int,
    *,
    dx: float = 0.0,
    dy: float = 0.0,
    turn: float = 0.0,
    scale: float = 1.0,
    size: tuple[int, int] = (120, 160),
    defect: tuple[float, float] | None = None,
) -> RGB:
    """Return an image of a part, uint8 ``(*size, 3)``.

    Args:
        seed: of the image's noise.
        dx, dy: shift of the part to the right and down from the middle, in pixels.
        turn: degrees counterclockwise on the screen.
        scale: size of the part.
        size: (height, width) of the image.
        defect: place of a dark spot on the part, in its own pixels from the middle; None: no defect.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    image = np.full((*size, 3), 30.0)
    middle = np.array([width / 2 + dx, height / 2 + dy])
    outline = np.array([(-40, -14), (40, -14), (40, 2), (-12, 2), (-12, 22), (-40, 22)], float)
    corners = outline @ rotation(turn).T * scale + middle
    cv2.fillPoly(image, [np.round(corners * 16).astype(np.int32)], (170, 160, 150), cv2.LINE_AA, 4)
    for x in (-30, 28):  # two holes
        hole = rotation(turn) @ (x, -6) * scale + middle
        at = (round(hole[0] * 16), round(hole[1] * 16))
        cv2.circle(image, at, round(5 * scale * 16), (60, 60, 70), -1, cv2.LINE_AA, 4)
    if defect is not None:
        spot = rotation(turn) @ np.array(defect) * scale + middle
        at = (round(spot[0] * 16), round(spot[1] * 16))
        cv2.circle(image, at, round(5 * scale * 16), (20, 20, 20), -1, cv2.LINE_AA, 4)
    image += rng.normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def any_pose(count: int, seed: int = 0, **limits: float) -> list[tuple[str, RGB]]:
    """Return named images of good parts at random poses; the first one lies in the middle.

    Args:
        count: number of images.
        seed: of poses and noise.
        **limits: ``shift`` in pixels (default 12), ``turn`` in degrees (default 180).
    """
    rng = np.random.default_rng(seed)
    shift, turn = limits.get("shift", 12.0), limits.get("turn", 180.0)
    images = [("part_000.png", posed(1000 * seed))]
    for index in range(1, count):
        dx, dy = rng.uniform(-shift, shift, 2)
        image = posed(1000 * seed + index, dx=dx, dy=dy, turn=rng.uniform(-turn, turn))
        images.append((f"part_{index:03}.png", image))
    return images

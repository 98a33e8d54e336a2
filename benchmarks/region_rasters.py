"""Count the pixels in which OpenCV's polygons and strokes differ from those of this project.

    python benchmarks/region_rasters.py

Those of this project are exact: a pixel is inside if its center is, by the non-zero rule, as browsers fill a
path; `tests/decision/test_roi.py` checks them by brute force. OpenCV fills by the even-odd rule, includes
pixels that the border touches, and draws strokes of integer widths only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from padim.decision.roi import Shape, rasterize

SIZE, SHAPES, SHIFT = 256, 300, 8

Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float64]


def padim_mask(kind: str, points: Points, radius: float = 1.0) -> Mask:
    """Rasterize a shape with this project's code."""
    corners = tuple((float(x), float(y)) for x, y in points)
    shape = (
        Shape("polygon", "include", corners)
        if kind == "polygon"
        else Shape("brush", "include", corners, radius)
    )
    mask = rasterize([shape], (SIZE, SIZE))
    assert mask is not None
    return mask


def opencv_mask(kind: str, points: Points, radius: float = 1.0) -> Mask:
    """Rasterize a shape with OpenCV, in fixed-point coordinates of 1/256 pixel."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    fixed = np.round((points - 0.5) * 2**SHIFT).astype(np.int32)
    if kind == "polygon":
        cv2.fillPoly(mask, [fixed], 1, shift=SHIFT)
    else:
        cv2.polylines(mask, [fixed], False, 1, thickness=max(1, round(2 * radius)), shift=SHIFT)
        for x, y in fixed:
            cv2.circle(mask, (int(x), int(y)), round(radius * 2**SHIFT), 1, -1, shift=SHIFT)
    return mask > 0


def main() -> int:
    """Print the differing pixels for each kind of shape."""
    random = np.random.default_rng(0)

    def convex() -> tuple[Mask, Mask]:
        angles = np.sort(random.random(8)) * 2 * np.pi
        around = np.stack([np.cos(angles), np.sin(angles)], 1) * (20 + random.random() * 30)
        points = random.random(2) * 156 + 50 + around
        return padim_mask("polygon", points), opencv_mask("polygon", points)

    def lasso() -> tuple[Mask, Mask]:
        points = random.random((12, 2)) * 200 + 28
        return padim_mask("polygon", points), opencv_mask("polygon", points)

    def stroke() -> tuple[Mask, Mask]:
        points, radius = random.random((5, 2)) * 200 + 28, float(random.random() * 10 + 1)
        return padim_mask("brush", points, radius), opencv_mask("brush", points, radius)

    shape_kinds: dict[str, Callable[[], tuple[Mask, Mask]]] = {
        "convex polygon": convex,
        "lasso that crosses itself": lasso,
        "brush stroke": stroke,
    }
    for name, draw in shape_kinds.items():
        pairs = [draw() for _ in range(SHAPES)]
        pixels = [int((a != b).sum()) for a, b in pairs]
        shares = [n / max(int(a.sum()), 1) for n, (a, _) in zip(pixels, pairs, strict=True)]
        print(
            f"{name}: differing pixels median {np.median(pixels):.0f}, most {max(pixels)}; "
            f"of the shape median {np.median(shares):.1%}, most {max(shares):.0%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

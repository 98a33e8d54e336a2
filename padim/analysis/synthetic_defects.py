"""Synthetic defects: scratches, spots, stains, dents and missing patches painted on an image.

**Contrast** is the change of pixel values as a share of the range from black to white: 0.1 is 25.5 gray
levels at full strength. It is the unit of the network's input, and perceptually about uniform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from padim.data.loading import RGB
from padim.data.preprocess import Box

__all__ = ["KINDS", "SMALLEST_SIZE", "DefectKind", "Look", "PaintedPlace", "footprint", "paint"]

DefectKind = Literal["scratch", "spot", "stain", "dent", "missing"]
Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

KINDS: tuple[DefectKind, ...] = get_args(DefectKind)
SMALLEST_SIZE = 1.0

# The width of a scratch as a share of its length.
_SLENDER = 0.1
# How far the outline of a stain deviates inwards from its circle, and the wave numbers of the deviation.
_RAGGED, _WAVES = 0.3, (2, 3, 5)
# The weights of red, green and blue: a dark stain is brownish, because it takes least from
# red and most from blue.
_TINT = {"stain": (0.4, 0.7, 1.0)}
# 1 / max q (1 - q^2)^2, which is at q = 1 / sqrt(5).
_DENT_PEAK = 1 / (5**-0.5 * 0.8**2)
# The contrast at which a missing patch has lost all texture.
_BARE = 0.5


@dataclass(frozen=True)
class Look:
    """The appearance of a defect, in which defects of one kind, size and contrast can differ.

    Attributes:
        angle: the direction of a scratch, the rotation of a patch or the lighting direction
            of a dent, in radians.
        brighter: whether the defect is brighter than the background, not darker; inverted if the range of
            values leaves no room for that.
        phases: the phases of a stain's outline in radians, one for each of its waves.
    """

    angle: float = 0.0
    brighter: bool = False
    phases: tuple[float, ...] = (0.0,) * len(_WAVES)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Look:
        """Draw an appearance at random."""
        angle, *phases = rng.uniform(0, 2 * math.pi, 1 + len(_WAVES))
        return cls(float(angle), bool(rng.random() < 0.5), tuple(map(float, phases)))


class PaintedPlace(NamedTuple):
    """The center of a painted defect in map pixels, and its appearance."""

    x: float
    y: float
    look: Look


def footprint(kind: DefectKind, size: float, look: Look, x: float, y: float, box: Box) -> tuple[Box, Doubles]:
    """Return the weight with which each pixel is painted.

    A scratch is a bar of length ``size`` and a tenth of that width; a spot is a disc of that diameter; a
    stain is an irregular shape in such a disc that fades towards its edge; a dent is a depression of that
    diameter lit from one side, bright on one side and dark on the other; a missing patch is a square of that
    side. Edges are anti-aliased, and every weight is a continuous function of size and place.

    Args:
        kind: one of ``KINDS``.
        size: the size in pixels, at least 1, not necessarily an integer.
        look: the appearance.
        x, y: the center; pixel i covers [i, i + 1).
        box: the area that may be painted.

    Returns:
        The window of pixels, cropped to ``box`` and possibly empty, and its weights, float64 ``(height,
        width)``, from -1 to 1; negative in a dent only.

    Raises:
        ValueError: the kind is unknown, or the size is below 1 or not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not (math.isfinite(size) and size >= SMALLEST_SIZE):
        raise ValueError(f"size must be at least {SMALLEST_SIZE:g} pixel, got {size}")
    half = size / 2
    # The distance to the corner of a rotated square, and a margin for its anti-aliased edge.
    reach = half * math.sqrt(2) + 1
    left, top = max(box.left, math.floor(x - reach)), max(box.top, math.floor(y - reach))
    right = min(box.left + box.width, math.ceil(x + reach))
    bottom = min(box.top + box.height, math.ceil(y + reach))
    window = Box(top, left, max(0, bottom - top), max(0, right - left))
    dx = np.arange(window.left, window.left + window.width) + 0.5 - x
    dy = (np.arange(window.top, window.top + window.height) + 0.5 - y)[:, None]
    along = math.cos(look.angle) * dx + math.sin(look.angle) * dy
    across = math.cos(look.angle) * dy - math.sin(look.angle) * dx
    if kind == "scratch":
        return window, _strip(along, half) * _strip(across, half * _SLENDER)
    if kind == "missing":
        return window, _strip(along, half) * _strip(across, half)
    if kind == "spot":
        return window, np.minimum(np.clip(half + 0.5 - np.hypot(dx, dy), 0, 1), math.pi * half**2)
    # These shapes are smooth, so the mean of four points in each pixel is sufficient.
    fade = _stain if kind == "stain" else _dent
    points = [fade(dx + i, dy + j, half, look) for i in (-0.25, 0.25) for j in (-0.25, 0.25)]
    return window, np.asarray(np.mean(points, axis=0))


def _stain(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """Return the weights of a stain: 1 inside, falling to 0 over the outer half of its radius."""
    around = np.arctan2(dy, dx) - look.angle
    waves = [np.sin(n * around + phase) for n, phase in zip(_WAVES, look.phases, strict=True)]
    edge = half * (1 - _RAGGED / 2 * (1 + np.mean(waves, axis=0)))
    depth = np.clip(2 * (1 - np.hypot(dx, dy) / edge), 0, 1)
    return np.asarray(depth**2 * (3 - 2 * depth))


def _dent(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """Return the weights of a dent: 1 at its brightest point, -1 at its darkest, 0 outside its rim."""
    along = math.cos(look.angle) * dx + math.sin(look.angle) * dy
    share = np.hypot(dx, dy) / half
    return np.asarray(_DENT_PEAK * along / half * np.clip(1 - share**2, 0, None) ** 2)


def _strip(distance: Floats, half_width: float) -> Doubles:
    """Return the share of a pixel that a strip covers, from its distance to the axis of the strip."""
    return np.minimum(np.clip(half_width + 0.5 - np.abs(distance), 0, 1), 2 * half_width)


def paint(
    rgb: RGB,
    kind: DefectKind,
    size: float,
    contrast: float,
    look: Look,
    x: float,
    y: float,
    box: Box | None = None,
) -> tuple[RGB, Mask]:
    """Return a copy of an image with a defect painted on it.

    Values change by ``255 * contrast * weight``, up or down according to ``look``, or in the other direction
    if the values would leave the range and there is more room on the other side; a stain changes red less
    than blue. A missing patch changes its mean in this way and also loses its texture, completely from a
    contrast of 0.5 on. Values that still leave the range are clipped.

    Args:
        rgb: uint8 ``(h, w, 3)``; is not modified.
        kind, size, look, x, y: as for :func:`footprint`.
        contrast: from 0 to 1, a share of the range from black to white; 0 changes nothing.
        box: the area that may be painted; None for the whole image.

    Returns:
        The image, uint8 ``(h, w, 3)``, and the painted area, bool ``(h, w)``. No pixel outside it differs.

    Raises:
        ValueError: the contrast is out of range, or as for :func:`footprint`.
    """
    if not 0 <= contrast <= 1:
        raise ValueError(f"contrast must be from 0 to 1, got {contrast}")
    height, width = rgb.shape[:2]
    window, weight = footprint(kind, size, look, x, y, box or Box(0, 0, height, width))
    painted, area = rgb.copy(), np.zeros((height, width), np.bool_)
    place = (
        slice(window.top, window.top + window.height),
        slice(window.left, window.left + window.width),
    )
    area[place] = weight != 0
    total = float(np.abs(weight).sum())
    if total == 0:
        return painted, area
    old = rgb[place].astype(np.float64)
    color = (np.abs(weight)[..., None] * old).sum(axis=(0, 1)) / total
    # A dent has both signs already; its angle determines the bright side.
    sign = 1 if kind == "dent" else _sign(float(color.mean()) / 255, contrast, look.brighter)
    change = 255 * contrast * sign
    new = old + change * weight[..., None] * np.array(_TINT.get(kind, (1.0, 1.0, 1.0)))
    if kind == "missing":
        new += min(1.0, contrast / _BARE) * weight[..., None] * (color - old)
    painted[place] = np.clip(np.rint(new), 0, 255).astype(np.uint8)
    return painted, area


def _sign(mean: float, contrast: float, brighter: bool) -> int:
    """Return the sign of the change: as drawn, unless there is more room in the other direction."""
    room, other = (1 - mean, mean) if brighter else (mean, 1 - mean)
    turned = room < contrast and other > room
    return 1 if brighter != turned else -1

"""Synthetic defects: scratches, spots, stains, dents and missing patches, painted on an image.

**Contrast** is a change of the pixels' own values as a share of black to white: 0.1 is 25.5 grey levels at
full strength. It is the unit the network reads, and about even to the eye.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from padim.data.loading import RGB
from padim.data.preprocess import Box

__all__ = ["KINDS", "SMALLEST_SIZE", "DefectKind", "Look", "Place", "footprint", "paint"]

DefectKind = Literal["scratch", "spot", "stain", "dent", "missing"]
Mask = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

KINDS: tuple[DefectKind, ...] = get_args(DefectKind)
SMALLEST_SIZE = 1.0

# A scratch's width as a share of its length.
_SLENDER = 0.1
# How far a stain's outline goes in from its circle, and its waves around.
_RAGGED, _WAVES = 0.3, (2, 3, 5)
# Brownish: what takes least from red takes most from blue.
_TINT = {"stain": (0.4, 0.7, 1.0)}
# 1 / max q (1 - q^2)^2, which is at q = 1 / sqrt(5).
_DENT_PEAK = 1 / (5**-0.5 * 0.8**2)
# A missing patch has lost all texture at this contrast.
_BARE = 0.5


@dataclass(frozen=True)
class Look:
    """What two defects of one kind, size and contrast may differ in.

    Attributes:
        angle: which way a scratch runs, a patch is turned or a dent is lit from, in radians.
        brighter: brighter than what it lies on, or darker; turned round where there is no room for that.
        phases: of a stain's outline, in radians, one for each of its waves.
    """

    angle: float = 0.0
    brighter: bool = False
    phases: tuple[float, ...] = (0.0,) * len(_WAVES)

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Look:
        """At random."""
        angle, *phases = rng.uniform(0, 2 * math.pi, 1 + len(_WAVES))
        return cls(float(angle), bool(rng.random() < 0.5), tuple(map(float, phases)))


class Place(NamedTuple):
    """Centre of a painted defect in map pixels, and what it looks like there."""

    x: float
    y: float
    look: Look


def footprint(kind: DefectKind, size: float, look: Look, x: float, y: float, box: Box) -> tuple[Box, Doubles]:
    """How strongly each pixel is painted.

    A scratch is a bar of length ``size``, a tenth of that wide; a spot a disc of that diameter; a stain a
    ragged blot within such a disc, fading to its edge; a dent a dip of that diameter lit from one side,
    bright here and dark there; a missing patch a square of that side. Edges cover their pixels in part, and
    every weight is a continuous function of size and place.

    Args:
        kind: one of ``KINDS``.
        size: in pixels, at least 1; need not be whole.
        look: angle and outline.
        x, y: its centre; pixel i covers [i, i + 1).
        box: what may be painted on.

    Returns:
        The window of pixels, cut to ``box`` and perhaps empty, and float64 ``(height, width)`` of weights in
        it, -1 to 1; negative only in a dent.

    Raises:
        ValueError: an unknown kind, or a size below 1 or not finite.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not (math.isfinite(size) and size >= SMALLEST_SIZE):
        raise ValueError(f"size must be at least {SMALLEST_SIZE:g} pixel, got {size}")
    half = size / 2
    # To the corner of a turned square, and half a pixel of edge beyond.
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
    # Smooth shapes: the mean of four points in each pixel will do.
    fade = _stain if kind == "stain" else _dent
    points = [fade(dx + i, dy + j, half, look) for i in (-0.25, 0.25) for j in (-0.25, 0.25)]
    return window, np.asarray(np.mean(points, axis=0))


def _stain(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """1 inside, and down to 0 over the outer half of its ragged radius."""
    around = np.arctan2(dy, dx) - look.angle
    waves = [np.sin(n * around + phase) for n, phase in zip(_WAVES, look.phases, strict=True)]
    edge = half * (1 - _RAGGED / 2 * (1 + np.mean(waves, axis=0)))
    depth = np.clip(2 * (1 - np.hypot(dx, dy) / edge), 0, 1)
    return np.asarray(depth**2 * (3 - 2 * depth))


def _dent(dx: Floats, dy: Floats, half: float, look: Look) -> Doubles:
    """The slope of a dip towards the light: 1 at its brightest, -1 at its darkest, 0 from its rim on."""
    along = math.cos(look.angle) * dx + math.sin(look.angle) * dy
    share = np.hypot(dx, dy) / half
    return np.asarray(_DENT_PEAK * along / half * np.clip(1 - share**2, 0, None) ** 2)


def _strip(distance: Floats, half_width: float) -> Doubles:
    """The share of a pixel that a strip covers, from the distance of its centre to the strip's axis."""
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
    """A copy of an image with a defect painted on it.

    Values change by ``255 * contrast * weight``, up or down as ``look`` says, or the other way where that
    leaves the scale and the other has more room; a stain takes less from red than from blue. A missing patch
    changes its mean so and loses its texture as well, all of it from contrast 0.5 on. What still leaves the
    scale is clipped.

    Args:
        rgb: uint8 ``(h, w, 3)``; is not changed.
        kind, size, look, x, y: as for :func:`footprint`.
        contrast: 0 to 1, a share of black to white; 0 changes nothing.
        box: what may be painted on; None is the whole image.

    Returns:
        uint8 ``(h, w, 3)``, and bool ``(h, w)``: the painted area. No pixel outside it differs.

    Raises:
        ValueError: a contrast out of range, or as :func:`footprint`.
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
    colour = (np.abs(weight)[..., None] * old).sum(axis=(0, 1)) / total
    # A dent goes both ways as it is; which side is bright is in its angle.
    sign = 1 if kind == "dent" else _sign(float(colour.mean()) / 255, contrast, look.brighter)
    change = 255 * contrast * sign
    new = old + change * weight[..., None] * np.array(_TINT.get(kind, (1.0, 1.0, 1.0)))
    if kind == "missing":
        new += min(1.0, contrast / _BARE) * weight[..., None] * (colour - old)
    painted[place] = np.clip(np.rint(new), 0, 255).astype(np.uint8)
    return painted, area


def _sign(mean: float, contrast: float, brighter: bool) -> int:
    """Up or down: as drawn, unless there is too little room that way and more the other."""
    room, other = (1 - mean, mean) if brighter else (mean, 1 - mean)
    turned = room < contrast and other > room
    return 1 if brighter != turned else -1

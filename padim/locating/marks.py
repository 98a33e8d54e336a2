"""Check whether a place marked on the reference can be found again: it is distinctive and occurs once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from padim.locating.frame import rotation
from padim.locating.matching import Patch, coarsest, gray, pyramid, sample, similarity_of
from padim.locating.settings import Align, Mark

__all__ = ["MOST_ALIKE", "Examined", "examine", "misplaced"]

RGB = npt.NDArray[np.uint8]

# Shortest side of a mark, in pixels.
_SHORTEST = 12
# Largest share of the image's side that a mark may take.
_LARGEST = 0.9
# Least standard deviation inside the mark, in gray levels, and its least share that is not noise, both after
# a blur by _BLUR pixels: of white noise 0.19 is left.
_CONTRAST, _SMOOTH_SHARE, _BLUR = 3.0, 0.35, 1.5
# A color channel is compared instead of the brightness when its contrast is larger by this factor.
_CHANNEL_GAIN = 1.5
# Largest match with a place beside the mark, a quarter of its shorter side away.
_RIDGE = 0.95
# Largest match of another place, and of the mark with itself when turned.
MOST_ALIKE = 0.75
# Largest match of another place at the coarsest level; otherwise a finer one is searched, until the shorter
# side has _FINE_ENOUGH pixels.
_COARSE_ALIKE, _FINE_ENOUGH = 0.85, 17
# What a turn by _TURN degrees and a change of size by _SIZE must take from the match to be measurable.
_TURN, _TURN_LOSS, _SIZE, _SIZE_LOSS = 8.0, 0.03, 1.1, 0.02


@dataclass(frozen=True)
class Examined:
    """What the check of a mark found.

    Attributes:
        patch: the mark, ready to be searched for; None if it cannot be used.
        reason: why it cannot be used, with the remedy; empty if it can.
        second: match of the most similar other place of the reference, 0 if none comes near.
        ridge: largest match a quarter of the mark's shorter side beside it.
        contrast: standard deviation inside the mark, in gray levels, without fine noise.
    """

    patch: Patch | None
    reason: str = ""
    second: float = 0.0
    ridge: float = 0.0
    contrast: float = 0.0

    @property
    def quality(self) -> float:
        """How distinctive the mark is, from 0 (unusable) to 1."""
        if self.patch is None:
            return 0.0
        unique = 1 - max(0.0, self.second) / MOST_ALIKE
        sharp = 1 - max(0.0, self.ridge) / _RIDGE
        strong = min(1.0, self.contrast / (5 * _CONTRAST))
        return max(0.0, min(1.0, (0.3 + 0.7 * unique) * (0.3 + 0.7 * sharp) * strong))


def misplaced(mark: Mark, image_size: tuple[int, int]) -> str:
    """Return why a rectangle cannot be a mark of an image of this (height, width); empty if it can."""
    x, y, wide, high = mark
    height, width = image_size
    if x < 0 or y < 0 or x + wide > width or y + high > height:
        return f"it lies partly outside the image, which has {width} x {height} pixels; draw it inside"
    if min(wide, high) < _SHORTEST:
        return f"it is too small: draw it at least {_SHORTEST} pixels wide and high"
    if wide > _LARGEST * width or high > _LARGEST * height:
        return "it leaves the part no room to move: draw it smaller, around one distinctive place"
    return ""


def examine(reference: RGB, mark: Mark, align: Align, *, alone: bool) -> Examined:
    """Check a mark.

    Args:
        reference: uint8 ``(h, w, 3)``.
        mark: (x, y, width, height) in pixels of the reference.
        align: the limits within which it is searched for.
        alone: whether it is the only mark, which has to tell the turn too.
    """
    height, width = reference.shape[:2]
    reason = misplaced(mark, (height, width))
    if reason:
        return Examined(None, reason)
    channel, contrast, share = _channel(reference, mark)
    if contrast < _CONTRAST:
        return Examined(
            None, "there is nothing to see in it; mark a place with clear details", 0, 0, contrast
        )
    if share < _SMOOTH_SHARE:
        return Examined(
            None, "only noise or very fine grain is in it; mark a place with clear details", 0, 0, contrast
        )
    image = gray(reference, channel)
    ridge = _beside(image, mark)
    if ridge > _RIDGE:
        reason = (
            "it looks the same a little beside it, as along a straight edge; mark a corner, a hole or "
            "another place that is distinctive in both directions"
        )
        return Examined(None, reason, 0, ridge, contrast)
    turns, sizes = _measurable(image, mark)
    if alone and not turns and align.max_turn > 0:
        return Examined(None, _ROUND, 0, ridge, contrast)
    reason, second = "", 0.0
    for levels in range(coarsest(min(mark[2:])), -1, -1):
        patch = Patch(
            reference,
            mark,
            channel,
            turns=turns and align.max_turn > 0,
            sizes=sizes and align.max_scale > 0,
            levels=levels,
        )
        if levels == 0 or _clear(patch, image, align) or min(patch.coarse.shape) >= _FINE_ENOUGH:
            break
    reason, second = _elsewhere(patch, image, align, alone)
    return Examined(None if reason else patch, reason, second, ridge, contrast)


_ROUND = (
    "it looks the same when it is turned, so that it does not tell the part's turn; mark a second place, "
    "or one that is not round"
)


def _channel(reference: RGB, mark: Mark) -> tuple[int | None, float, float]:
    """Return the channel of most contrast, the mark's contrast in it, and the share that is not noise."""
    x, y, wide, high = mark
    part = reference[int(y) : math.ceil(y + high), int(x) : math.ceil(x + wide)]

    def measured(channel: int | None) -> tuple[int | None, float, float]:
        values = gray(part, channel).astype(np.float32)
        contrast = float(cv2.GaussianBlur(values, (0, 0), _BLUR).std())
        return channel, contrast, contrast / max(float(values.std()), 1e-6)

    brightness = measured(None)
    best = max((measured(channel) for channel in range(3)), key=lambda found: found[1])
    return best if best[1] > _CHANNEL_GAIN * brightness[1] else brightness


def _reduced(image: npt.NDArray[np.uint8], mark: Mark, side: float) -> tuple[npt.NDArray[np.uint8], Mark]:
    """Return image and mark reduced as far as the mark's shorter side stays at least ``side``."""
    levels = max(0, int(math.log2(max(1.0, min(mark[2:]) / side))))
    x, y, wide, high = (value / 2**levels for value in mark)
    return pyramid(image, levels)[-1], (x, y, wide, high)


def _beside(image: npt.NDArray[np.uint8], mark: Mark) -> float:
    """Return the largest match of the mark with places a quarter of its shorter side beside it."""
    image, (x, y, wide, high) = _reduced(image, mark, 24)
    shape = (round(high), round(wide))
    radius = min(shape) / 4
    far = math.ceil(radius) + 1
    center = (x + wide / 2, y + high / 2)
    around = sample(image, center, np.eye(2), (shape[0] + 2 * far, shape[1] + 2 * far))
    patch = np.ascontiguousarray(around[far:-far, far:-far])
    scores = cv2.matchTemplate(around, patch, cv2.TM_CCOEFF_NORMED)
    offset = np.arange(-far, far + 1)
    distance = np.hypot(offset[None, :], offset[:, None])
    return float(scores[(distance >= radius) & (distance < radius + 1.5)].max())


def _measurable(image: npt.NDArray[np.uint8], mark: Mark) -> tuple[bool, bool]:
    """Return whether the mark tells its turn, and whether it tells its size."""
    image, (x, y, wide, high) = _reduced(image, mark, 24)
    shape, center = (round(high), round(wide)), (x + wide / 2, y + high / 2)
    patch = sample(image, center, np.eye(2), shape)

    def loss(turn: float, scale: float) -> float:
        return 1 - similarity_of(patch, sample(image, center, rotation(turn) * scale, shape))

    turned = min(loss(_TURN, 1), loss(-_TURN, 1))
    sized = min(loss(0, _SIZE), loss(0, 1 / _SIZE))
    return turned >= _TURN_LOSS, sized >= _SIZE_LOSS


def _clear(patch: Patch, image: npt.NDArray[np.uint8], align: Align) -> bool:
    """Return whether the mark stands out from all other places at the coarsest level already."""
    height, width = image.shape
    places = patch.coarse_places(
        pyramid(image, patch.levels),
        (width / 2, height / 2),
        2 * align.max_shift / 100 * max(height, width),
        patch.grid(align.max_turn, align.max_scale),
    )
    right = [place for place in places if math.dist((place.x, place.y), patch.center) <= min(patch.size) / 4]
    if not right or right[0] is not places[0]:
        return False
    return len(places) < 2 or places[1].match <= _COARSE_ALIKE


def _elsewhere(patch: Patch, image: npt.NDArray[np.uint8], align: Align, alone: bool) -> tuple[str, float]:
    """Return why the mark can be confused with another place or turn, and the match of that."""
    height, width = image.shape
    pivot = (width / 2, height / 2)
    images = pyramid(image, patch.levels)
    # The part moves to either side, and with it both places.
    reach = 2 * align.max_shift / 100 * max(height, width)
    places = patch.search(images, pivot, reach, patch.grid(align.max_turn, align.max_scale))
    near = min(patch.size) / 4

    def away(x: float, y: float) -> float:
        return math.hypot(x - patch.center[0], y - patch.center[1])

    others = [place for place in places if away(place.x, place.y) > near]
    if others and others[0].match >= MOST_ALIKE:
        other = others[0]
        reason = (
            f"it repeats: the place around ({other.x:.0f}, {other.y:.0f}) looks the same (match "
            f"{other.match:.2f}); include something that occurs only once"
        )
        return reason, other.match
    if not places or away(places[0].x, places[0].y) > near:
        return "it cannot be told from other places at low resolution; draw it larger", 1.0
    second = max(0.0, others[0].match) if others else 0.0
    if alone and patch.turns:
        turns = [turn for turn, _ in patch.grid(min(180, 2 * align.max_turn), 0) if abs(turn) >= 20]
        for place in patch.search(images, pivot, reach, [(turn, 1.0) for turn in turns]):
            turned = abs((place.turn + 180) % 360 - 180)
            if away(place.x, place.y) <= 2 * near and turned > 10 and place.match >= MOST_ALIKE:
                return f"{_ROUND} (by {turned:.0f}°, match {place.match:.2f})", place.match
    return "", second

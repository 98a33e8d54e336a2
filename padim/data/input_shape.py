"""The input size near the parts' own aspect ratio, at about the cost of the usual square."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeAlias

from padim.config import PadimConfig
from padim.input_size import COARSEST_STRIDE, LARGEST, SMALLEST, InputSize, about_area, as_input_size

__all__ = ["input_shape_for", "is_open", "with_input_shape"]

Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""

# The area in pixels of the default, whatever its shape: a model's cost hardly depends on the shape.
_AREA = 256 * 256
# Aspect ratios nearer to a square than this keep the square, so that usual cameras' 5:4 is the first that
# differs.
_NEARLY_SQUARE = 1.2


def input_shape_for(sizes: Iterable[tuple[float, float]], area: int = _AREA) -> InputSize:
    """Return the input size for parts of these sizes: near their own aspect ratio, at about the usual cost.

    Of mixed shapes it is the geometric mean of the extreme aspect ratios, for images that are then padded.
    Nearly square parts, and no parts at all, keep the square.

    Args:
        sizes: (height, width) of images in pixels.
        area: pixels of the input, about.

    Returns:
        A side, or (height, width): of all pairs of multiples of 32 with an area of 0.8 to 1.1 times the
        wanted one, that nearest in aspect ratio; the larger of two equally near ones.
    """
    square = max(SMALLEST, round(math.sqrt(area) / COARSEST_STRIDE) * COARSEST_STRIDE)
    ratios = [width / height for height, width in sizes]
    if not ratios:
        return square
    wanted = math.sqrt(min(ratios) * max(ratios))
    if 1 / _NEARLY_SQUARE <= wanted <= _NEARLY_SQUARE:
        return square
    sides = range(SMALLEST, LARGEST + 1, COARSEST_STRIDE)
    pairs = [(h, w) for h in sides for w in sides if about_area(h * w, area)]
    if not pairs:
        return square

    def off(pair: tuple[int, int]) -> tuple[float, int]:
        height, width = pair
        return round(abs(math.log(width / height / wanted)), 9), -height * width

    return as_input_size(min(pairs, key=off))


def is_open(config: PadimConfig) -> bool:
    """Whether no input size is given, so that the images, or the frame of located parts, decide it."""
    return "input_size" not in config.model_fields_set


def with_input_shape(config: PadimConfig, sizes: Iterable[tuple[float, float]]) -> PadimConfig:
    """Return the configuration with the input size for images of these sizes; unchanged if it is not open.

    Args:
        config: the settings as asked for.
        sizes: (height, width) of images or of the located parts' frame in pixels; none keeps the square.
    """
    sizes = list(sizes)
    if not sizes or not is_open(config):
        return config
    # Copied, not validated again: what is wrong in a configuration is reported where it is used.
    return config.model_copy(update={"input_size": input_shape_for(sizes)})

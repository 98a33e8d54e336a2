"""COCO's run lengths (RLE): masks as the lengths of alternating runs, column by column, beginning with 0.

The compressed form has each length in base 32 with the sign of its difference to the length before the last
(https://github.com/cocodataset/cocoapi, ``rleFrString``). It is decoded here with every length checked: the
reference implementation trusts its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from padim.data.layouts.annotations import BrokenShapeError, numbers
from padim.data.masks import Mask

__all__ = ["mask_of_runs", "run_lengths"]


def run_lengths(counts: Any) -> list[int]:
    """Return the run lengths of a segmentation, given as a list of numbers or as compressed text.

    Raises:
        BrokenShapeError: it is neither.
    """
    if isinstance(counts, str):
        return _decompressed(counts)
    found = numbers(counts, "its list of run lengths")
    if any(one < 0 or one != int(one) for one in found):
        raise BrokenShapeError("has a run length that is no whole number")
    return [int(one) for one in found]


def mask_of_runs(runs: Sequence[int], size: tuple[int, int]) -> Mask:
    """Return the mask of run lengths, bool ``size`` (height, width).

    Raises:
        BrokenShapeError: they do not add up to the number of pixels.
    """
    height, width = size
    total = sum(runs)
    if total != height * width:
        raise BrokenShapeError(f"has runs of {total:,} pixels, its image {height * width:,}")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _decompressed(text: str) -> list[int]:
    found: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise BrokenShapeError("has compressed run lengths with a character that is none of theirs")
        value |= (code & 31) << shift
        shift += 5
        if shift > 60:
            raise BrokenShapeError("has a run length that is too large")
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        if len(found) > 2:
            value += found[-2]
        if value < 0:
            raise BrokenShapeError("has a run length below 0")
        found.append(value)
        value = shift = 0
    if shift:
        raise BrokenShapeError("has compressed run lengths that end too early")
    return found

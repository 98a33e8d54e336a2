"""The positions around every position of a grid, for parts that sit a little differently each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# A position and those around it, row by row; the position itself is the middle one.
COUNT = 9
OWN = 4


def neighbours(grid: int, reach: int = 1) -> Ints:
    """int64 ``(p, (2 reach + 1)^2)``: the positions around each; itself where the grid ends.

    Args:
        grid: side of the grid; p is its square.
        reach: positions to each side.
    """
    side = 2 * reach + 1
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    down, right = np.divmod(np.arange(side * side), side)
    row, column = rows[:, None] + down - reach, columns[:, None] + right - reach
    inside = (row >= 0) & (row < grid) & (column >= 0) & (column < grid)
    return np.where(inside, row * grid + column, np.arange(grid * grid)[:, None])


def seen_from(grid: int, reach: int = 1) -> Ints:
    """int64, shaped as :func:`neighbours`: places in a flat array ``(p * count,)`` of what each position
    makes of its neighbours, turned round: row j holds what the neighbours of j make of j."""
    around = neighbours(grid, reach)
    count = around.shape[1]
    # Seen from the neighbour, j lies on the opposite side.
    opposite = np.where(around == np.arange(grid * grid)[:, None], count // 2, count - 1 - np.arange(count))
    return around * count + opposite

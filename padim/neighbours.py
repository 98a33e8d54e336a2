"""The 3 x 3 neighbours of every position of a grid, for parts that sit a little differently each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# A position and those around it, row by row; the position itself is the middle one.
COUNT = 9
OWN = 4


def neighbours(grid: int) -> Ints:
    """int64 ``(p, 9)``: the positions around each; itself where the grid ends."""
    rows, columns = np.divmod(np.arange(grid * grid), grid)
    down, right = np.divmod(np.arange(COUNT), 3)
    row, column = rows[:, None] + down - 1, columns[:, None] + right - 1
    inside = (row >= 0) & (row < grid) & (column >= 0) & (column < grid)
    return np.where(inside, row * grid + column, np.arange(grid * grid)[:, None])


def seen_from(grid: int) -> Ints:
    """int64 ``(p, 9)``: places in a flat array ``(p * 9,)`` of what each position makes of its neighbours,
    turned round: row j holds what the neighbours of j make of j."""
    around = neighbours(grid)
    # Seen from the neighbour, j lies on the opposite side.
    opposite = np.where(around == np.arange(grid * grid)[:, None], OWN, COUNT - 1 - np.arange(COUNT))
    return around * COUNT + opposite

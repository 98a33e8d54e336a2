"""The neighbors of every grid position, for parts that are placed slightly differently each time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# The number of positions in a 3 x 3 neighborhood, row by row, and the index of the position itself.
COUNT = 9
OWN = 4


def neighbors(grid: tuple[int, int], reach: int = 1) -> Ints:
    """Return the neighbors of every position; outside the grid the position itself stands for a neighbor.

    Args:
        grid: rows and columns of the grid; p is their product.
        reach: the number of neighbors on each side.

    Returns:
        int64 ``(p, (2 reach + 1)^2)``.
    """
    side = 2 * reach + 1
    height, width = grid
    rows, columns = np.divmod(np.arange(height * width), width)
    down, right = np.divmod(np.arange(side * side), side)
    row, column = rows[:, None] + down - reach, columns[:, None] + right - reach
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return np.where(inside, row * width + column, np.arange(height * width)[:, None])


def seen_from(grid: tuple[int, int], reach: int = 1) -> Ints:
    """Return where the values that the neighbors of a position computed for it are stored.

    Every position computes one value for each of its ``count`` neighbors, and a flat array ``(p * count,)``
    holds them position by position. Row j of the result are the indices of the values computed for j.

    Args:
        grid: rows and columns of the grid; p is their product.
        reach: the number of neighbors on each side.

    Returns:
        int64 ``(p, count)``, of the shape of :func:`neighbors`.
    """
    around = neighbors(grid, reach)
    count = around.shape[1]
    # Seen from the neighbor, j is on the opposite side.
    opposite = np.where(around == np.arange(len(around))[:, None], count // 2, count - 1 - np.arange(count))
    return around * count + opposite

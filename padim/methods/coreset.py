"""Greedy k-center selection of a coreset: a few points such that every point is close to one of them.

Each point selected is the one farthest from those selected so far. The largest distance of any point to the
selection is then at most twice the optimal one (Gonzalez, 1985; the coreset of PatchCore, Roth et al., 2022,
algorithm 1).

:func:`refills` returns the points to add to the selection when the points of one group are removed from it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from padim.network.threads import in_threads

Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

# A random projection to this many dimensions hardly changes the distances between points (Johnson and
# Lindenstrauss), and k-center selection only compares distances.
PROJECTED = 64
# The number of farthest points among which the next ones are searched, and the number of points selected
# before the distances of all points are updated.
_CANDIDATES = 4096
_TOGETHER = 64
_BLOCK = 65536
# The number of distances that a thread holds at once while it searches for the nearest selected points.
PRODUCT = 2**22


def projection(features: int, seed: int) -> Singles | None:
    """Return a random projection to :data:`PROJECTED` dimensions.

    Returns:
        float32 ``(d, 64)``; None where d is at most 64.
    """
    if features <= PROJECTED:
        return None
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((features, PROJECTED)) / np.sqrt(PROJECTED)).astype(np.float32)


def k_center(
    points: Singles, count: int, seed: int, step: Callable[[int], None] = lambda _: None
) -> npt.NDArray[np.int64]:
    """Select ``count`` points greedily, each the farthest from those selected before it.

    Selecting a point can only decrease the distances of the others. The next point is therefore searched
    among the few thousand farthest ones only, as long as it is farther than all the remaining points were.
    The distances of all points are then updated for several selected points in one matrix product, instead of
    for one at a time: the result is the same in a tenth of the time.

    Args:
        points: float32 ``(n, d)``.
        count: the number of points to select, at most n.
        seed: the seed of the first point, which is drawn at random.
        step: called with the number of points selected so far; may raise to cancel.

    Returns:
        int64 ``(count,)``, the rows of the selected points in the order of selection; the first m rows are
        the selection of m points.

    Raises:
        ValueError: ``count`` is not between 1 and n.
    """
    n = len(points)
    if not 1 <= count <= n:
        raise ValueError(f"count must be 1 to {n}, got {count}")
    halves = 0.5 * np.einsum("nd,nd->n", points, points)
    chosen = [int(np.random.default_rng(seed).integers(n))]
    # Half the squared distance to the nearest selected point, less half the squared
    # length of the point itself.
    nearest = np.full(n, np.inf, np.float32)
    _update_nearest(points, halves, chosen, nearest)
    while len(chosen) < count:
        step(len(chosen))
        far = nearest + halves
        size = min(_CANDIDATES, n)
        among = np.argpartition(far, n - size)[n - size :]
        # No point outside the candidates is farther than the nearest candidate.
        rest = -np.inf if size == n else float(far[among].min())
        near, own, half = nearest[among], points[among], halves[among]
        fresh: list[int] = []
        while len(fresh) < min(_TOGETHER, count - len(chosen)):
            best = int((near + half).argmax())
            if fresh and near[best] + half[best] < rest:
                break
            fresh.append(int(among[best]))
            np.minimum(near, half[best] - own @ own[best], out=near)
            near[best] = -np.inf
        _update_nearest(points, halves, fresh, nearest)
        chosen += fresh
    step(count)
    return np.array(chosen, np.int64)


def _update_nearest(points: Singles, halves: Singles, fresh: list[int], nearest: Singles) -> None:
    """Update ``nearest`` in place with the distances to the points just selected."""
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        product = halves[fresh] - points[block] @ points[fresh].T
        np.minimum(nearest[block], product.min(axis=1), out=nearest[block])
    # Rounding must not let a selected point be selected again.
    nearest[fresh] = -np.inf


def refills(
    points: Singles, chosen: Ints, groups: Ints, step: Callable[[int, int], None] = lambda *_: None
) -> list[Ints]:
    """Return, for every group, the points to add to a selection from which the group's points are removed.

    The selection skipped points of other groups that are near to the group's selected points, so removing
    these leaves gaps that a selection without the group would not have. The gaps are filled by the same
    greedy rule: the point farthest from the remaining selection is added, until no point of the other groups
    is farther from it than the farthest point is from the complete selection.

    Args:
        points: float32 ``(n, d)``.
        chosen: int64 ``(m,)``, the rows of the selection, as returned by :func:`k_center`.
        groups: int64 ``(n,)``, the group of every point, counted from 0.
        step: called with the number of groups done and their total; may raise to cancel.

    Returns:
        For every group, the rows of the points to add, int64 ``(k,)``, in the order of selection.
    """
    count = int(groups.max()) + 1
    bank, owner = points[chosen], groups[chosen]
    halves = 0.5 * np.einsum("nd,nd->n", points, points)
    nearest = np.empty(len(points), np.int64)
    distance = np.empty(len(points), np.float32)

    def find_nearest(block: slice) -> None:
        beside = points[block] @ bank.T
        np.subtract(halves[chosen], beside, out=beside)
        at = beside.argmin(axis=1)
        nearest[block] = owner[at]
        distance[block] = beside[np.arange(len(at)), at] + halves[block]

    size = max(1, PRODUCT // len(chosen))
    blocks = [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]
    step(0, count)
    for _ in in_threads(find_nearest, blocks):
        step(0, count)
    # Half the squared distance of the farthest point from the complete selection.
    radius = float(distance.max())

    def refill(group: int) -> Ints:
        # Every other point is as near to the remaining selection as to the complete one.
        orphaned = np.flatnonzero((nearest == group) & (groups != group))
        left, kept = bank[owner != group], halves[chosen[owner != group]]
        x, half = points[orphaned], halves[orphaned]
        far = np.full(len(orphaned), np.inf, np.float32)
        if len(left):
            for start in range(0, len(orphaned), size):
                block = slice(start, start + size)
                far[block] = (kept - x[block] @ left.T).min(axis=1) + half[block]
        fresh: list[int] = []
        while len(fresh) < len(orphaned):
            best = int(far.argmax())
            if far[best] <= radius:
                break
            fresh.append(best)
            np.minimum(far, half + (half[best] - x @ x[best]), out=far)
            far[best] = -np.inf
        return np.asarray(orphaned[fresh], np.int64)

    result = []
    for found in in_threads(refill, range(count)):
        result.append(found)
        step(len(result), count)
    return result

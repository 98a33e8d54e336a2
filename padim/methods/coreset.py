"""Greedy k-centre selection: few points that leave none of the many far away.

Each point taken is the one farthest from those taken so far, which is within twice the best radius there is
(Gonzalez, 1985; the coreset of PatchCore, Roth et al., 2022, algorithm 1).

:func:`refills` says what the selection lacks where the points of one group are left out of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from padim.network.threads import in_threads

Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

# Distances among the points hardly change when they are projected to so many dimensions at random
# (Johnson and Lindenstrauss); k-centre only compares them.
PROJECTED = 64
# Points that the next ones are looked for among, and how many are taken before all points hear of it.
_CANDIDATES = 4096
_TOGETHER = 64
_BLOCK = 65536
# Distances that a thread holds at once while it looks for the nearest taken points.
PRODUCT = 2**22


def projection(features: int, seed: int) -> Singles | None:
    """A random projection to :data:`PROJECTED` dimensions, float32 ``(d, 64)``; None where d is no more."""
    if features <= PROJECTED:
        return None
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((features, PROJECTED)) / np.sqrt(PROJECTED)).astype(np.float32)


def k_centre(
    points: Singles, count: int, seed: int, step: Callable[[int], None] = lambda _: None
) -> npt.NDArray[np.int64]:
    """Rows of ``count`` points, in the order they were taken.

    A point taken brings the others only nearer, so among the farthest few thousand the next one can be told
    without looking at the rest, as long as it is farther than any of the rest was. All points are then
    measured against several taken ones in one matrix product, and not against each in turn: the same points
    in a tenth of the time.

    Args:
        points: float32 ``(n, d)``.
        count: how many, at most n.
        seed: of the first one, which is drawn.
        step: told how many are taken; may raise to stop.

    Returns:
        int64 ``(count,)``; the first m of them are what m points would be.
    """
    n = len(points)
    if not 1 <= count <= n:
        raise ValueError(f"count must be 1 to {n}, got {count}")
    halves = 0.5 * np.einsum("nd,nd->n", points, points)
    chosen = [int(np.random.default_rng(seed).integers(n))]
    # Half the squared distance to the nearest point taken, without the point's own half square.
    nearest = np.full(n, np.inf, np.float32)
    _hear_of(points, halves, chosen, nearest)
    while len(chosen) < count:
        step(len(chosen))
        far = nearest + halves
        size = min(_CANDIDATES, n)
        among = np.argpartition(far, n - size)[n - size :]
        # None of the rest is farther than the nearest candidate.
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
        _hear_of(points, halves, fresh, nearest)
        chosen += fresh
    step(count)
    return np.array(chosen, np.int64)


def _hear_of(points: Singles, halves: Singles, fresh: list[int], nearest: Singles) -> None:
    """Measure all points against those just taken."""
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        product = halves[fresh] - points[block] @ points[fresh].T
        np.minimum(nearest[block], product.min(axis=1), out=nearest[block])
    # Nor must rounding bring back what is taken.
    nearest[fresh] = -np.inf


def refills(
    points: Singles, chosen: Ints, groups: Ints, step: Callable[[int, int], None] = lambda *_: None
) -> list[Ints]:
    """The points that a selection lacks once the points of one group are left out of it, for every group.

    A selection was made with the group's points in view: what is near to them was passed over, so that
    leaving them out tears gaps that a selection without the group would not have. The gaps are filled by the
    same greedy rule: the point farthest from what is left is taken, until no point of the other groups is
    farther than the farthest one is from the whole selection.

    Args:
        points: float32 ``(n, d)``.
        taken: int64 ``(m,)``, rows of the selection, as :func:`k_centre` gives them.
        groups: int64 ``(n,)``, the group of every point, counted from 0.
        step: told how many groups are done, and of how many; may raise to stop.

    Returns:
        For every group, rows of points of the other groups, int64 ``(k,)``, in the order they were taken.
    """
    count = int(groups.max()) + 1
    bank, owner = points[chosen], groups[chosen]
    halves = 0.5 * np.einsum("nd,nd->n", points, points)
    nearest = np.empty(len(points), np.int64)
    distance = np.empty(len(points), np.float32)

    def look(block: slice) -> None:
        beside = points[block] @ bank.T
        np.subtract(halves[chosen], beside, out=beside)
        at = beside.argmin(axis=1)
        nearest[block] = owner[at]
        distance[block] = beside[np.arange(len(at)), at] + halves[block]

    size = max(1, PRODUCT // len(chosen))
    blocks = [slice(start, min(start + size, len(points))) for start in range(0, len(points), size)]
    step(0, count)
    for _ in in_threads(look, blocks):
        step(0, count)
    # Half the square of how far the farthest point is from the whole selection.
    radius = float(distance.max())

    def refill(group: int) -> Ints:
        # All others are as near to the rest as to the whole.
        bereft = np.flatnonzero((nearest == group) & (groups != group))
        left, kept = bank[owner != group], halves[chosen[owner != group]]
        x, half = points[bereft], halves[bereft]
        far = np.full(len(bereft), np.inf, np.float32)
        if len(left):
            for start in range(0, len(bereft), size):
                block = slice(start, start + size)
                far[block] = (kept - x[block] @ left.T).min(axis=1) + half[block]
        fresh: list[int] = []
        while len(fresh) < len(bereft):
            best = int(far.argmax())
            if far[best] <= radius:
                break
            fresh.append(best)
            np.minimum(far, half + (half[best] - x @ x[best]), out=far)
            far[best] = -np.inf
        return np.asarray(bereft[fresh], np.int64)

    result = []
    for found in in_threads(refill, range(count)):
        result.append(found)
        step(len(result), count)
    return result

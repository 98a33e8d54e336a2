"""Greedy k-centre selection: few points that leave none of the many far away.

Each point taken is the one farthest from those taken so far, which is within twice the best radius there is
(Gonzalez, 1985; the coreset of PatchCore, Roth et al., 2022, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Singles = npt.NDArray[np.float32]

# Distances among the points hardly change when they are projected to so many dimensions at random
# (Johnson and Lindenstrauss); k-centre only compares them.
PROJECTED = 64
# Points that the next ones are looked for among, and how many are taken before all points hear of it.
_CANDIDATES = 4096
_TOGETHER = 64
_BLOCK = 65536


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
    taken = [int(np.random.default_rng(seed).integers(n))]
    # Half the squared distance to the nearest point taken, without the point's own half square.
    nearest = np.full(n, np.inf, np.float32)
    _hear_of(points, halves, taken, nearest)
    while len(taken) < count:
        step(len(taken))
        far = nearest + halves
        size = min(_CANDIDATES, n)
        among = np.argpartition(far, n - size)[n - size :]
        # None of the rest is farther than the nearest candidate.
        rest = -np.inf if size == n else float(far[among].min())
        near, own, half = nearest[among], points[among], halves[among]
        fresh: list[int] = []
        while len(fresh) < min(_TOGETHER, count - len(taken)):
            best = int((near + half).argmax())
            if fresh and near[best] + half[best] < rest:
                break
            fresh.append(int(among[best]))
            np.minimum(near, half[best] - own @ own[best], out=near)
            near[best] = -np.inf
        _hear_of(points, halves, fresh, nearest)
        taken += fresh
    step(count)
    return np.array(taken, np.int64)


def _hear_of(points: Singles, halves: Singles, fresh: list[int], nearest: Singles) -> None:
    """Measure all points against those just taken."""
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        product = halves[fresh] - points[block] @ points[fresh].T
        np.minimum(nearest[block], product.min(axis=1), out=nearest[block])
    # Nor must rounding bring back what is taken.
    nearest[fresh] = -np.inf

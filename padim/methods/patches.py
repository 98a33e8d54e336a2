"""What networks on embeddings are trained on: patches, each in the terms of its own place.

Every place's mean is taken off and its spread divided out, so that one small network does for all places: it
sees how far a patch is from what is usual *there*. Half of the spread's square is the place's own, half that
of all places: a channel that hardly ever varies at one place (many are dead there) would else drown the
others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.methods.base import Task, in_windows
from padim.network.nodes import FLOAT, Piece, constants, op, tensor

OWN_SHARE = 0.5
# What training holds in memory, however many normals there are.
MOST_BYTES = 192 * 2**20
# More in an epoch gains nothing: neighbouring patches are much alike.
PER_EPOCH = 16_384
BATCH = 1024
FEWEST_IN_BATCH = 32
BATCHES_PER_EPOCH = 32
# Of patches that only measure: held-out losses, centres, radii.
MEASURING = 16_384


@dataclass(frozen=True)
class Standard:
    """A place's own zero and unit.

    Attributes:
        mean: float32 ``(p, d)``.
        unit: float32 ``(p, d)``, above 0: what deviations are multiplied by.
    """

    mean: npt.NDArray[np.float32]
    unit: npt.NDArray[np.float32]

    @classmethod
    def of(cls, task: Task, rows: Sequence[int]) -> Standard:
        """From some of the normals. A single one has no spread at a place: all places are then one."""
        p, d = task.positions, task.features
        mean, squares = np.zeros((p, d)), np.zeros((p, d))
        count = 0
        for window in in_windows(rows):
            x = task.read(window).astype(np.float64)
            center = x.mean(axis=0)
            delta, total = center - mean, count + len(window)
            squares += ((x - center) ** 2).sum(axis=0) + delta**2 * (count * len(window) / total)
            mean += delta * (len(window) / total)
            count = total
        if count == 1:
            own = np.broadcast_to(mean.var(axis=0), (p, d))
            mean = np.broadcast_to(mean.mean(axis=0), (p, d))
        else:
            own = squares / (count - 1)
        square = OWN_SHARE * own + (1 - OWN_SHARE) * own.mean(axis=0)
        # A channel that never varies tells nothing, but what differs from it is strange all the same.
        usual = square.mean() or 1.0
        square = np.where(square > 1e-6 * usual, square, usual)
        return cls(mean.astype(np.float32), (1 / np.sqrt(square)).astype(np.float32))

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Embeddings ``(..., p, d)``, standardised."""
        return (x - self.mean) * self.unit

    def piece(self, features: int) -> Piece:
        """``embedding``, float32 ``(n, d, grid, grid)``, to ``patches``, float32 ``(n, p, d)``."""
        nodes = [
            op("Reshape", ["embedding", "as_positions"], ["by_feature"]),
            op("Transpose", ["by_feature"], ["x"], perm=[0, 2, 1]),
            op("Sub", ["x", "mean"], ["deviation"]),
            op("Mul", ["deviation", "unit"], ["patches"]),
        ]
        inputs = [tensor(name, FLOAT, ["p", features]) for name in ("mean", "unit")]
        return Piece(nodes, constants(as_positions=np.array([0, features, -1])), inputs)

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """As graph inputs, by name."""
        return {"mean": self.mean, "unit": self.unit}


def draw(
    task: Task, rows: Sequence[int], standard: Standard, seed: int, most: int | None = None
) -> npt.NDArray[np.float32]:
    """Patches of some normals, standardised: all of them, or as many of each image as memory is meant for.

    Args:
        task: has the embeddings.
        rows: which normals.
        standard: of every place.
        seed: of the draw.
        most: patches, instead of as many as fit in :data:`MOST_BYTES`.

    Returns:
        float32 ``(k, d)``.
    """
    p, d = task.positions, task.features
    most = most or MOST_BYTES // (4 * d)
    each = int(np.clip(most // max(len(rows), 1), 1, p))
    rng = np.random.default_rng(seed)
    patches = np.empty((len(rows), each, d), np.float32)
    done = 0
    for window in in_windows(rows):
        for x in standard(task.read(window)):
            patches[done] = x if each == p else x[np.sort(rng.choice(p, each, replace=False))]
            done += 1
    return patches.reshape(-1, d)


def batches(count: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """Which of the patches to learn from in an epoch, a minibatch at a time."""
    size = int(np.clip(count // BATCHES_PER_EPOCH, FEWEST_IN_BATCH, BATCH))
    order = rng.permutation(count)[:PER_EPOCH]
    for start in range(0, len(order), size):
        yield order[start : start + size]

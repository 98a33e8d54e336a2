"""The training data of networks on embeddings: patches, each standardized for its position.

From a patch the mean of its position is subtracted, and the result is divided by the standard deviation
there, so that one small network serves all positions: its input is the deviation from what is usual at the
position. Half of the variance is that of the position, half is the mean over all positions: otherwise a
channel that hardly varies at one position (many are inactive there) would dominate the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.methods.base import Task, in_windows
from padim.network.nodes import FLOAT, Piece, constants, op, tensor

OWN_SHARE = 0.5
# The memory for patches during training, regardless of the number of normal images.
MOST_BYTES = 192 * 2**20
# Patches in an epoch. More gain nothing, because neighboring patches are very similar.
PER_EPOCH = 16_384
BATCH = 1024
FEWEST_IN_BATCH = 32
BATCHES_PER_EPOCH = 32
# The number of patches used for measuring only: held-out losses, centers and radii.
MEASURING = 16_384


@dataclass(frozen=True)
class Standard:
    """The standardization of embeddings: a zero and a unit for every position and channel.

    Attributes:
        mean: float32 ``(p, d)``.
        unit: float32 ``(p, d)``, above 0, by which deviations are multiplied.
    """

    mean: npt.NDArray[np.float32]
    unit: npt.NDArray[np.float32]

    @classmethod
    def of(cls, task: Task, rows: Sequence[int]) -> Standard:
        """Compute the standardization from some of the normal images.

        A single image has no variance at a position; all positions are then treated as one.
        """
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
        # A channel that never varies has no unit of its own, but a deviation from it is
        # an anomaly all the same.
        usual = square.mean() or 1.0
        square = np.where(square > 1e-6 * usual, square, usual)
        return cls(mean.astype(np.float32), (1 / np.sqrt(square)).astype(np.float32))

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return embeddings ``(..., p, d)`` standardized."""
        return (x - self.mean) * self.unit

    def piece(self, features: int) -> Piece:
        """Return the nodes that standardize an embedding.

        They go from ``embedding``, float32 ``(n, d, grid, grid)``, to ``patches``, float32 ``(n, p, d)``.
        """
        nodes = [
            op("Reshape", ["embedding", "as_positions"], ["by_feature"]),
            op("Transpose", ["by_feature"], ["x"], perm=[0, 2, 1]),
            op("Sub", ["x", "mean"], ["deviation"]),
            op("Mul", ["deviation", "unit"], ["patches"]),
        ]
        inputs = [tensor(name, FLOAT, ["p", features]) for name in ("mean", "unit")]
        return Piece(nodes, constants(as_positions=np.array([0, features, -1])), inputs)

    def arrays(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return the arrays as inputs of the graph, by name."""
        return {"mean": self.mean, "unit": self.unit}


def draw(
    task: Task, rows: Sequence[int], standard: Standard, seed: int, most: int | None = None
) -> npt.NDArray[np.float32]:
    """Return standardized patches of some normal images: all, or an equal random share of each image.

    Args:
        task: provides the embeddings.
        rows: the rows of the images.
        standard: the standardization.
        seed: the seed of the random selection.
        most: the maximum number of patches; by default as many as fit in :data:`MOST_BYTES`.

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
    """Yield the indices of the patches of one training epoch, minibatch by minibatch."""
    size = int(np.clip(count // BATCHES_PER_EPOCH, FEWEST_IN_BATCH, BATCH))
    order = rng.permutation(count)[:PER_EPOCH]
    for start in range(0, len(order), size):
        yield order[start : start + size]

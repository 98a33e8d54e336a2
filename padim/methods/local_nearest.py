"""The ``patchcore`` method with a neighborhood: the nearest of *all* normal patches around the same position.

The patches of every normal image are stored at every position, without a coreset. The distance at position j
is

    d(x_j) = min over images i and positions k within the window around j of |x_j - b_ik|,

the window being (2 r + 1) x (2 r + 1) positions, cut off where the grid ends. Nothing is estimated from
several parts together, so leaving a part out means omitting its vectors: held-out distances are exact and
need no refit. The model takes 4 n p d bytes for n images, p positions and d channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.methods.base import FitResult, Task, in_windows
from padim.methods.neighborhood import neighbors, seen_from
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, Piece, constants, op, tensor
from padim.network.threads import in_threads

Singles = npt.NDArray[np.float32]

# Images whose held-out distances are computed at once: bounds the memory of a product.
_WINDOW = 256


@dataclass(frozen=True)
class LocalNearest(EmbeddingDetector):
    """A detector of distances to the nearest normal vector around the same position.

    Attributes:
        bank: float32 ``(p, d, n)``, the vectors of n normal images at every position, minus ``center``.
        center: float32 ``(d,)``, their mean; squares of small numbers lose fewer digits.
        reach: r, the grid positions on each side of the center of the window; at least 1.
        grid: rows and columns of the grid of positions.
    """

    bank: Singles
    center: Singles
    reach: int
    grid: tuple[int, int]

    method: ClassVar[str] = "patchcore"

    @property
    def form(self) -> str:
        return f"local-nearest-{self.reach}"

    @property
    def shape(self) -> tuple[int, int]:
        return self.bank.shape[0], self.bank.shape[1]

    @property
    def half_squares(self) -> Singles:
        """Return half the squared length of every vector, float32 ``(p, n)``."""
        return np.asarray(0.5 * np.einsum("pdn,pdn->pn", self.bank, self.bank), np.float32)

    def piece(self, features: int) -> Piece:
        """Return the nodes that compute the distances, one row of the grid at a time.

        They use ``|x - b|^2 / 2 = |x|^2 / 2 + (|b|^2 / 2 - b x)``. The vectors of one position are multiplied
        with the embeddings of the whole window around it, so that they are read from memory once. Every image
        has a matrix product of its own, so that its distances are bitwise the same in any batch. Working by
        rows of the grid bounds the memory of the products.
        """
        around, positions = neighbors(self.grid, self.reach), len(self.bank)
        fixed = constants(
            as_columns=np.array([0, features, -1]),
            seen_from=seen_from(self.grid, self.reach),
            # For every image, one value for each position and each place in its window.
            flat=np.array([positions * around.shape[1], -1]),
            two=np.float32(2),
            nought=np.float32(0),
        )
        inputs = [tensor("centre", FLOAT, [features, 1])]
        nodes = [
            op("Reshape", ["embedding", "as_columns"], ["columns_of"]),
            op("Sub", ["columns_of", "centre"], ["x"]),
            op("Transpose", ["x"], ["by_position"], perm=[2, 0, 1]),
        ]
        height, width = self.grid
        rows = range(height)
        for row in rows:
            fixed += constants(**{f"around_{row}": around[self._row(row)]})
            inputs += [
                tensor(f"bank_{row}", FLOAT, [width, 1, features, "m"]),
                tensor(f"half_{row}", FLOAT, [width, 1, 1, "m"]),
            ]
            nodes += [
                op("Gather", ["by_position", f"around_{row}"], [f"gathered_{row}"], axis=0),
                op("Transpose", [f"gathered_{row}"], [f"window_{row}"], perm=[0, 2, 1, 3]),
                op("MatMul", [f"window_{row}", f"bank_{row}"], [f"product_{row}"]),
                op("Sub", [f"half_{row}", f"product_{row}"], [f"beside_{row}"]),
                op("ReduceMin", [f"beside_{row}"], [f"least_{row}"], axes=[3], keepdims=0),
            ]
        nodes += [
            op("Concat", [f"least_{row}" for row in rows], ["least_of_each"], axis=0),
            # From (p, n, window) to the places in the window as seen from the position that is scored.
            op("Transpose", ["least_of_each"], ["seen"], perm=[0, 2, 1]),
            op("Reshape", ["seen", "flat"], ["seen_flat"]),
            op("Gather", ["seen_flat", "seen_from"], ["by_neighbours"], axis=0),
            op("ReduceMin", ["by_neighbours"], ["least"], axes=[1], keepdims=0),
            op("Transpose", ["least"], ["least_of_image"], perm=[1, 0]),
            op("ReduceSumSquare", ["x"], ["squared"], axes=[1], keepdims=0),
            op("Mul", ["least_of_image", "two"], ["twice"]),
            op("Add", ["twice", "squared"], ["sum"]),
            # Rounding may make a square that should be zero negative.
            op("Max", ["sum", "nought"], ["not_negative"]),
            op("Sqrt", ["not_negative"], ["unchecked"]),
        ]
        return Piece(nodes, fixed, inputs)

    def _row(self, row: int) -> slice:
        _, width = self.grid
        return slice(row * width, (row + 1) * width)

    def inputs(self) -> dict[str, Array]:
        half = self.half_squares
        inputs: dict[str, Array] = {"centre": self.center[:, None]}
        for row in range(self.grid[0]):
            inputs[f"bank_{row}"] = self.bank[self._row(row), None]
            inputs[f"half_{row}"] = half[self._row(row), None, None]
        return inputs

    def files(self) -> dict[str, Array]:
        return {"bank.npy": self.bank, "centre.npy": self.center}

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> LocalNearest:
        bank, center = saved.array("bank.npy", np.float32, 3), saved.array("centre.npy", np.float32, 1)
        if bank.shape[:2] != shape or not bank.shape[2] or center.shape != shape[1:]:
            raise ValueError(MISFIT)
        return cls(bank, center, config.neighborhood, config.grid_shape)

    def distances(self, x: Singles) -> Singles:
        half, around = self.half_squares, neighbors(self.grid, self.reach)
        result = np.empty(x.shape[:2], np.float32)
        for position, window in enumerate(around):
            result[:, position] = self._at(x[:, position] - self.center, np.unique(window), half)
        return result

    def _at(
        self,
        x: Singles,
        window: npt.NDArray[np.int64],
        half: Singles,
        left_out: npt.NDArray[np.bool_] | None = None,
    ) -> Singles:
        """Return the distances of vectors to the nearest normal vectors in a window of positions.

        Args:
            x: float32 ``(m, d)``, minus the center.
            window: int64, the positions of the window.
            half: :attr:`half_squares`.
            left_out: bool ``(m, n)``, the normal images that are ignored for each vector.
        """
        least = np.full((len(x), self.bank.shape[2]), np.inf, np.float32)
        for near in window:
            np.minimum(least, half[near] - x @ self.bank[near], out=least)
        if left_out is not None:
            least[left_out] = np.inf
        squared = 2 * least.min(axis=1) + np.einsum("md,md->m", x, x)
        return np.asarray(np.sqrt(np.maximum(squared, 0)), np.float32)

    def scoring_bytes(self) -> int:
        _, features, count = self.bank.shape
        return scoring_bytes(self.grid, features, count, self.reach)


def scoring_bytes(grid: tuple[int, int], features: int, count: int, reach: int) -> int:
    """Return the peak of working memory, in bytes, for scoring one image.

    Args:
        grid: rows and columns of the grid.
        features: d.
        count: the number of normal images in the model, n.
        reach: the grid positions on each side of the center of the window.
    """
    window = (2 * reach + 1) ** 2
    height, width = grid
    # For one row of the grid: the embeddings of the windows twice, the product and its distances. For the
    # whole grid: the embeddings twice, and one value for every place in the window, twice.
    return 2 * 4 * width * (window * (features + count) + height * (features + window))


def fit_detector(task: Task) -> FitResult:
    """Store the vectors of the normal images, and compute the distances of each to the other parts."""
    rows, total = task.fit_rows, len(task.normals)
    bank = np.empty((task.positions, task.features, len(rows)), np.float32)
    done = 0
    for some in in_windows(rows):
        bank[..., done : done + len(some)] = task.read(some).transpose(1, 2, 0)
        done += len(some)
        task.watch.step(done, total, "Reading patches")
    center = bank.mean(axis=(0, 2), dtype=np.float64).astype(np.float32)
    bank -= center[:, None]
    detector = LocalNearest(bank, center, task.config.neighborhood, task.grid_shape)
    held_out = np.zeros((total, task.positions), np.float32)
    for some in in_windows(task.out_rows):
        held_out[some] = detector.distances(task.read(some))
    if task.calibrated:
        _leave_out(task, detector, rows, held_out)
    return FitResult(detector, held_out)


def _leave_out(task: Task, detector: LocalNearest, rows: Sequence[int], held_out: Singles) -> None:
    """Fill in the distances of the images in the fit to the images of other parts."""
    half, around = detector.half_squares, neighbors(detector.grid, detector.reach)
    part_of = {row: number for number, members in enumerate(task.parts.values()) for row in members}
    part = np.array([part_of[row] for row in rows])
    fitted = np.asarray(rows)

    def work(position: int) -> None:
        own, window = detector.bank[position].T, np.unique(around[position])
        for start in range(0, len(rows), _WINDOW):
            some = slice(start, start + _WINDOW)
            left_out = part[some, None] == part
            held_out[fitted[some], position] = detector._at(own[some], window, half, left_out)

    total = len(task.normals)
    for done, _ in enumerate(in_threads(work, range(task.positions)), start=1):
        task.watch.step(done * total // task.positions, total, "Measuring the good parts against each other")

"""The ``padim`` method: a Gaussian at every position (Defard et al., 2020, arXiv 2011.08785).

Held-out distances are exact and need no refit (:mod:`padim.methods.gaussian`). With position tolerance, the
embedding of a position is also compared with the Gaussians of the eight positions around it, and its distance
is the smallest of the nine.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.methods.base import FitResult, Task, in_windows, windows
from padim.methods.factor import FILES as FACTOR_FILES
from padim.methods.factor import Factor, LowRank, Triangular, from_files, is_low_rank
from padim.methods.gaussian import (
    LeaveOut,
    LeaveOutOfSpan,
    Regularization,
    Span,
    squared_distances,
    whitening,
)
from padim.methods.moments import PatchStatistics
from padim.methods.neighborhood import COUNT, OWN, neighbors, seen_from
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, INT64, Piece, constants, op, tensor
from padim.network.threads import POSITIONS_PER_BLOCK, in_threads, workers
from padim.storage.feature_store import FeatureStore
from padim.storage.normals import Normal

# Bytes of float64 matrices held at once during the fit: positions are fitted in blocks that respect it.
BLOCK_BYTES = 96 * 2**20
# Relative tolerance of a squared distance, which changes the distance by less than a thousandth.
NARROW_TOLERANCE = 1e-3


def regularization(config: PadimConfig) -> Regularization:
    """Return the regularization that a config specifies by eps and shrinkage."""
    return Regularization(config.eps, config.shrinkage)


@dataclass(frozen=True)
class PatchGaussians(EmbeddingDetector):
    """A detector of Mahalanobis distances to a Gaussian at every position.

    Attributes:
        mean: float32 ``(p, d)``.
        factor: the factors of the covariances of all positions.
        floor: the value added to the diagonal of the covariances.
        grid: rows and columns of the grid of positions.
        tolerance: the number of positions on each side among which the nearest Gaussian is used, 0 or 1.
    """

    mean: npt.NDArray[np.float32]
    factor: Factor
    floor: float
    grid: tuple[int, int]
    tolerance: int = 0

    method: ClassVar[str] = "padim"

    @property
    def form(self) -> str:
        return f"{self.factor.kind}-tolerant" if self.tolerance else self.factor.kind

    @property
    def shape(self) -> tuple[int, int]:
        return self.factor.shape

    def piece(self, features: int) -> Piece:
        """Return the nodes that compute Mahalanobis distances.

        Every image has a matrix product of its own with a single row, ``(p, n, 1, d) @ (p, 1, d, k)``: the
        first row reads the factor at memory speed, the following ones find the factor of a position in the
        processor's cache, and the distances of an image are bitwise the same whether it is scored alone or in
        a batch. (As one product with n rows, a single image takes half as long again, and the order of
        summation depends on n.) With tolerance there are nine rows, and the factor of a position is read once
        for all of them.
        """
        factor = self.factor.piece()
        fixed = constants(rows_of_positions=np.array([0, 1, features, -1]), second=np.array([2]))
        inputs = [tensor("mean", FLOAT, ["p", 1, 1, features])]
        before = [op("Reshape", ["embedding", "rows_of_positions"], ["rows"])]
        if self.tolerance:
            before += [
                op("Transpose", ["rows"], ["by_position"], perm=[3, 1, 0, 2]),
                op("Squeeze", ["by_position", "first"], ["own"]),
                op("Gather", ["own", "neighbours"], ["around"], axis=0),
                op("Transpose", ["around"], ["x"], perm=[0, 2, 1, 3]),
            ]
            behind = [
                op("Transpose", ["squared"], ["seen"], perm=[0, 2, 1]),
                op("Shape", ["seen"], ["images"], start=2, end=3),
                op("Concat", ["as_many", "images"], ["flat_shape"], axis=0),
                op("Reshape", ["seen", "flat_shape"], ["seen_flat"]),
                op("Gather", ["seen_flat", "seen_from"], ["by_neighbours"], axis=0),
                op("ReduceMin", ["by_neighbours"], ["nearest"], axes=[1], keepdims=0),
            ]
            fixed += constants(first=np.array([1]), as_many=np.array([-1]))
            inputs += [tensor("neighbours", INT64, ["p", COUNT]), tensor("seen_from", INT64, ["p", COUNT])]
        else:
            before.append(op("Transpose", ["rows"], ["x"], perm=[3, 0, 1, 2]))
            behind = [op("Squeeze", ["squared", "second"], ["nearest"])]
        behind += [
            op("Sqrt", ["nearest"], ["root"]),
            op("Transpose", ["root"], ["unchecked"], perm=[1, 0]),
        ]
        nodes = [*before, op("Sub", ["x", "mean"], ["delta"]), *factor.nodes, *behind]
        return Piece(nodes, [*fixed, *factor.constants], [*inputs, *factor.inputs])

    def inputs(self) -> dict[str, Array]:
        inputs: dict[str, Array] = {"mean": self.mean[:, None, None], **self.factor.inputs()}
        if self.tolerance:
            inputs |= {"neighbours": neighbors(self.grid), "seen_from": seen_from(self.grid)}
        return inputs

    def files(self) -> dict[str, Array]:
        return {"mean.npy": self.mean, **self.factor.files()}

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> PatchGaussians:
        mean, floor = saved.array("mean.npy", np.float32, 2), regularization(config).floor
        factor = from_files(saved.arrays(FACTOR_FILES), floor, shape)
        if mean.shape != shape:
            raise ValueError(MISFIT)
        return cls(mean, factor, floor, config.grid_shape, config.position_tolerance)

    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        mean = self.mean.astype(np.float64)
        if not self.tolerance:
            return np.sqrt(self.factor.squared_distances(x - mean))
        around = neighbors(self.grid)
        seen = np.stack([self.factor.squared_distances(x[:, near] - mean) for near in around.T], axis=-1)
        flat = seen.reshape(len(x), -1)
        return np.asarray(np.sqrt(flat[:, seen_from(self.grid)].min(axis=-1)))

    def strange(self) -> float:
        # An upper bound for the distance of an embedding of zeros, without a pass over the factors.
        return float(np.linalg.norm(self.mean, axis=1).max()) / np.sqrt(self.floor)


def gather(
    feature_store: FeatureStore, normals: Sequence[Normal], channels: npt.NDArray[np.int64]
) -> PatchStatistics:
    """Return the statistics of the normal images in the fit at all positions.

    Args:
        feature_store: the embeddings.
        normals: the normal images, in the order of the feature store.
        channels: int64 ``(d,)``, the channels to use.
    """
    statistics = PatchStatistics(feature_store.positions, len(channels))
    for rows in windows(normals):
        statistics.update(feature_store.read(rows, channels))
    return statistics


def of_statistics(statistics: PatchStatistics, config: PadimConfig) -> PatchGaussians:
    """Return the Gaussians computed from the statistics of all positions at once."""
    reg = regularization(config)
    factor = Triangular.of(whitening(statistics, reg, statistics.count - 1))
    mean = statistics.mean.astype(np.float32)
    return PatchGaussians(mean, factor, reg.floor, config.grid_shape, config.position_tolerance)


def fit_detector(task: Task) -> FitResult:
    """Fit the Gaussians and compute the held-out distances, block by block of positions.

    A block of positions is processed completely by one thread, in matrices that stay in the processor's
    cache; the memory used besides the result does not grow with the number of positions.
    """
    count, (p, d) = len(task.fit_rows), (task.positions, task.features)
    reg = regularization(task.config)
    mean = np.empty((p, d), np.float32)
    low_rank = is_low_rank(count, d)
    factor: Factor = LowRank.empty(p, d, count - 1, reg.floor) if low_rank else Triangular.empty(p, d)
    gaussians = PatchGaussians(mean, factor, reg.floor, task.grid_shape, task.config.position_tolerance)
    held_out = np.full((len(task.normals), p), np.inf if gaussians.tolerance else 0, np.float32)
    around = neighbors(gaussians.grid).T if gaussians.tolerance else None

    def work(positions: slice) -> tuple[bool, list[_Seen]]:
        block: _Block = (
            _FromSpan(task, positions, factor)
            if isinstance(factor, LowRank)
            else _FromScatter(task, positions, factor)
        )
        mean[positions] = block.mean
        if around is not None:
            return block.rounding_shows, [*block.seen_around(around[:, positions])]
        for rows in in_windows(task.out_rows):  # images that are not in the fit are unseen anyway
            held_out[rows, positions] = np.sqrt(block.unseen(block.read(rows)))
        if task.calibrated:
            for rows, squared in block.left_out():
                held_out[rows, positions] = np.sqrt(squared)
        return block.rounding_shows, []

    blocks = _blocks(p, d, count - 1 if low_rank else None)
    rounding_shows = False
    stage, total = "Learning what is normal", len(task.normals)
    task.watch.step(0, total, stage)
    for done, (shows, seen) in enumerate(in_threads(work, blocks), start=1):
        rounding_shows |= shows
        for rows, at, squared in seen:
            # The neighborhoods of blocks overlap, so their results are merged here, by one thread.
            place = np.asarray(rows)[:, None], at
            held_out[place] = np.minimum(held_out[place], np.sqrt(squared))
        task.watch.step(done * total // len(blocks), total, stage)
    held_out[~np.isfinite(held_out)] = 0  # images in the fit, where there are too few parts to leave one out
    if rounding_shows and isinstance(factor, LowRank):
        gaussians = replace(gaussians, factor=replace(factor, step=None))
    return FitResult(gaussians, held_out)


def matrix_bytes(features: int, rank: int | None) -> int:
    """Return the bytes of the float64 matrices of one position.

    Args:
        features: d.
        rank: as in :class:`padim.analysis.cost.Cost`.
    """
    # The scatter and two factors; or the deviations, the basis and the matrices of the eigenvectors.
    numbers = 3 * features**2 if rank is None else 3 * (rank + 1) * features + 4 * (rank + 1) ** 2
    return 8 * numbers


def _blocks(positions: int, features: int, rank: int | None) -> list[slice]:
    """Divide the positions into blocks whose matrices, in all threads, fit in :data:`BLOCK_BYTES`."""
    fitting = BLOCK_BYTES // (workers() * matrix_bytes(features, rank))
    size = int(np.clip(fitting, 1, POSITIONS_PER_BLOCK))
    return [slice(start, min(start + size, positions)) for start in range(0, positions, size)]


# Rows, positions, and the squared distances (rows, positions).
_Seen = tuple[list[int], npt.NDArray[np.int64], npt.NDArray[np.float64]]


class _Block(ABC):
    """The fit of a block of positions.

    Attributes:
        mean: float64 ``(positions, d)``.
        rounding_shows: whether storing the factor in 16 bits would change distances noticeably.
    """

    mean: npt.NDArray[np.float64]
    rounding_shows = False

    def __init__(self, task: Task, positions: slice) -> None:
        self._task = task
        self._positions = positions
        self._regularization = regularization(task.config)
        size = 4 * len(task.normals) * (positions.stop - positions.start) * task.features
        # Read the embeddings once where they fit in memory, else batch by batch.
        all_rows = range(len(task.normals))
        self._kept = task.read(all_rows, positions) if size <= BLOCK_BYTES // 4 else None

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Return the embeddings of some rows at the positions of the block: float32 ``(n, positions, d)``."""
        return self._task.read(rows, self._positions) if self._kept is None else self._kept[list(rows)]

    def _by_size(self) -> Iterator[tuple[int, Iterable[list[int]]]]:
        """Yield the rows of parts grouped by their number of images; parts of one image in larger batches."""
        parts = self._task.parts
        for size in sorted({len(rows) for rows in parts.values()}):
            alike = [rows for rows in parts.values() if len(rows) == size]
            yield size, in_windows(list(itertools.chain.from_iterable(alike))) if size == 1 else alike

    @abstractmethod
    def unseen(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return squared distances ``(n, positions)`` of images outside the fit, ``(n, positions, d)``."""

    @abstractmethod
    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        """Yield rows of the fit with their squared distances to the Gaussians without their parts."""

    @abstractmethod
    def left_out_of(self, read: _Reader) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        """Yield squared distances of m vectors for each row of the fit to the Gaussians without its part.

        Args:
            read: returns the vectors of some rows, ``(n, m, positions, d)``.

        Yields:
            rows and squared distances ``(n, m, positions)``.
        """

    def seen_around(self, around: npt.NDArray[np.int64]) -> Iterator[_Seen]:
        """Yield squared distances of the neighboring positions' embeddings to the Gaussians of the block.

        Args:
            around: int64 ``(9, positions)``, from :func:`padim.methods.neighborhood.neighbors`.
        """
        read = _Reader(self._task, around)
        # At the edge of the grid a position stands for its missing neighbors; it need not be compared twice.
        true = [(around[index] != around[OWN]) | (index == OWN) for index in range(COUNT)]
        for rows in in_windows(self._task.out_rows):
            vectors = read(rows)
            for index, (at, kept) in enumerate(zip(around, true, strict=True)):
                yield rows, at[kept], self.unseen(vectors[:, index])[:, kept]
        if self._task.calibrated:
            for rows, squared in self.left_out_of(read):
                for index, (at, kept) in enumerate(zip(around, true, strict=True)):
                    yield rows, at[kept], squared[:, index, kept]


class _Reader:
    """A reader of the embeddings at the neighbors of a block of positions: ``(n, 9, positions, d)``."""

    def __init__(self, task: Task, around: npt.NDArray[np.int64]) -> None:
        self._task = task
        # The neighbors are in three rows of the grid, so only three pieces of a record are read.
        own = around[OWN]
        _, columns = task.grid_shape
        self._pieces = [
            slice(max(own[0] + step - 1, 0), min(own[-1] + step + 2, task.positions))
            for step in (-columns, 0, columns)
            if own[-1] + step + 2 > 0 and own[0] + step - 1 < task.positions
        ]
        stored = np.concatenate([np.arange(piece.start, piece.stop) for piece in self._pieces])
        order = np.argsort(stored, kind="stable")
        self._places = order[np.searchsorted(stored[order], around)]

    def __call__(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        pieces = [self._task.read(rows, piece) for piece in self._pieces]
        return np.concatenate(pieces, axis=1)[:, self._places]


class _FromScatter(_Block):
    """A block fitted from the scatter, d x d for each position; its memory does not grow with the images."""

    def __init__(self, task: Task, positions: slice, factor: Triangular) -> None:
        super().__init__(task, positions)
        self._statistics = PatchStatistics(positions.stop - positions.start, task.features)
        for rows in windows(task.normals):
            self._statistics.update(self.read(rows))
        self.mean = self._statistics.mean
        self._whitener = whitening(self._statistics, self._regularization, self._statistics.count - 1)
        factor.put(positions, self._whitener)

    def unseen(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return squared_distances(x, self.mean, self._whitener)

    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._by_size():
            leave_out = LeaveOut(self._statistics, self._regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances(self.read(rows))

    def left_out_of(self, read: _Reader) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._by_size():
            leave_out = LeaveOut(self._statistics, self._regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances_of(self.read(rows), read(rows))


class _FromSpan(_Block):
    """A block fitted from n x n matrices for each position, for few normal images in many dimensions."""

    def __init__(self, task: Task, positions: slice, factor: LowRank) -> None:
        super().__init__(task, positions)
        fit = list(itertools.chain.from_iterable(windows(task.normals)))
        self._member = {row: member for member, row in enumerate(fit)}
        self._span = Span(self.read(fit), self._regularization)
        self.mean = self._span.mean
        self._factor = factor
        basis, scale = self._span.basis()
        factor.put(positions, basis, scale)
        if factor.narrow:
            rounded = factor.squared_distances(self._span.deviations, positions)
            exact = self._span.squared_distances()
            # Where nothing varies, both distances are rounding noise.
            self.rounding_shows = bool((np.abs(rounded - exact) > NARROW_TOLERANCE * exact + 1e-6).any())
            if self.rounding_shows:
                factor.basis[positions] = basis

    def unseen(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return self._factor.squared_distances(x.astype(np.float64) - self.mean, self._positions)

    def _members(self, rows: Sequence[int]) -> list[int]:
        return [self._member[row] for row in rows]

    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._by_size():
            leave_out = LeaveOutOfSpan(self._span, self._regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances(self._members(rows))

    def left_out_of(self, read: _Reader) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._by_size():
            leave_out = LeaveOutOfSpan(self._span, self._regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances_of(self._members(rows), read(rows))


DETECTOR = PatchGaussians

"""From the normals' embeddings to the Gaussians and the held-out distances: what fitting computes.

A pure function of the spool, of which normals are in the fit and how they group into parts, and of the
config. Excluding a picture, undoing that, continuing a fit and regrouping all end here and give the same
bits as having fitted so from the start.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from padim.blocks import POSITIONS_PER_BLOCK, in_threads, workers
from padim.calibration import FEWEST_PARTS
from padim.config import PadimConfig
from padim.errors import PadimError
from padim.factor import Factor, LowRank, Triangular, is_low_rank
from padim.gaussian import (
    LeaveOut,
    LeaveOutOfSpan,
    Regularization,
    Span,
    squared_distances,
    whitening,
)
from padim.maps import MAX_LEVEL, Quantizer, upsample_and_smooth
from padim.normals import Normal, Status
from padim.pipeline import Watch
from padim.spool import Spool
from padim.statistics import PatchStatistics

Calibration = Literal["exact", "stale", "none"]

# Fixed, so that statistics have the same batch boundaries however the pictures arrived.
WINDOW = 64
# Head room of the judged map above the normals' largest held-out value (DESIGN 4.4).
HEAD_ROOM = 16.0
# Float64 matrices held at once while learning: positions are learnt in blocks that fit.
BLOCK_BYTES = 96 * 2**20
# Of a squared distance, so that a distance is off by less than a thousandth.
NARROW_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Fitted:
    """The fitted arrays; immutable, replaced as a whole.

    Attributes:
        normals: all normal pictures, in the order they came.
        mean: float32 ``(p, d)``.
        factor: of every position's covariance.
        held_out: float32 ``(n, grid, grid)``, distances of each normal to Gaussians without its part;
            rows for the first n normals (a fit continued without embeddings has more normals than rows).
        quantizer: scale of the judged maps.
        calibration: ``exact``; ``stale`` if ``held_out`` belongs to an earlier state; ``none`` if there
            are too few parts for held-out distances.
    """

    normals: tuple[Normal, ...]
    mean: npt.NDArray[np.float32]
    factor: Factor
    held_out: npt.NDArray[np.float32]
    quantizer: Quantizer
    calibration: Calibration


def regularization(config: PadimConfig) -> Regularization:
    """The config's eps and shrinkage."""
    return Regularization(config.eps, config.shrinkage)


def windows(normals: Sequence[Normal], status: Status = "fit") -> Iterator[list[int]]:
    """Indices of the normals with that status, a window's worth at a time."""
    return _in_windows([row for row, normal in enumerate(normals) if normal.status == status])


def _in_windows(rows: list[int]) -> Iterator[list[int]]:
    return (rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW))


def gather(
    spool: Spool,
    normals: Sequence[Normal],
    channels: npt.NDArray[np.int64],
) -> PatchStatistics:
    """Count, mean and scatter of the normals in the fit, at all positions."""
    statistics = PatchStatistics(spool.positions, len(channels))
    for rows in windows(normals):
        statistics.update(spool.read(rows, channels))
    return statistics


def factor_of(statistics: PatchStatistics, config: PadimConfig) -> Factor:
    """The factor that scoring reads, from statistics of all positions at once."""
    return Triangular.of(whitening(statistics, regularization(config), statistics.count - 1))


def learn(
    spool: Spool,
    normals: tuple[Normal, ...],
    config: PadimConfig,
    channels: npt.NDArray[np.int64],
    watch: Watch,
) -> Fitted:
    """Everything that follows from the spool and from which normals are in the fit.

    A block of positions is learnt from beginning to end by one thread, in matrices that stay in the
    processor's cache; what is held besides the result does not grow with the positions.

    Raises:
        PadimError: no normal is in the fit.
        Cancelled: ``watch`` asked to stop.
    """
    parts: dict[str, list[int]] = defaultdict(list)
    for row, normal in enumerate(normals):
        if normal.status == "fit":
            parts[normal.group].append(row)
    count = sum(map(len, parts.values()))
    if count == 0:
        raise PadimError("no picture would be left in the fit; keep at least one")
    p, d = spool.positions, len(channels)
    task = _Task(spool, normals, parts, regularization(config), channels)
    mean = np.empty((p, d), np.float32)
    held_out = np.zeros((len(normals), p), np.float32)
    low_rank = is_low_rank(count, d)
    factor: Factor = (
        LowRank.empty(p, d, count - 1, task.regularization.floor) if low_rank else Triangular.empty(p, d)
    )
    out = [row for row, normal in enumerate(normals) if normal.status != "fit"]
    calibrated = len(parts) >= FEWEST_PARTS

    def work(positions: slice) -> bool:
        block: _Block = (
            _FromSpan(task, positions, factor)
            if isinstance(factor, LowRank)
            else _FromScatter(task, positions, factor)
        )
        mean[positions] = block.mean
        for rows in _in_windows(out):  # what is out of the fit is unseen as it stands
            held_out[rows, positions] = np.sqrt(block.unseen(rows))
        if calibrated:
            for rows, squared in block.left_out():
                held_out[rows, positions] = np.sqrt(squared)
        return block.rounding_shows

    blocks = _blocks(p, d, count - 1 if low_rank else None)
    rounding_shows = False
    stage = "Learning what is normal"
    watch.step(0, len(normals), stage)
    for done, shows in enumerate(in_threads(work, blocks), start=1):
        rounding_shows |= shows
        watch.step(done * len(normals) // len(blocks), len(normals), stage)
    if rounding_shows and isinstance(factor, LowRank):
        factor = replace(factor, step=None)
    grids = held_out.reshape(-1, config.grid, config.grid)
    return Fitted(
        normals,
        mean,
        factor,
        grids,
        scale(normals, grids, mean, config),
        "exact" if calibrated else "none",
    )


def matrix_bytes(features: int, rank: int | None) -> int:
    """Of the float64 matrices that learning one position takes; ``rank`` as in :class:`padim.cost.Cost`."""
    # Scatter and two factors; or deviations, basis and what the eigenvectors take.
    numbers = 3 * features**2 if rank is None else 3 * (rank + 1) * features + 4 * (rank + 1) ** 2
    return 8 * numbers


def _blocks(positions: int, features: int, rank: int | None) -> list[slice]:
    """Blocks of positions whose matrices, in all threads together, fit into :data:`BLOCK_BYTES`."""
    fitting = BLOCK_BYTES // (workers() * matrix_bytes(features, rank))
    size = int(np.clip(fitting, 1, POSITIONS_PER_BLOCK))
    return [slice(start, min(start + size, positions)) for start in range(0, positions, size)]


@dataclass(frozen=True)
class _Task:
    """What all blocks learn from.

    Attributes:
        parts: rows of the pictures in the fit, by part.
    """

    spool: Spool
    normals: Sequence[Normal]
    parts: Mapping[str, list[int]]
    regularization: Regularization
    channels: npt.NDArray[np.int64]

    def by_size(self) -> Iterator[tuple[int, Iterable[list[int]]]]:
        """Parts with as many pictures, together; those of one picture a window at a time."""
        for size in sorted({len(rows) for rows in self.parts.values()}):
            alike = [rows for rows in self.parts.values() if len(rows) == size]
            yield size, _in_windows(list(itertools.chain.from_iterable(alike))) if size == 1 else alike


class _Block(ABC):
    """A block of positions, learnt.

    Attributes:
        mean: float64 ``(positions, d)``.
        rounding_shows: keeping the factor in 16 bits would move distances.
    """

    mean: npt.NDArray[np.float64]
    rounding_shows = False

    def __init__(self, task: _Task, positions: slice) -> None:
        self._task = task
        self._positions = positions
        size = 4 * len(task.normals) * (positions.stop - positions.start) * len(task.channels)
        # Read once where they fit, else a window at a time.
        self._kept = self._from_spool(range(len(task.normals))) if size <= BLOCK_BYTES // 4 else None

    def _from_spool(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        return self._task.spool.read(rows, self._task.channels, self._positions)

    def read(self, rows: Sequence[int]) -> npt.NDArray[np.float32]:
        """Embeddings at the block's positions: float32 ``(n, positions, d)``."""
        return self._from_spool(rows) if self._kept is None else self._kept[list(rows)]

    @abstractmethod
    def unseen(self, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        """Squared distances of pictures that are not in the fit: ``(len(rows), positions)``."""

    @abstractmethod
    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        """Rows of the fit and their squared distances to the Gaussians without their parts."""


class _FromScatter(_Block):
    """From the scatter, d x d a position; memory does not grow with the normals."""

    def __init__(self, task: _Task, positions: slice, factor: Triangular) -> None:
        super().__init__(task, positions)
        self._statistics = PatchStatistics(positions.stop - positions.start, len(task.channels))
        for rows in windows(task.normals):
            self._statistics.update(self.read(rows))
        self.mean = self._statistics.mean
        self._whitener = whitening(self._statistics, task.regularization, self._statistics.count - 1)
        factor.put(positions, self._whitener)

    def unseen(self, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        return squared_distances(self.read(rows), self.mean, self._whitener)

    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._task.by_size():
            leave_out = LeaveOut(self._statistics, self._task.regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances(self.read(rows))


class _FromSpan(_Block):
    """From the few normals themselves, n x n a position: where they leave most of d dimensions empty."""

    def __init__(self, task: _Task, positions: slice, factor: LowRank) -> None:
        super().__init__(task, positions)
        fit = list(itertools.chain.from_iterable(windows(task.normals)))
        self._member = {row: member for member, row in enumerate(fit)}
        self._span = Span(self.read(fit), task.regularization)
        self.mean = self._span.mean
        self._factor = factor
        basis, scale = self._span.basis()
        factor.put(positions, basis, scale)
        if factor.narrow:
            rounded = factor.squared_distances(self._span.deviations, positions)
            exact = self._span.squared_distances()
            # Where nothing varies, both are rounding noise.
            self.rounding_shows = bool((np.abs(rounded - exact) > NARROW_TOLERANCE * exact + 1e-6).any())
            if self.rounding_shows:
                factor.basis[positions] = basis

    def unseen(self, rows: Sequence[int]) -> npt.NDArray[np.float64]:
        delta = self.read(rows).astype(np.float64) - self.mean
        return self._factor.squared_distances(delta, self._positions)

    def left_out(self) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        for size, batches in self._task.by_size():
            leave_out = LeaveOutOfSpan(self._span, self._task.regularization, size)
            for rows in batches:
                yield rows, leave_out.squared_distances([self._member[row] for row in rows])


def scale(
    normals: Sequence[Normal],
    held_out: npt.NDArray[np.float32],
    mean: npt.NDArray[np.floating],
    config: PadimConfig,
) -> Quantizer:
    """Fix the scale of the judged maps: full scale is 16 times the normals' largest held-out value."""
    peak = 0.0
    for rows in windows(normals[: len(held_out)]):
        smooth = upsample_and_smooth(held_out[rows], config.input_size, config.smoothing_sigma)
        peak = max(peak, float(smooth.max()))
    # One or two parts, or perfectly equal ones, have no spread of their own to scale by: the distance of
    # an all-zero embedding from the mean then stands for "quite different".
    strange = float(np.linalg.norm(mean, axis=1).max()) / np.sqrt(regularization(config).floor)
    full_scale = HEAD_ROOM * peak if peak > 0 else max(4 * strange, 1.0)
    return Quantizer(offset=0.0, step=full_scale / MAX_LEVEL)

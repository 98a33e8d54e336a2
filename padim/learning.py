"""From the normals' embeddings to the Gaussians and the held-out distances: what fitting computes.

A pure function of the spool, of which normals are in the fit and how they group into parts, and of the
config. Excluding a picture, undoing that, continuing a fit and regrouping all end here and give the same
bits as having fitted so from the start.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from padim.calibration import FEWEST_PARTS
from padim.config import PadimConfig
from padim.errors import PadimError
from padim.gaussian import LeaveOut, Regularization, squared_distances, whitening
from padim.maps import MAX_LEVEL, Quantizer, upsample_and_smooth
from padim.normals import Normal, Status
from padim.pipeline import Watch
from padim.spool import Spool
from padim.statistics import PatchStatistics

Calibration = Literal["exact", "stale", "none"]

# Fixed, so that statistics have the same batch boundaries however the pictures arrived.
WINDOW = 16
# Head room of the judged map above the normals' largest held-out value (DESIGN 4.4).
HEAD_ROOM = 16.0


@dataclass(frozen=True)
class Fitted:
    """The fitted arrays; immutable, replaced as a whole.

    Attributes:
        normals: all normal pictures, in the order they came.
        mean: float32 ``(p, d)``.
        whitener: float32 ``(p, d, d)``, ``L^-T`` of every position's covariance.
        held_out: float32 ``(n, grid, grid)``, distances of each normal to Gaussians without its part;
            rows for the first n normals (a fit continued without embeddings has more normals than rows).
        quantizer: scale of the judged maps.
        calibration: ``exact``; ``stale`` if ``held_out`` belongs to an earlier state; ``none`` if there
            are too few parts for held-out distances.
    """

    normals: tuple[Normal, ...]
    mean: npt.NDArray[np.float32]
    whitener: npt.NDArray[np.float32]
    held_out: npt.NDArray[np.float32]
    quantizer: Quantizer
    calibration: Calibration


def regularization(config: PadimConfig) -> Regularization:
    """The config's eps and shrinkage."""
    return Regularization(config.eps, config.shrinkage)


def windows(normals: Sequence[Normal], status: Status = "fit") -> Iterator[list[int]]:
    """Indices of the normals with that status, a window's worth at a time."""
    rows = [row for row, normal in enumerate(normals) if normal.status == status]
    return (rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW))


def gather(
    spool: Spool,
    normals: Sequence[Normal],
    channels: npt.NDArray[np.int64],
    tick: Callable[[int], None] = lambda count: None,
) -> PatchStatistics:
    """Count, mean and scatter of the normals in the fit."""
    statistics = PatchStatistics(spool.positions, len(channels))
    for rows in windows(normals):
        statistics.update(spool.read(rows, channels))
        tick(len(rows))
    return statistics


def learn(
    spool: Spool,
    normals: tuple[Normal, ...],
    config: PadimConfig,
    channels: npt.NDArray[np.int64],
    watch: Watch,
) -> Fitted:
    """Everything that follows from the spool and from which normals are in the fit.

    Raises:
        PadimError: no normal is in the fit.
        Cancelled: ``watch`` asked to stop.
    """
    done, total = 0, 2 * len(normals)

    def tick(count: int) -> None:
        nonlocal done
        done += count
        watch.step(min(done, total), total, "Learning what is normal")

    statistics = gather(spool, normals, channels, tick)
    if statistics.count == 0:
        raise PadimError("no picture would be left in the fit; keep at least one")
    whitener = whitening(statistics, regularization(config), statistics.count - 1)
    held_out, calibration = _held_out(spool, normals, config, channels, statistics, whitener, tick)
    if done < total:
        tick(total - done)  # pictures out of the fit, or too few to calibrate, skip a pass
    return Fitted(
        normals,
        statistics.mean.astype(np.float32),
        whitener.astype(np.float32),
        held_out,
        scale(normals, held_out, statistics.mean, config),
        calibration,
    )


def _held_out(
    spool: Spool,
    normals: Sequence[Normal],
    config: PadimConfig,
    channels: npt.NDArray[np.int64],
    statistics: PatchStatistics,
    whitener: npt.NDArray[np.float64],
    tick: Callable[[int], None],
) -> tuple[npt.NDArray[np.float32], Calibration]:
    grid = config.grid
    result = np.zeros((len(normals), grid, grid), np.float32)

    def keep(rows: Sequence[int], squared: npt.NDArray[np.float64]) -> None:
        result[list(rows)] = np.sqrt(squared).reshape(-1, grid, grid)
        tick(len(rows))

    # What is out of the fit is unseen as it stands.
    out: tuple[Status, ...] = ("kept_out", "not_good")
    for rows in itertools.chain.from_iterable(windows(normals, status) for status in out):
        keep(rows, squared_distances(spool.read(rows, channels), statistics.mean, whitener))
    parts: dict[str, list[int]] = defaultdict(list)
    for row, normal in enumerate(normals):
        if normal.status == "fit":
            parts[normal.group].append(row)
    if len(parts) < FEWEST_PARTS:
        return result, "none"
    for size in sorted({len(rows) for rows in parts.values()}):
        leave_out = LeaveOut(statistics, regularization(config), size)
        alike = [rows for rows in parts.values() if len(rows) == size]
        batches: Iterable[list[int]] = alike
        if size == 1:  # pictures that are parts of their own go through a window at a time
            rows = list(itertools.chain.from_iterable(alike))
            batches = (rows[start : start + WINDOW] for start in range(0, len(rows), WINDOW))
        for batch in batches:
            keep(batch, leave_out.squared_distances(spool.read(batch, channels)))
    return result, "exact"


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

"""From the normals' embeddings to a detector, held-out distances and the scale of the maps: what fitting
computes.

A pure function of the spool, of which normals are in the fit and how they group into parts, and of the
config. Excluding an image, undoing that, continuing a fit and regrouping all end here and give the same
bits as having fitted so from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.decision.anomaly_map import MAX_LEVEL, Quantizer, upsample_and_smooth
from padim.methods import lookup
from padim.methods.base import Calibration, Losses, Task, check_fit, windows
from padim.methods.requirements import check_can_fit
from padim.network.detector import Detector
from padim.storage.normals import Normal

# A threshold by hand beyond that scale widens it, to this many times the threshold ...
_ABOVE_THRESHOLD = 2.0
# ... but not to more than so many times the scale itself, or the good parts would differ by too few levels.
_MOST_WIDENED = 16.0
# Head room of the judged map above the normals' largest held-out value (docs/design.md, section 4.4).
HEAD_ROOM = 16.0


@dataclass(frozen=True)
class FittedState:
    """What was fitted; immutable, replaced as a whole.

    Attributes:
        normals: all normal images, in the order they came.
        detector: what the method has learnt.
        held_out: float32 ``(n, grid, grid)``, distances of each normal by what has not learnt from its part;
            rows for the first n normals (a fit continued without embeddings has more normals than rows).
        quantizer: scale of the judged maps.
        calibration: ``exact``; ``stale`` if ``held_out`` belongs to an earlier state; ``none`` if there
            are too few parts for held-out distances. How exact a method is at its best, it says itself
            (:attr:`padim.methods.Method.held_out`).
        losses: of the trainings, for the methods that train.
    """

    normals: tuple[Normal, ...]
    detector: Detector
    held_out: npt.NDArray[np.float32]
    quantizer: Quantizer
    calibration: Calibration
    losses: tuple[Losses, ...] = ()


def fit_detector(task: Task) -> FittedState:
    """Everything that follows from a task, by the method of its config.

    Raises:
        PadimError: no normal is in the fit, or the method cannot learn from so few.
        MissingExtraError: the method trains a network, and PyTorch is not installed.
        Cancelled: the task's ``watch`` asked to stop.
    """
    check_fit(task)
    check_can_fit(task.config)
    result = lookup.fitter(task.config.method)(task)
    grids = result.held_out.reshape(-1, task.config.grid, task.config.grid)
    return FittedState(
        tuple(task.normals),
        result.detector,
        grids,
        scale(task.normals, grids, result.detector, task.config),
        "exact" if task.calibrated else "none",
        result.losses,
    )


def scale(
    normals: Sequence[Normal],
    held_out: npt.NDArray[np.float32],
    detector: Detector,
    config: PadimConfig,
) -> Quantizer:
    """Fix the scale of the judged maps: full scale is 16 times the normals' largest held-out value."""
    peak = 0.0
    for rows in windows(normals[: len(held_out)]):
        smooth = upsample_and_smooth(held_out[rows], config.input_size, config.smoothing_sigma)
        peak = max(peak, float(smooth.max()))
    # One or two parts, or perfectly equal ones, have no spread of their own to scale by: the distance of
    # something quite different has to do.
    full_scale = HEAD_ROOM * peak if peak > 0 else max(4 * detector.strange(), 1.0)
    return Quantizer(offset=0.0, step=full_scale / MAX_LEVEL)


def rescaled(fitted: FittedState, config: PadimConfig, threshold_by_hand: float | None = None) -> FittedState:
    """What was fitted, on the scale that other settings give its maps.

    Args:
        fitted: as it is.
        config: with the smoothing that the scale follows from.
        threshold_by_hand: in map units; the scale has room for it, see :func:`with_room_for`.
    """
    quantizer = scale(fitted.normals, fitted.held_out, fitted.detector, config)
    return replace(fitted, quantizer=with_room_for(quantizer, threshold_by_hand))


def with_room_for(quantizer: Quantizer, threshold: float | None) -> Quantizer:
    """The same scale, or a wider one where a threshold set by hand lies beyond it.

    Beyond its scale a threshold rejects nothing. One that is more than eight times the scale away is left
    there: the model then has no valid threshold and says so.

    Args:
        quantizer: as :func:`scale` gives it.
        threshold: in map units; None where it was not set by hand.
    """
    if threshold is None or threshold <= quantizer.highest_threshold:
        return quantizer
    wider = Quantizer(quantizer.offset, _ABOVE_THRESHOLD * threshold / MAX_LEVEL)
    return wider if wider.step <= _MOST_WIDENED * quantizer.step else quantizer

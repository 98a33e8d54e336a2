"""Fit a detector, held-out distances and the scale of the maps to the normals' embeddings.

The result depends only on the feature store, the normals in the fit, their groups and the configuration.
Excluding an image, undoing that, continuing a fit and regrouping all use these functions and give the same
bits as fitting so from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.decision.anomaly_map import MAX_LEVEL, Quantizer, upsample_and_smooth
from padim.locating.frozen import FrozenReference, commonly_covered
from padim.locating.locator import Locator
from padim.methods import lookup
from padim.methods.base import Calibration, Losses, Task, check_fit, windows
from padim.methods.requirements import check_can_fit
from padim.network.detector import Detector
from padim.storage.normals import Normal

# A threshold set by hand beyond the scale widens the scale to this many times the threshold ...
_ABOVE_THRESHOLD = 2.0
# ... but not to more than this many times the scale itself, or good parts would differ by too few levels.
_MOST_WIDENED = 16.0
# Full scale of the level map, in multiples of the normals' largest held-out value (docs/design.md, section
# 4.4).
HEAD_ROOM = 16.0


@dataclass(frozen=True)
class FittedState:
    """Result of a fit; immutable, replaced as a whole.

    Attributes:
        normals: all normal images, in their order.
        detector: the fitted detector of the method.
        held_out: float32 ``(n, H, W)``, distances of each normal to a fit without its part; rows for
            the first n normals (a fit continued without embeddings has more normals than rows).
        quantizer: scale of the level maps.
        calibration: ``exact``; ``stale`` if ``held_out`` belongs to an earlier state; ``none`` if there are
            too few parts for held-out distances. How exact a method can be at best is in
            :attr:`padim.methods.Method.held_out`.
        losses: records of the trainings, for the methods that train.
        reference: the reference part by which parts are located; None for models that do not locate them.
        covered: bool ``(h, w)``, the map pixels that at least 95 % of the good parts' images show, the others
            are not scored; None for models that do not locate parts.
    """

    normals: tuple[Normal, ...]
    detector: Detector
    held_out: npt.NDArray[np.float32]
    quantizer: Quantizer
    calibration: Calibration
    losses: tuple[Losses, ...] = ()
    reference: FrozenReference | None = None
    covered: npt.NDArray[np.bool_] | None = None

    @property
    def locator(self) -> Locator | None:
        """The locating method with its reference part; None for models that do not locate parts."""
        return None if self.reference is None else self.reference.locator

    def located_by(self, reference: FrozenReference | None, shape: tuple[int, int]) -> FittedState:
        """Return the state with the reference part that the normals were located by.

        Args:
            reference: the reference part; None if parts are not located.
            shape: (height, width) of the maps.
        """
        if reference is None:
            return self
        fit = [normal for normal in self.normals if normal.status == "fit"]
        poses = [(normal.pose, normal.original_size) for normal in fit if normal.pose is not None]
        return replace(self, reference=reference, covered=commonly_covered(reference.locator, shape, poses))


def fit_detector(task: Task) -> FittedState:
    """Fit a detector with the method of the task's configuration, and compute held-out distances and scale.

    Raises:
        PadimError: no normal is in the fit, or there are too few for the method.
        MissingExtraError: the method trains a network, and PyTorch is not installed.
        Cancelled: the ``cancel`` callback of the task's ``watch`` returned True.
    """
    check_fit(task)
    check_can_fit(task.config)
    result = lookup.fitter(task.config.method)(task)
    grids = result.held_out.reshape(-1, *task.grid_shape)
    # An image in which the part was not found shows something else, which must not determine the scale.
    lost = [bool(normal.lost) for normal in task.normals[: len(grids)]]
    if any(lost):
        grids = grids.copy()
        grids[lost] = 0
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
    """Determine the scale of the level maps: full scale is 16 times the normals' largest held-out value."""
    peak = 0.0
    for rows in windows(normals[: len(held_out)]):
        smooth = upsample_and_smooth(held_out[rows], config.input_shape, config.smoothing_sigma)
        peak = max(peak, float(smooth.max()))
    # One or two parts, or identical ones, have no spread to scale by: the distance of a very different input
    # is used instead.
    full_scale = HEAD_ROOM * peak if peak > 0 else max(4 * detector.strange(), 1.0)
    return Quantizer(offset=0.0, step=full_scale / MAX_LEVEL)


def rescaled(fitted: FittedState, config: PadimConfig, threshold_by_hand: float | None = None) -> FittedState:
    """Return a fitted state with the scale that other settings give its maps.

    Args:
        fitted: the present state.
        config: the configuration, whose smoothing determines the scale.
        threshold_by_hand: in map units; the scale is widened to include it, see :func:`with_room_for`.
    """
    quantizer = scale(fitted.normals, fitted.held_out, fitted.detector, config)
    return replace(fitted, quantizer=with_room_for(quantizer, threshold_by_hand))


def with_room_for(quantizer: Quantizer, threshold: float | None) -> Quantizer:
    """Return the scale, widened if a threshold set by hand is beyond it.

    A threshold beyond the scale rejects nothing. For one of more than eight times the scale, the scale is not
    widened: the model then has no valid threshold and reports that.

    Args:
        quantizer: the scale from :func:`scale`.
        threshold: in map units; None if it was not set by hand.
    """
    if threshold is None or threshold <= quantizer.highest_threshold:
        return quantizer
    wider = Quantizer(quantizer.offset, _ABOVE_THRESHOLD * threshold / MAX_LEVEL)
    return wider if wider.step <= _MOST_WIDENED * quantizer.step else quantizer

"""Decisions of a fitted model: its threshold, guard band and region of interest."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt

from padim.config import PadimConfig
from padim.decision.calibration import FEWEST_PARTS, Basis, FalseRejectRate, Threshold
from padim.decision.guard_band import Guard, Verdict, VerdictLimits, verdict_limits
from padim.decision.roi import Shape
from padim.decision.settings import DecisionSettings, changed, check_on_scale
from padim.decision.verdicts import VerdictRates
from padim.errors import BeyondScaleError, CalibrationError, NotFittedError
from padim.estimator import Estimator
from padim.fit_run import NOT_FITTED
from padim.fitting import FittedState, rescaled
from padim.scoring import ScoringState


class Decider(Estimator):
    """Base class with the decision settings of a model; they neither run the network nor change the fit.

    Attributes:
        decision: how the threshold is chosen, the guard band and the region of interest; immutable, replaced
            by :meth:`set_decision`, :meth:`set_guard` and :meth:`set_roi`.
    """

    decision: DecisionSettings
    _current: ScoringState | None
    # Held by every method that changes the model; readers read ``_current`` once and need no lock.
    _writing: threading.RLock

    @property
    def state(self) -> ScoringState:
        """The current scoring state, an object that later fits and exclusions do not change.

        Raises:
            NotFittedError: the model is not fitted.
        """
        if self._current is None:
            raise NotFittedError(NOT_FITTED)
        return self._current

    @abstractmethod
    def _install(self, fitted: FittedState) -> None:
        """Replace the fitted state, with the present settings."""

    def verdict(self, score: int, threshold: int | None = None) -> Verdict:
        """Return whether to accept, review or reject a score, at the model's threshold or a given one.

        The mask does not depend on the guard band: it has a pixel exactly when the score is above the
        threshold.

        Args:
            score: integer level.
            threshold: integer level; default: the model's threshold.

        Raises:
            CalibrationError: the model has no threshold and none is given.
        """
        return self.verdict_limits(threshold).verdict(score)

    def verdict_limits(self, threshold: int | None = None) -> VerdictLimits:
        """Return the levels up to which scores are accepted and above which they are rejected.

        Args:
            threshold: integer level; default: the model's threshold.

        Raises:
            CalibrationError: the model has no threshold and none is given.
        """
        level = self.threshold_level if threshold is None else threshold
        return verdict_limits(level, self.decision.guard, self.state.fitted.quantizer)

    # --- calibration -------------------------------------------------------------------------------

    @property
    def current_threshold(self) -> Threshold | None:
        """The threshold in use and its origin.

        None for a percentile of fewer than three parts, and for a threshold beyond the scale of the levels.
        """
        if self.state.fitted.calibration == "none" and self.decision.choice.basis != "manual":
            return None
        try:
            return self.state.threshold(self.decision.choice, self.config.min_area)
        except BeyondScaleError:
            return None

    @property
    def threshold_(self) -> float:
        """The threshold in use, in map units: an image is rejected when its score is above it.

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is no threshold.
        """
        return self.state.fitted.quantizer.to_value(self.threshold_level)

    @property
    def false_reject_rate_(self) -> FalseRejectRate:
        """Expected share of good parts rejected, with its bound (docs/design.md, section 4.5).

        With a guard band these are the parts above the band; :attr:`verdict_rates_` has those in review too.

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is no threshold, or there are no held-out scores.
        """
        return self.verdict_rates_.rejected

    @property
    def verdict_rates_(self) -> VerdictRates:
        """Expected shares of good parts that are rejected, and that are rejected or in review.

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is no threshold, or there are no held-out scores.
        """
        return self.state.verdict_rates(self.verdict_limits(), self.config.min_area)

    @property
    def threshold_level(self) -> int:
        """The threshold in use as a level.

        Raises:
            CalibrationError: there is no threshold.
        """
        if self.state.fitted.calibration == "none" and self.decision.choice.basis != "manual":
            raise CalibrationError(
                f"there is no threshold yet: it takes at least {FEWEST_PARTS} good parts, or a value by hand"
            )
        return self.state.threshold(self.decision.choice, self.config.min_area).level

    def set_decision(
        self,
        *,
        basis: Basis | None = None,
        percentile: float | None = None,
        value: float | None = None,
        min_area: int | None = None,
        smoothing_sigma: float | None = None,
        pixel_size_mm: float | None = None,
    ) -> Self:
        """Set threshold, smallest region, smoothing and pixel size; settings not given keep their values.

        After a change of smoothing, images must be scored again. A threshold set by hand keeps its value, as
        after a new fit: if it were beyond the new scale of the levels, the scale is widened.

        Args:
            basis: ``image``, ``pixel`` or ``manual``; a ``value`` alone implies ``manual``.
            percentile: 0.1 to 99.9, in steps of 0.1.
            value: threshold set by hand, in map units.
            min_area: smallest region that counts, in map pixels.
            smoothing_sigma: standard deviation of the smoothing, in map pixels.
            pixel_size_mm: side of a pixel of the original images in mm; 0: not known.

        Raises:
            ValueError: a value is out of range, or a threshold set by hand is beyond the scale of the levels,
                where nothing would be rejected; the model is unchanged.
        """
        with self._writing:
            choice = changed(self.decision.choice, basis=basis, percentile=percentile, value=value)
            given: dict[str, float | None] = {"min_area": min_area, "smoothing_sigma": smoothing_sigma}
            changes = {name: setting for name, setting in given.items() if setting is not None}
            pixel = {} if pixel_size_mm is None else {"pixel_size_mm": pixel_size_mm or None}
            config = PadimConfig.model_validate({**self.config.model_dump(), **changes, **pixel})
            # What was not given stays so: the first fit decides it from the images.
            given_now = self.config.model_fields_set | changes.keys() | pixel.keys()
            config.model_fields_set.intersection_update(given_now)
            redecide = config.smoothing_sigma != self.config.smoothing_sigma
            if self._current is not None and (value is not None or basis == "manual"):
                # Only a new threshold is checked. For a former one the scale is widened, as far as possible.
                fitted = self._current.fitted
                check_on_scale(choice, (rescaled(fitted, config) if redecide else fitted).quantizer)
            self.decision, self.config = replace(self.decision, choice=choice), config
            if redecide:
                self._redecide()
        return self

    def set_guard(self, guard: Guard | None) -> Self:
        """Set or remove the guard band for review; threshold, scores and masks do not change.

        The band is in map units and keeps its width after fits and changes of smoothing, as a threshold set
        by hand does. As it was measured before them, measure it again afterwards.

        Args:
            guard: the guard band; None for no band.
        """
        with self._writing:
            self.decision = replace(self.decision, guard=guard)
        return self

    def set_roi(self, roi: npt.NDArray[np.bool_] | None, shapes: Sequence[Shape] = ()) -> Self:
        """Score only inside a region of interest; the normals' scores change at once.

        Args:
            roi: bool ``input_shape``; None: everywhere, without shapes.
            shapes: the shapes that it was drawn with, saved for later editing; only ``roi`` has an effect.

        Raises:
            ValueError: the array's shape or dtype is wrong, it is empty, or there are too many shapes.
        """
        with self._writing:
            self.decision = self.decision.with_roi(roi, shapes, self.config.input_shape)
            self._redecide()
        return self

    def _redecide(self) -> None:
        """Install the same fitted state with the scale and maps that the present settings give."""
        if self._current is not None:
            by_hand = self.decision.threshold_by_hand
            self._install(rescaled(self._current.fitted, self.config, by_hand))

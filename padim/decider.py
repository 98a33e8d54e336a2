"""How a fitted model decides: its threshold, its guard band, its region of interest."""

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
from padim.decision.guard_band import Guard, Verdict, verdict_of
from padim.decision.roi import Shape
from padim.decision.settings import DecisionSettings, changed, check_on_scale
from padim.errors import BeyondScaleError, CalibrationError, NotFittedError
from padim.estimator import Estimator
from padim.fit_run import NOT_FITTED
from padim.fitting import FittedState, rescaled
from padim.scoring import ScoringState


class Decider(Estimator):
    """Decides what was scored. None of this runs the network, and none of it changes what was fitted.

    Attributes:
        decision: how the threshold is chosen, the guard band and the region of interest; immutable, replaced
            by :meth:`set_decision`, :meth:`set_guard` and :meth:`set_roi`.
    """

    decision: DecisionSettings
    _current: ScoringState | None
    # Held by whatever changes the model; readers take ``_current`` once and need no lock.
    _writing: threading.RLock

    @property
    def state(self) -> ScoringState:
        """The current scoring state, which later fits and exclusions do not touch.

        Raises:
            NotFittedError: nothing was fitted yet.
        """
        if self._current is None:
            raise NotFittedError(NOT_FITTED)
        return self._current

    @abstractmethod
    def _install(self, fitted: FittedState) -> None:
        """Go on with another fitted state, under the settings as they are."""

    def verdict(self, score: int, threshold: int | None = None) -> Verdict:
        """Accept, review or reject a score, at the model's threshold or at another.

        Review is said in addition: the mask has a pixel exactly when the score is above the threshold, within
        the guard band too.

        Raises:
            CalibrationError: the model has no threshold and none is given.
        """
        level = self.threshold_level if threshold is None else threshold
        return verdict_of(score, level, self.decision.guard, self.state.fitted.quantizer)

    # --- calibration -------------------------------------------------------------------------------

    @property
    def current_threshold(self) -> Threshold | None:
        """The threshold in use and where it comes from.

        None for a percentile of fewer than three parts, and where it lies beyond the scale of the levels.
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
            CalibrationError: there is none.
        """
        return self.state.fitted.quantizer.to_value(self.threshold_level)

    @property
    def false_reject_rate_(self) -> FalseRejectRate:
        """The share of good parts to expect above the threshold, and its bound (docs/design.md, section 4.5).

        Raises:
            NotFittedError: the model is not fitted.
            CalibrationError: there is no threshold, or there are no held-out scores.
        """
        return self.state.false_rejects(self.threshold_level, self.config.min_area)

    @property
    def threshold_level(self) -> int:
        """The level in use.

        Raises:
            CalibrationError: there is none.
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
    ) -> Self:
        """Choose threshold, smallest region and smoothing; what is not given stays.

        After a change of smoothing, images must be scored again. A threshold set by hand stays through it,
        as through a new fit: where it would lie beyond the new scale of the levels, that becomes wider.

        Args:
            basis: ``image``, ``pixel`` or ``manual``; a ``value`` alone implies ``manual``.
            percentile: 0.1 to 99.9, in steps of 0.1.
            value: threshold by hand, in map units.
            min_area: map pixels.
            smoothing_sigma: map pixels.

        Raises:
            ValueError: a value out of range, or a threshold by hand beyond the scale of the levels, where
                nothing would be rejected; nothing is changed then.
        """
        with self._writing:
            choice = changed(self.decision.choice, basis=basis, percentile=percentile, value=value)
            given = {"min_area": min_area, "smoothing_sigma": smoothing_sigma}
            changes = {name: setting for name, setting in given.items() if setting is not None}
            config = PadimConfig.model_validate({**self.config.model_dump(), **changes})
            redecide = config.smoothing_sigma != self.config.smoothing_sigma
            if self._current is not None and (value is not None or basis == "manual"):
                # A threshold by hand that stays is not refused: it is given room, or the model has none.
                fitted = self._current.fitted
                check_on_scale(choice, (rescaled(fitted, config) if redecide else fitted).quantizer)
            self.decision, self.config = replace(self.decision, choice=choice), config
            if redecide:
                self._redecide()
        return self

    def set_guard(self, guard: Guard | None) -> Self:
        """Call for review near the threshold, or no longer; threshold, scores and masks stay.

        The band is in map units and stays through fits and changes of smoothing, as a threshold by hand does;
        it was measured before, so measure again after those.
        """
        with self._writing:
            self.decision = replace(self.decision, guard=guard)
        return self

    def set_roi(self, roi: npt.NDArray[np.bool_] | None, shapes: Sequence[Shape] = ()) -> Self:
        """Judge only inside a region of interest, in map pixels; the normals' scores follow at once.

        Args:
            roi: bool ``(input_size, input_size)``; None judges everywhere, and forgets the shapes.
            shapes: what it was drawn with, kept for the next edit; what is judged is ``roi`` alone.

        Raises:
            ValueError: another shape or type, nothing would be judged, or too many shapes to keep.
        """
        with self._writing:
            self.decision = self.decision.with_roi(roi, shapes, self.config.input_size)
            self._redecide()
        return self

    def _redecide(self) -> None:
        """The same Gaussians, judged anew; the scale of the maps depends on the smoothing."""
        if self._current is not None:
            by_hand = self.decision.threshold_by_hand
            self._install(rescaled(self._current.fitted, self.config, by_hand))

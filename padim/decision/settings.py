"""Settings of a model's decisions: choice of threshold, guard band and region of interest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from padim.decision.anomaly_map import Quantizer
from padim.decision.calibration import Basis, Choice, to_permille
from padim.decision.guard_band import Guard
from padim.decision.roi import MAX_SHAPES, Shape

__all__ = ["DecisionSettings", "changed", "check_on_scale"]


@dataclass(frozen=True, eq=False)
class DecisionSettings:
    """Settings of a model's decisions; immutable, replaced as a whole.

    The smallest region that counts is a setting of the configuration, not of this class.

    Attributes:
        choice: how the threshold is chosen.
        guard: the band around the threshold in which scores call for review, in map units; None for no band.
        roi: bool ``(h, w)`` of the maps, True where defects count; None: everywhere.
        roi_shapes: the shapes that the region of interest was drawn with, to edit it; empty if not drawn.
    """

    choice: Choice = field(default_factory=Choice)
    guard: Guard | None = None
    roi: npt.NDArray[np.bool_] | None = None
    roi_shapes: tuple[Shape, ...] = ()

    @property
    def threshold_by_hand(self) -> float | None:
        """Threshold in map units if it is set by hand, else None."""
        return self.choice.value if self.choice.basis == "manual" else None

    def with_roi(
        self, roi: npt.NDArray[np.bool_] | None, shapes: Sequence[Shape], shape: tuple[int, int]
    ) -> DecisionSettings:
        """Return the settings with another region of interest.

        Args:
            roi: bool ``shape``; None: everywhere, without shapes.
            shapes: the shapes that it was drawn with.
            shape: (h, w) of the maps in pixels.

        Raises:
            ValueError: the array's shape or dtype is wrong, it is empty, or there are too many shapes.
        """
        if len(shapes) > MAX_SHAPES:
            raise ValueError(f"a region has at most {MAX_SHAPES} shapes, got {len(shapes)}")
        if roi is None:
            return replace(self, roi=None, roi_shapes=())
        if roi.dtype != np.bool_ or roi.shape != shape:
            raise ValueError(f"roi must be bool {shape}, got {roi.dtype} {roi.shape}")
        if not roi.any():
            raise ValueError("the region of interest is empty: nothing would ever be scored")
        return replace(self, roi=roi.copy(), roi_shapes=tuple(shapes))


def changed(choice: Choice, *, basis: Basis | None, percentile: float | None, value: float | None) -> Choice:
    """Return a choice of threshold with some of its values changed; a ``value`` alone implies ``manual``.

    Args:
        choice: the present choice.
        basis: ``image``, ``pixel`` or ``manual``.
        percentile: 0.1 to 99.9, in steps of 0.1.
        value: threshold set by hand, in map units.

    Raises:
        ValueError: a value is out of range.
    """
    if value is not None:
        choice = replace(choice, basis="manual", value=_number(value))
    if basis is not None:
        choice = replace(choice, basis=basis)
    if percentile is not None:
        choice = replace(choice, permille=to_permille(percentile))
    return choice


def check_on_scale(choice: Choice, quantizer: Quantizer) -> None:
    """Check that a threshold set by hand is on the scale; beyond it, nothing would be rejected.

    Raises:
        ValueError: the threshold is beyond the scale.
    """
    largest = quantizer.highest_threshold
    if choice.basis == "manual" and choice.value is not None and choice.value > largest:
        raise ValueError(
            f"the threshold can be at most {largest:.4g} on this model's scale, got {choice.value:g}"
        )


def _number(value: float) -> float:
    """Convert to float; raise ValueError for an integer beyond the range of float."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"the threshold must be a number of at least 0, got {value}") from None

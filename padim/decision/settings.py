"""What a model's decisions depend on besides its maps: threshold, guard band and region of interest."""

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
    """Settings of the decision; immutable, replaced as a whole. The smallest region is in the config.

    Attributes:
        choice: how the threshold is chosen.
        guard: the band around the threshold whose scores call for review, in map units; None for no band.
        roi: bool ``(input_size, input_size)``, where defects count; None is everywhere.
        roi_shapes: what the region of interest was drawn with, to draw it again; empty for one not drawn.
    """

    choice: Choice = field(default_factory=Choice)
    guard: Guard | None = None
    roi: npt.NDArray[np.bool_] | None = None
    roi_shapes: tuple[Shape, ...] = ()

    @property
    def threshold_by_hand(self) -> float | None:
        """The threshold in map units, where it is set by hand."""
        return self.choice.value if self.choice.basis == "manual" else None

    def with_roi(
        self, roi: npt.NDArray[np.bool_] | None, shapes: Sequence[Shape], size: int
    ) -> DecisionSettings:
        """The same with another region of interest.

        Args:
            roi: bool ``(size, size)``; None is everywhere, and forgets the shapes.
            shapes: what it was drawn with.
            size: side of the maps in pixels.

        Raises:
            ValueError: another shape or type, nothing is inside, or too many shapes to keep.
        """
        if len(shapes) > MAX_SHAPES:
            raise ValueError(f"a region has at most {MAX_SHAPES} shapes, got {len(shapes)}")
        if roi is None:
            return replace(self, roi=None, roi_shapes=())
        if roi.dtype != np.bool_ or roi.shape != (size, size):
            raise ValueError(f"roi must be bool ({size}, {size}), got {roi.dtype} {roi.shape}")
        if not roi.any():
            raise ValueError("the region of interest is empty: nothing would ever be judged")
        return replace(self, roi=roi.copy(), roi_shapes=tuple(shapes))


def changed(choice: Choice, *, basis: Basis | None, percentile: float | None, value: float | None) -> Choice:
    """A choice of threshold with some of it changed; a ``value`` alone implies ``manual``.

    Args:
        choice: the former one.
        basis: ``image``, ``pixel`` or ``manual``.
        percentile: 0.1 to 99.9, in steps of 0.1.
        value: threshold by hand, in map units.

    Raises:
        ValueError: a value out of range.
    """
    if value is not None:
        choice = replace(choice, basis="manual", value=_number(value))
    if basis is not None:
        choice = replace(choice, basis=basis)
    if percentile is not None:
        choice = replace(choice, permille=to_permille(percentile))
    return choice


def check_on_scale(choice: Choice, quantizer: Quantizer) -> None:
    """Refuse a threshold set by hand beyond a scale, where nothing would be rejected.

    Raises:
        ValueError: it is.
    """
    largest = quantizer.highest_threshold
    if choice.basis == "manual" and choice.value is not None and choice.value > largest:
        raise ValueError(
            f"the threshold can be at most {largest:.4g} on this model's scale, got {choice.value:g}"
        )


def _number(value: float) -> float:
    """
    Raises:
        ValueError: beyond what a float holds.
    """
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"the threshold must be a number of at least 0, got {value}") from None

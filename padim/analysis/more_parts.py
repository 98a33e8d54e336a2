"""Outlook: how much more certain a false-reject rate would be with more good parts."""

from __future__ import annotations

from dataclasses import dataclass

from padim.decision.calibration import FalseRejectRate, upper_bound

__all__ = ["ENOUGH", "MorePartsBound", "bound_with_more_parts"]

# From this number of parts on, more parts hardly narrow the bound.
ENOUGH = 100
# The numbers of parts to suggest, and the smallest factor of increase for a suggestion.
_ROUND_NUMBERS, _WORTH_IT = (40, 100, 200), 1.6


@dataclass(frozen=True)
class MorePartsBound:
    """The bound of the false-reject rate with more parts.

    Attributes:
        parts: the number of parts.
        upper: the 95 % upper bound of the false-reject rate, if the additional parts score
            like the present ones.
    """

    parts: int
    upper: float


def bound_with_more_parts(rate: FalseRejectRate) -> MorePartsBound | None:
    """Return the upper bound for a larger, round number of parts with the same share rejected.

    The expected rate stays the same; only its uncertainty shrinks.

    Args:
        rate: the rate with the present parts.

    Returns:
        None if there are enough parts already.
    """
    if rate.n >= ENOUGH:
        return None
    more = next(n for n in _ROUND_NUMBERS if n >= _WORTH_IT * rate.n)
    # The number above the threshold for which (k + 1) / (n + 1) is nearest to the expected rate.
    above = min(more, max(0, round(rate.expected * (more + 1)) - 1))
    return MorePartsBound(more, upper_bound(above, more))

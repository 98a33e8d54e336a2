"""How much surer a false-reject rate would be if it were judged from more good parts."""

from __future__ import annotations

from dataclasses import dataclass

from padim.decision.calibration import FalseRejectRate, upper_bound

__all__ = ["ENOUGH", "MorePartsBound", "bound_with_more_parts"]

# From so many parts on, more of them narrow the bound little.
ENOUGH = 100
# Numbers of parts to hold in prospect; one is worth it from this many times as many on.
_ROUND_NUMBERS, _WORTH_IT = (40, 100, 200), 1.6


@dataclass(frozen=True)
class MorePartsBound:
    """The bound that more parts would give.

    Attributes:
        parts: how many parts.
        upper: the 95 % upper bound of the false-reject rate if they scored alike.
    """

    parts: int
    upper: float


def bound_with_more_parts(rate: FalseRejectRate) -> MorePartsBound | None:
    """The upper bound if the same share of a larger, round number of parts were rejected.

    The rate to expect stays, only its certainty grows.

    Args:
        rate: of the parts there are.

    Returns:
        None where there are enough parts already.
    """
    if rate.n >= ENOUGH:
        return None
    more = next(n for n in _ROUND_NUMBERS if n >= _WORTH_IT * rate.n)
    # Out of the expected rate (k + 1) / (n + 1): as many above as come nearest to it.
    above = min(more, max(0, round(rate.expected * (more + 1)) - 1))
    return MorePartsBound(more, upper_bound(above, more))

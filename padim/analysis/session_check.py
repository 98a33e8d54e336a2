"""A second session of good parts: does the model reject as many of them as its held-out scores promise?

Parts from another day, camera position or batch are the honest test of a calibration. The promise is itself
only known from N held-out parts, k of them above the threshold. A plain binomial test against the promised
share takes it for certain and raises false alarms; the test here averages over what N parts leave open.

For scores of parts of one kind, the number above the threshold among n new ones compares as follows. Ordered
from the top, the threshold lies between the k-th and the (k+1)-th of the N held-out scores. The share of all
parts above the (k+1)-th score follows Beta(k + 1, N - k) whatever the scores' distribution, hence the number
among n new parts a beta-binomial; the number above the threshold itself is not larger. Likewise from below
with the k-th score and Beta(k, N - k + 1). So each p-value is at most as often below 0.05 as it says, for a
threshold at a percentile as for one set by hand, and with equal scores too. For a threshold at a percentile,
which is the (k+1)-th score, p_more is exact. As everywhere, leave-one-out scores stand in for scores of a
fixed scorer (a close approximation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

from padim.decision.calibration import false_reject_rate
from padim.decision.operating_points import clopper_pearson

__all__ = ["SessionCheck", "check_session"]

Levels = npt.NDArray[np.integer]

# One-sided, for each of the two directions.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class SessionCheck:
    """A session of good parts against the calibration.

    Attributes:
        rejected: parts of the session above the threshold.
        n: parts in the session.
        share: ``rejected / n``.
        low: lower end of its 95 % two-sided Clopper-Pearson interval.
        high: upper end.
        expected: share promised by the held-out scores, (k + 1) / (N + 1).
        p_more: probability of at least as many rejected if the session is like the held-out parts.
        p_fewer: probability of at most as many.
    """

    rejected: int
    n: int
    share: float
    low: float
    high: float
    expected: float
    p_more: float
    p_fewer: float

    @property
    def disagrees(self) -> Literal["more", "fewer", None]:
        """Whether more or fewer are rejected than chance explains, at 5 % for each direction."""
        if self.p_more <= SIGNIFICANCE:
            return "more"
        return "fewer" if self.p_fewer <= SIGNIFICANCE else None


def check_session(held_out: Levels, session: Levels, level: int) -> SessionCheck:
    """Compare the share of a session's good parts above a threshold with what the held-out scores promise.

    Args:
        held_out: integer levels ``(N,)``, held-out scores of the calibration's parts.
        session: integer levels ``(n,)``, one score a *part* (the largest of its shots): shots of one part
            counted singly would agree with one another and pass for evidence.
        level: threshold T; rejected is what scores above it.

    Raises:
        ValueError: no held-out scores, or no parts in the session.
    """
    if len(held_out) == 0:
        raise ValueError("there are no held-out scores to compare the session with")
    if len(session) == 0:
        raise ValueError("there are no scores of parts in the session")
    promise = false_reject_rate(held_out, level)
    k, parts = promise.above, promise.n
    n, rejected = len(session), int(np.count_nonzero(np.asarray(session) > level))
    # With all held-out parts above, no number is too many; with none above, none is too few.
    p_more = 1.0 if k == parts else _tail(np.arange(rejected, n + 1), n, k + 1, parts - k)
    p_fewer = 1.0 if k == 0 else _tail(np.arange(rejected + 1), n, k, parts - k + 1)
    low, high = clopper_pearson(rejected, n)
    return SessionCheck(rejected, n, rejected / n, low, high, promise.expected, p_more, p_fewer)


def _tail(counts: npt.NDArray[np.int64], n: int, a: int, b: int) -> float:
    """Probability that a beta-binomial(n, a, b) count is one of ``counts``; a and b at least 1."""
    choices = -np.log(n + 1) - betaln(counts + 1, n - counts + 1)
    return min(1.0, float(np.exp(choices + betaln(counts + a, n - counts + b) - betaln(a, b)).sum()))

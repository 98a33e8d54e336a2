"""Session check: test whether a model rejects as many good parts of a second session as promised.

Parts from another day, camera position or batch are the fair test of a calibration. The promised
rate is itself estimated from N held-out parts, k of them above the threshold. A binomial test
against the promised rate would treat it as certain and raise false alarms; the test here takes the
uncertainty of N parts into account.

For exchangeable scores, the number above the threshold among n new parts is bounded as follows. In descending
order, the threshold is between the k-th and the (k+1)-th of the N held-out scores. The share of all parts
above the (k+1)-th score has the distribution Beta(k + 1, N - k) for any distribution of the scores, hence the
number among n new parts is beta-binomial; the number above the threshold itself is not larger. The same holds
from below with the k-th score and Beta(k, N - k + 1). So each p-value is below 0.05 with a probability of at
most 0.05, for a threshold at a percentile, for a manual one, and with equal scores. For a threshold at a
percentile, which is the (k+1)-th score, p_more is exact. As elsewhere, leave-one-out scores are used in place
of the scores of a fixed scorer (a close approximation).
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

# The one-sided significance level of each of the two directions.
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class SessionCheck:
    """The result of comparing a session of good parts with the calibration.

    Attributes:
        rejected: the number of parts of the session above the threshold.
        n: the number of parts in the session.
        share: ``rejected / n``.
        low: the lower end of its two-sided 95 % Clopper-Pearson interval.
        high: the upper end.
        expected: the rate promised by the held-out scores, (k + 1) / (N + 1).
        p_more: the probability of at least as many rejected, if the session is like the held-out parts.
        p_fewer: the probability of at most as many rejected.
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
        """Return whether significantly more or fewer are rejected, at 5 % for each direction; else None."""
        if self.p_more <= SIGNIFICANCE:
            return "more"
        return "fewer" if self.p_fewer <= SIGNIFICANCE else None


def check_session(held_out: Levels, session: Levels, level: int) -> SessionCheck:
    """Compare the rejected share of a session's good parts with the rate promised by the held-out scores.

    Args:
        held_out: integer levels ``(N,)``, the held-out scores of the parts of the calibration.
        session: integer levels ``(n,)``, one score for each *part* (the largest of its shots): separate shots
            of one part agree with one another and would count as independent evidence.
        level: the threshold; scores strictly above it are rejected.

    Raises:
        ValueError: there are no held-out scores, or no parts in the session.
    """
    if len(held_out) == 0:
        raise ValueError("there are no held-out scores to compare the session with")
    if len(session) == 0:
        raise ValueError("there are no scores of parts in the session")
    promise = false_reject_rate(held_out, level)
    k, parts = promise.above, promise.n
    n, rejected = len(session), int(np.count_nonzero(np.asarray(session) > level))
    # With all held-out parts above, no number is too large; with none above, no number is too small.
    p_more = 1.0 if k == parts else _tail(np.arange(rejected, n + 1), n, k + 1, parts - k)
    p_fewer = 1.0 if k == 0 else _tail(np.arange(rejected + 1), n, k, parts - k + 1)
    low, high = clopper_pearson(rejected, n)
    return SessionCheck(rejected, n, rejected / n, low, high, promise.expected, p_more, p_fewer)


def _tail(counts: npt.NDArray[np.int64], n: int, a: int, b: int) -> float:
    """Return the probability that a beta-binomial(n, a, b) count is in ``counts``; a and b are at least 1."""
    choices = -np.log(n + 1) - betaln(counts + 1, n - counts + 1)
    return min(1.0, float(np.exp(choices + betaln(counts + a, n - counts + b) - betaln(a, b)).sum()))

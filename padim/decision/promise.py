"""The sentence of the promise: which false rejects a threshold lets one expect, and on what that rests.

It is written here alone for the app, the shell and the exports; the viewer writes it in the browser
(``ui/components/modules/viewer/words.js``), and a test compares both. The shares are estimates, so the words
are "expected" and "from n parts", never "guaranteed".
"""

from __future__ import annotations

from typing import Protocol

from padim.text import count, in_hundred, percent

__all__ = ["FALSE_REJECTS", "MISSED_DEFECTS", "labor", "promise", "promise_by_verdict", "shares"]

FALSE_REJECTS = "false rejects (overkill)"
MISSED_DEFECTS = "missed defects (escapes)"
"""The two errors of an inspection, as every screen and table names them."""


class EstimatedShare(Protocol):
    """A share of parts with its bound, such as :class:`padim.decision.calibration.FalseRejectRate`."""

    @property
    def above(self) -> int: ...
    @property
    def n(self) -> int: ...
    @property
    def expected(self) -> float: ...
    @property
    def upper(self) -> float: ...


def shares(rate: EstimatedShare) -> str:
    """Return the expected share with its bound: "17 %, at most 29 % with 95 % confidence"."""
    return f"{percent(rate.expected)}, at most {percent(rate.upper, up=True)} with 95 % confidence"


def promise(rate: EstimatedShare) -> str:
    """Return the sentence that a threshold promises.

    For example "Expected false rejects (overkill) 17 %, at most 29 % with 95 % confidence, from 29 parts; in
    this sample 4 of 29."
    """
    return (
        f"Expected {FALSE_REJECTS} {shares(rate)}, from {count(rate.n, 'part')}; "
        f"in this sample {rate.above:,} of {rate.n:,}."
    )


def promise_by_verdict(
    rejected: EstimatedShare, not_accepted: EstimatedShare, *, review_above: float, reject_above: float
) -> str:
    """Return the sentence of a threshold with verdicts of review.

    It names the limits that the shares speak of, and the review as the labor that it is. For example
    "Expected false rejects (overkill, above 12.40) 3 %, at most 9 % with 95 % confidence, from 60 parts; in
    this sample 1 of 60. Review: about 7 in 100 good parts go to a person, in this sample 3 of 60; rejected or
    in review (above 9.80) 8 %, at most 16 %."

    Args:
        rejected: the share rejected.
        not_accepted: the share rejected or in review.
        review_above, reject_above: the limits that the two speak of, in map units.
    """
    return (
        f"Expected false rejects (overkill, above {reject_above:.2f}) {shares(rejected)}, from "
        f"{count(rejected.n, 'part')}; in this sample {rejected.above:,} of {rejected.n:,}. "
        f"{labor(not_accepted.above - rejected.above, rejected.n)}; rejected or in review (above "
        f"{review_above:.2f}) {percent(not_accepted.expected)}, at most "
        f"{percent(not_accepted.upper, up=True)}."
    )


def labor(review: int, n: int) -> str:
    """Return what the review costs: "Review: about 7 in 100 good parts go to a person, in this sample ...".

    As for rejects, the share to expect of the next part is (review + 1) / (n + 1).

    Args:
        review: number of good parts in review.
        n: number of good parts.
    """
    share = in_hundred((review + 1) / (n + 1))
    return f"Review: about {share} good parts go to a person, in this sample {review:,} of {n:,}"

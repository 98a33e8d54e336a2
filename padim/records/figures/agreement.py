"""Agreement of two reviewers beyond chance: Cohen's kappa with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from padim.decision.operating_points import clopper_pearson

__all__ = ["ReviewerAgreement", "agreement_of"]

# With fewer disagreements the large-sample error is too small.
_FEW = 5
_Z = 1.959963984540054


@dataclass(frozen=True, eq=False)
class ReviewerAgreement:
    """How far first and second opinions agree.

    Attributes:
        table: counts, int64 ``(c, c)``: rows are first decisions, columns second ones, in the order of
            ``categories``.
        categories: names of the decisions.
        kappa: Cohen's kappa, at most 1, 0 for agreement by chance; None where it is undefined.
        low, high: its 95 % confidence interval; None where it is undefined.
    """

    table: npt.NDArray[np.int64]
    categories: tuple[str, ...]
    kappa: float | None
    low: float | None
    high: float | None

    @property
    def pairs(self) -> int:
        """Number of inspections with two opinions."""
        return int(self.table.sum())

    @property
    def equal(self) -> int:
        """Number of pairs that agree."""
        return int(np.trace(self.table))


def agreement_of(
    first: Sequence[str], second: Sequence[str], categories: Sequence[str] = ("accept", "reject", "unsure")
) -> ReviewerAgreement:
    """Compute Cohen's kappa of two opinions on the same inspections.

    kappa = (p_o - p_e) / (1 - p_e) with the observed and the chance agreement (Cohen, 1960, "A coefficient of
    agreement for nominal scales"). The interval is kappa ± 1.96 standard errors of Fleiss, Cohen and Everitt
    (1969, "Large sample standard errors of kappa and weighted kappa"). That error vanishes without a
    disagreement; with fewer than five the interval is extended to what the exact interval of p_o (Clopper and
    Pearson) gives with the p_e observed.

    Kappa is undefined if both reviewers gave one and the same decision throughout: agreement by chance is
    then complete.

    Args:
        first, second: the decisions, of the same length; each is one of the categories.
        categories: the decisions that can be made.

    Raises:
        ValueError: the lengths differ, or a decision is not one of the categories.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} first and {len(second)} second decisions are not pairs")
    places = {name: place for place, name in enumerate(categories)}
    table = np.zeros((len(places), len(places)), np.int64)
    for one, other in zip(first, second, strict=True):
        if one not in places or other not in places:
            raise ValueError(f"“{one if one not in places else other}” is no decision")
        table[places[one], places[other]] += 1
    kappa, low, high = kappa_of(table)
    return ReviewerAgreement(table, tuple(categories), kappa, low, high)


def kappa_of(table: npt.NDArray[np.int64]) -> tuple[float | None, float | None, float | None]:
    """Return Cohen's kappa of a square table of counts with its interval, as :func:`agreement_of`."""
    n = int(table.sum())
    if n == 0:
        return None, None, None
    p = table / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    chance = float(rows @ columns)
    if chance >= 1 - 1e-12:
        return None, None, None
    agreed = float(np.trace(p))
    kappa = (agreed - chance) / (1 - chance)
    # The three terms of Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", 18.1.
    diagonal = np.diag(p)
    a = float((diagonal * (1 - (rows + columns) * (1 - kappa)) ** 2).sum())
    squares = p * (columns[:, None] + rows[None, :]) ** 2
    b = (1 - kappa) ** 2 * float(squares.sum() - np.diag(squares).sum())
    c = (kappa - chance * (1 - kappa)) ** 2
    error = math.sqrt(max(0.0, a + b - c) / n) / (1 - chance)
    low, high = kappa - _Z * error, kappa + _Z * error
    equal = int(np.trace(table))
    if n - equal < _FEW:
        lowest, highest = clopper_pearson(equal, n)
        low = min(low, (lowest - chance) / (1 - chance))
        high = max(high, (highest - chance) / (1 - chance))
    return kappa, max(-1.0, low), min(1.0, high)

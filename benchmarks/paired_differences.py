"""Whether a configuration is better than another over several data sets, judged on the same draws.

A draw that is hard for one configuration is hard for the other: each draw's figures are subtracted first.
The means of those differences, one a data set, are what the standard error over sets is taken of: draws of
one set share its images, and a hundred of them are still one set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """A mean and how sure it is.

    Attributes:
        value: the mean.
        error: its standard error, the sample standard deviation (n - 1) / sqrt(n); None of a single value.
        count: of values averaged.
    """

    value: float
    error: float | None
    count: int


def mean(values: Sequence[float]) -> Mean | None:
    """Mean and standard error of the mean; None of no values.

    Raises:
        ValueError: a value is not finite.
    """
    if not values:
        return None
    if not all(math.isfinite(value) for value in values):
        raise ValueError("a mean over values that are not finite")
    count = len(values)
    error = float(np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else None
    return Mean(float(np.mean(values)), error, count)


def difference(variant: Sequence[float | None], baseline: Sequence[float | None]) -> Mean | None:
    """The mean of ``variant - baseline`` over the draws of one data set; None where neither was measured.

    Args:
        variant, baseline: the figure of each draw, in the same order; None where it does not exist (a pixel
            AUROC without masks).

    Raises:
        ValueError: a different number of draws, or a draw measured for one of the two only.
    """
    pairs = list(zip(variant, baseline, strict=True))
    if any((one is None) != (other is None) for one, other in pairs):
        raise ValueError("a draw was measured for one of two configurations only")
    return mean([one - other for one, other in pairs if one is not None and other is not None])


def over_sets(by_set: Mapping[str, Mean | None]) -> Mean | None:
    """The mean over data sets of their means, with its standard error over sets.

    Sets without a figure are left out.
    """
    return mean([one.value for one in by_set.values() if one is not None])

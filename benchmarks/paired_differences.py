"""Paired differences between two configurations over several data sets, on the same draws.

As a draw that is difficult for one configuration is difficult for the other, differences are taken draw by
draw. The standard error over data sets is that of the data sets' mean differences: the draws of one data set
share its images and are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mean:
    """A mean and its standard error.

    Attributes:
        value: the mean.
        error: its standard error, the sample standard deviation (n - 1) / sqrt(n); None for a single value.
        count: number of values.
    """

    value: float
    error: float | None
    count: int


def mean(values: Sequence[float]) -> Mean | None:
    """Return the mean and its standard error; None without values.

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
    """Return the mean of ``variant - baseline`` over the draws of one data set; None without values.

    Args:
        variant, baseline: a metric of each draw, in the same order; None where it is undefined (a pixel AUROC
            without masks).

    Raises:
        ValueError: the numbers of draws differ, or a draw was measured for only one of the two.
    """
    pairs = list(zip(variant, baseline, strict=True))
    if any((one is None) != (other is None) for one, other in pairs):
        raise ValueError("a draw was measured for one of two configurations only")
    return mean([one - other for one, other in pairs if one is not None and other is not None])


def over_sets(by_set: Mapping[str, Mean | None]) -> Mean | None:
    """Return the mean of the data sets' means, with its standard error over data sets.

    Data sets without a value are left out.
    """
    return mean([one.value for one in by_set.values() if one is not None])

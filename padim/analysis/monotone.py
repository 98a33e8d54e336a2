"""Monotone (isotonic) estimates of shares that can only rise along an axis, such as a severity."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["resampled_shares", "rising"]

# Resamples of the bootstrap: its 2.5 % points are then the 10th of them from either end.
RESAMPLES = 400


def rising(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the non-decreasing sequence nearest to the values, in least squares, along the last axis.

    By the formula max over j <= i of min over k >= i of mean(values[j..k]), valid for equal weights; it is
    quick for the few values of an axis, and for many sequences at once.

    Args:
        values: float ``(..., m)``.
    """
    m = values.shape[-1]
    up_to = np.concatenate((np.zeros((*values.shape[:-1], 1)), np.cumsum(values, -1)), -1)
    found = np.empty_like(values, np.float64)
    for i in range(m):
        lowest = [
            np.min([(up_to[..., k + 1] - up_to[..., j]) / (k + 1 - j) for k in range(i, m)], 0)
            for j in range(i + 1)
        ]
        found[..., i] = np.max(lowest, 0)
    return found


def resampled_shares(
    outcomes: npt.NDArray[np.bool_], random: np.random.Generator, resamples: int = RESAMPLES
) -> npt.NDArray[np.float64]:
    """Return the shares of images with each outcome, in bootstrap resamples of the images.

    An image is drawn with all its outcomes, because these depend on each other.

    Args:
        outcomes: bool ``(n, m)``, n >= 1 images with m outcomes each.
        random: source of the resamples.
        resamples: how many.

    Returns:
        float64 ``(resamples, m)``.
    """
    n = len(outcomes)
    drawn = random.multinomial(n, np.full(n, 1 / n), resamples)
    return drawn @ outcomes.astype(np.float64) / n

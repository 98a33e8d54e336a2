"""The Gaussian at each position: Cholesky factors, Mahalanobis distance, exact leave-one-out.

With scatter S of n images, the covariance is ``A = w S / (n - 1) + e I`` (paper, equation 1). Plainly,
w = 1 and e = eps; a fixed shrinkage s towards the identity makes w = 1 - s and e = eps + s. Both stay the
same when an image is left out, which is what makes the leave-one-out formula exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from padim.errors import CalibrationError
from padim.statistics import PatchStatistics, position_blocks

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Regularization:
    """``A = weight * S / (n - 1) + floor * I``."""

    eps: float = 0.01
    shrinkage: float = 0.0

    @property
    def weight(self) -> float:
        """Weight of the sample covariance."""
        return 1.0 - self.shrinkage

    @property
    def floor(self) -> float:
        """Added to the diagonal."""
        return self.eps + self.shrinkage


def whitening(statistics: PatchStatistics, regularization: Regularization, degrees: float) -> Doubles:
    """``V = L^-T`` of the Cholesky factor of ``weight * S / degrees + floor * I``, at every position.

    For a row vector delta, ``|delta V|^2`` is the squared Mahalanobis distance. Inverting the triangular
    factor is backward stable, unlike a general inverse, and turns scoring into one matrix product.

    Args:
        statistics: of shape ``(p, d)``.
        regularization: keeps every factor positive definite, also for one image or constant ones.
        degrees: n - 1 for scoring; with S of one image or none the first term is zero anyway.

    Returns:
        float64 ``(p, d, d)``, upper triangular.
    """
    positions, features = statistics.shape
    result = np.empty((positions, features, features))
    diagonal = np.arange(features)
    for block in position_blocks(positions):
        covariance = statistics.scatter[block] * (regularization.weight / max(degrees, 1.0))
        covariance[:, diagonal, diagonal] += regularization.floor
        factor = np.linalg.cholesky(covariance)
        for position, lower in enumerate(factor, start=block.start):
            # The transpose of a C-ordered lower factor is the F-ordered upper one LAPACK wants: no copy.
            inverse, info = lapack.dtrtri(lower.T, lower=0)
            if info:
                raise np.linalg.LinAlgError(f"singular factor at position {position}")
            result[position] = inverse
    return result


def squared_distances(x: Floats, mean: Doubles, whitener: Doubles) -> Doubles:
    """Squared Mahalanobis distances, in float64.

    Args:
        x: ``(n, p, d)``.
        mean: ``(p, d)``.
        whitener: ``(p, d, d)`` from :func:`whitening`.

    Returns:
        float64 ``(n, p)``.
    """
    white = _whitened(x, mean, whitener)
    return np.einsum("pnd,pnd->np", white, white)


def _whitened(x: Floats, mean: Doubles, whitener: Doubles) -> Doubles:
    """``(p, n, d)``: the rows of every position in units of its Gaussian."""
    delta = x.transpose(1, 0, 2).astype(np.float64) - mean[:, None]
    return np.matmul(delta, whitener)


class LeaveOut:
    """Distances of normals to the Gaussian of the others, with no refit (DESIGN 4.3).

    A group of k images of one part leaves together. With ``nu = (n - k - 1) / weight``, B the
    regularised covariance ``S / nu + floor I`` and K the k x k matrix of inner products of the group's
    deviations in units of B, removing the group is a rank-k downdate of B, and Woodbury's identity gives
    for member i

        d_i^2 = nu (M_ii + sum_j M_ji / (n - k)),   M = K (nu (I - 11^T / n) - K)^-1,

    which for k = 1 is ``(n / (n-1))^2 q / (1 - c q)``, ``c = n / ((n-1) nu)``.

    One object serves all groups of one size: the factor of B depends on k.
    """

    def __init__(self, statistics: PatchStatistics, regularization: Regularization, group_size: int) -> None:
        """
        Raises:
            CalibrationError: fewer than two images would be left.
        """
        remaining = statistics.count - group_size
        if remaining < 2:
            raise CalibrationError(
                f"leaving out {group_size} of {statistics.count} pictures leaves {remaining}; "
                "at least two must remain to know what varies"
            )
        self.count = statistics.count
        self.group_size = group_size
        self._remaining = remaining
        self._nu = (remaining - 1) / regularization.weight
        self._mean = statistics.mean
        self._whitener = whitening(statistics, regularization, remaining - 1)

    def squared_distances(self, x: Floats) -> Doubles:
        """Of one group's members, each to the Gaussian without the whole group.

        Args:
            x: ``(k, p, d)``, the k members, which must be inside the statistics. With k = 1 any number of
                images may be passed at once: each is then its own group.

        Returns:
            float64 ``(len(x), p)``.
        """
        white = _whitened(x, self._mean, self._whitener)
        if self.group_size == 1:
            n, q = self.count, np.einsum("pnd,pnd->np", white, white)
            c = n / ((n - 1) * self._nu)
            return (n / (n - 1)) ** 2 * q / (1 - c * q)
        k = self.group_size
        if len(x) != k:
            raise ValueError(f"x must hold the {k} members of one group, got {len(x)}")
        inner = white @ white.transpose(0, 2, 1)
        centred = self._nu * (np.eye(k) - 1 / self.count)
        m = np.linalg.solve(centred - inner, inner).transpose(0, 2, 1)
        return self._nu * (np.einsum("pii->ip", m) + m.sum(axis=1).T / self._remaining)

"""Mathematics of the Gaussian at each position: Cholesky factors, Mahalanobis distances, exact leave-one-out.

With scatter S of n images, the covariance is ``A = w S / (n - 1) + e I`` (paper, equation 1). Without
shrinkage, w = 1 and e = eps; a fixed shrinkage s towards the identity gives w = 1 - s and e = eps + s. Both
stay the same when an image is left out, which makes the leave-one-out formula exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from padim.errors import CalibrationError
from padim.methods.moments import PatchStatistics
from padim.network.threads import each_block

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Regularization:
    """The regularization of a covariance: ``A = weight * S / (n - 1) + floor * I``."""

    eps: float = 0.01
    shrinkage: float = 0.0

    @property
    def weight(self) -> float:
        """Return the weight of the sample covariance."""
        return 1.0 - self.shrinkage

    @property
    def floor(self) -> float:
        """Return the value added to the diagonal of the covariance."""
        return self.eps + self.shrinkage


def whitening(statistics: PatchStatistics, regularization: Regularization, degrees: float) -> Doubles:
    """Compute the whitening matrix ``V = L^-T`` at every position.

    L is the Cholesky factor of ``weight * S / degrees + floor * I``. For a row vector delta, ``|delta V|^2``
    is the squared Mahalanobis distance. Inverting the triangular factor is backward stable, unlike a general
    inverse, and turns scoring into one matrix product.

    Args:
        statistics: the moments, of shape ``(p, d)``.
        regularization: keeps every covariance positive definite, even for a single image or constant images.
        degrees: the degrees of freedom, n - 1 for scoring; S of at most one image is zero anyway.

    Returns:
        float64 ``(p, d, d)``, upper triangular.
    """
    positions, features = statistics.shape
    result = np.empty((positions, features, features))
    diagonal = np.arange(features)

    def invert(block: slice) -> None:
        covariance = statistics.scatter[block] * (regularization.weight / max(degrees, 1.0))
        covariance[:, diagonal, diagonal] += regularization.floor
        factor = np.linalg.cholesky(covariance)
        for position, lower in enumerate(factor, start=block.start):
            # The transpose of a C-ordered lower factor is the F-ordered upper factor that
            # LAPACK expects: no copy.
            inverse, info = lapack.dtrtri(lower.T, lower=0)
            if info:
                raise np.linalg.LinAlgError(f"the covariance factor at grid position {position} is singular")
            result[position] = inverse

    each_block(positions, invert)
    return result


def squared_distances(x: Floats, mean: Doubles, whitener: Doubles) -> Doubles:
    """Compute squared Mahalanobis distances in float64.

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
    """Return the whitened deviations, float64 ``(p, n, d)``, of embeddings ``(n, p, d)``."""
    positions, features = mean.shape
    white = np.empty((positions, len(x), features))

    def whiten(block: slice) -> None:
        delta = x[:, block].transpose(1, 0, 2).astype(np.float64) - mean[block, None]
        np.matmul(delta, whitener[block], out=white[block])

    each_block(positions, whiten)
    return white


class _Downdate:
    """The formula for removing a group of k of n images from the Gaussians, and the constants in it.

    Attributes:
        count: n.
        group_size: k.
        nu: ``(n - k - 1) / weight``.
    """

    def __init__(self, count: int, group_size: int, regularization: Regularization) -> None:
        """Prepare the removal of groups of one size.

        Raises:
            CalibrationError: fewer than two images would remain.
        """
        remaining = count - group_size
        if remaining < 2:
            raise CalibrationError(
                f"leaving out {group_size} of {count} images leaves {remaining}; "
                "at least two must remain to estimate a covariance"
            )
        self.count = count
        self.group_size = group_size
        self._remaining = remaining
        self.nu = (remaining - 1) / regularization.weight

    def _alone(self, q: Doubles, gap: Doubles) -> Doubles:
        """Return the squared held-out distances of images that are each a group by themselves.

        Args:
            q: ``|delta|_B^2``, the diagonal of K.
            gap: ``nu (1 - 1/n) - q``, in the most accurate form available to the caller.
        """
        n = self.count
        return n / (n - 1) * self.nu * q / gap

    def _together(self, inner: Doubles, gap: Doubles) -> Doubles:
        """Return the squared held-out distances ``(k, p)`` of the members of one group.

        Args:
            inner: K, ``(p, k, k)``.
            gap: ``nu (I - 11^T / n) - K``, ``(p, k, k)``.
        """
        m = np.linalg.solve(gap, inner).transpose(0, 2, 1)
        return np.asarray(self.nu * (np.einsum("pii->ip", m) + m.sum(axis=1).T / self._remaining))


class LeaveOut(_Downdate):
    """Distances of normal images to the Gaussians of the others, without a refit.

    The formula is derived in docs/design.md, section 4.3. A group of k images of one part is left out
    together. With ``nu = (n - k - 1) / weight``, B the regularized covariance ``S / nu + floor I`` and K the
    k x k matrix of inner products of the group's deviations in units of B, removing the group is a rank-k
    downdate of B, and Woodbury's identity gives for member i

        d_i^2 = nu (M_ii + sum_j M_ji / (n - k)),   M = K (nu (I - 11^T / n) - K)^-1,

    which for k = 1 is ``(n / (n-1))^2 q / (1 - c q)``, ``c = n / ((n-1) nu)``.

    One object serves all groups of one size: the factor of B depends on k.
    """

    def __init__(self, statistics: PatchStatistics, regularization: Regularization, group_size: int) -> None:
        """Prepare the removal of groups of one size.

        Raises:
            CalibrationError: fewer than two images would remain.
        """
        super().__init__(statistics.count, group_size, regularization)
        self._mean = statistics.mean
        self._whitener = whitening(statistics, regularization, self._remaining - 1)

    def squared_distances(self, x: Floats) -> Doubles:
        """Return the squared distances of a group's members to the Gaussians without the whole group.

        Args:
            x: ``(k, p, d)``, the k members, which must be included in the statistics. With k = 1 any number
                of images may be passed at once: each is then a group of its own.

        Returns:
            float64 ``(len(x), p)``.
        """
        white = _whitened(x, self._mean, self._whitener)
        if self.group_size == 1:
            q = np.einsum("pnd,pnd->np", white, white)
            return self._alone(q, self.nu * (1 - 1 / self.count) - q)
        if len(x) != self.group_size:
            raise ValueError(f"x must hold the {self.group_size} members of one group, got {len(x)}")
        inner = white @ white.transpose(0, 2, 1)
        return self._together(inner, self.nu * (np.eye(self.group_size) - 1 / self.count) - inner)

    def squared_distances_of(self, x: Floats, y: Floats) -> Doubles:
        """Return squared distances of any vectors of the members to the Gaussians without the whole group.

        Args:
            x: the members, as for :meth:`squared_distances`; with k = 1 any number of them.
            y: ``(len(x), m, p, d)``, m vectors for each member.

        Returns:
            float64 ``(len(x), m, p)``.
        """
        count, several, positions, features = y.shape
        members = _whitened(x, self._mean, self._whitener)
        flat = y.reshape(count * several, positions, features)
        vectors = _whitened(flat, self._mean, self._whitener)
        return self._others(members, vectors.reshape(positions, count, several, features))

    def _others(self, members: Doubles, vectors: Doubles) -> Doubles:
        """Return squared distances ``(k, m, p)`` from whitened deviations.

        Args:
            members: deviations of the members, ``(p, k, d)``.
            vectors: deviations of their vectors, ``(p, k, m, d)``; overwritten.
        """
        if self.group_size == 1:
            q = np.einsum("pnd,pnd->pn", members, members)
            gap = self.nu * (1 - 1 / self.count) - q
            vectors += members[:, :, None] / self._remaining
            cross = np.einsum("pnmd,pnd->pnm", vectors, members)
            squared = np.einsum("pnmd,pnmd->pnm", vectors, vectors) + np.square(cross) / gap[:, :, None]
            return squared.transpose(1, 2, 0)
        inner = members @ members.transpose(0, 2, 1)
        gap = self.nu * (np.eye(self.group_size) - 1 / self.count) - inner
        vectors += (members.sum(axis=1) / self._remaining)[:, None, None]
        return _with_cross_term(vectors, members, gap)


def _with_cross_term(vectors: Doubles, members: Doubles, gap: Doubles) -> Doubles:
    """Return ``|u|^2 + (u W^T) gap^-1 (u W^T)^T``, float64 ``(k, m, p)``.

    Args:
        vectors: u, ``(p, k, m, d)``.
        members: W, ``(p, k, d)``.
        gap: ``(p, k, k)``.
    """
    positions, count, several, features = vectors.shape
    flat = vectors.reshape(positions, count * several, features)
    cross = flat @ members.transpose(0, 2, 1)
    solved = np.linalg.solve(gap, cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    squared = np.einsum("pnd,pnd->pn", flat, flat) + np.einsum("pnk,pnk->pn", cross, solved)
    return np.asarray(squared.reshape(positions, count, several).transpose(1, 2, 0))


class Span:
    """The subspace that the normal images span at each position, for few images (n - 1 < d).

    The Gaussians depend on nothing else.

    With X the ``(n, d)`` deviations from the mean and ``X X^T = U diag(g) U^T``, the scatter's eigenvalues
    are g and its eigenvectors the columns of ``X^T U / sqrt(g)``. This works on n x n matrices where
    :func:`whitening` works on d x d matrices.
    """

    def __init__(self, x: Floats, regularization: Regularization) -> None:
        """Decompose the deviations of the normal images at every position.

        Args:
            x: ``(n, p, d)``, the normal images in the fit.
            regularization: as for :func:`whitening`.
        """
        self.count = len(x)
        self._regularization = regularization
        self._deviations = np.array(x.transpose(1, 0, 2), dtype=np.float64, order="C")
        self.mean: Doubles = self._deviations.mean(axis=1)
        self._deviations -= self.mean[:, None]
        n, positions = self.count, len(self.mean)
        self.values: Doubles = np.empty((positions, n - 1))
        self.vectors: Doubles = np.empty((positions, n, n - 1))

        def decompose(block: slice) -> None:
            deviations = self._deviations[block]
            gram = deviations @ deviations.transpose(0, 2, 1)
            # The deviations sum to zero, so (1, ..., 1) is an eigenvector. Its eigenvalue is raised above all
            # others, so that it comes last and does not mix with other directions in which nothing varies.
            lift = 1 + 2 * np.einsum("pii->p", gram)
            values, vectors = np.linalg.eigh(gram + (lift / n)[:, None, None])
            self.values[block], self.vectors[block] = np.maximum(values[:, :-1], 0), vectors[:, :, :-1]

        each_block(positions, decompose)

    @property
    def deviations(self) -> Doubles:
        """Return the deviations of the normal images from their mean, float64 ``(n, p, d)``."""
        return self._deviations.transpose(1, 0, 2)

    def squared_distances(self) -> Doubles:
        """Return the squared distances, float64 ``(n, p)``, of the images to Gaussians that include them."""
        degrees = max(self.count - 1, 1) / self._regularization.weight
        weights = self.values / (self.values / degrees + self._regularization.floor)
        return np.asarray(np.einsum("pnj,pj->np", np.square(self.vectors), weights))

    def basis(self) -> tuple[Doubles, Doubles]:
        """Return an orthonormal basis, ``(p, d, n - 1)``, and ``1 / sqrt(eigenvalue of A)``, ``(p, n - 1)``.

        A direction in which the variance is negligible compared with the floor counts as outside
        the span, and its column is zero. The error is below a ten-millionth, and the eigenvector
        would be rounding noise.
        """
        rank = self.count - 1
        values, vectors = self.values, self.vectors
        variance = values * (self._regularization.weight / rank)
        floor = self._regularization.floor
        used = (variance > 1e-7 * floor) & (values > 1e-12 * values[:, -1:])
        basis = np.empty((*self.mean.shape, rank))

        def project(block: slice) -> None:
            inverse_root = np.where(used[block], 1 / np.sqrt(np.where(used[block], values[block], 1.0)), 0.0)
            np.matmul(
                self._deviations[block].transpose(0, 2, 1),
                vectors[block] * inverse_root[:, None],
                out=basis[block],
            )

        each_block(len(self.mean), project)
        return basis, 1 / np.sqrt(variance + floor)


class LeaveOutOfSpan(_Downdate):
    """The leave-out distances of :class:`LeaveOut`, computed from a :class:`Span` with n x n matrices."""

    def __init__(self, span: Span, regularization: Regularization, group_size: int) -> None:
        """Prepare the removal of groups of one size.

        Raises:
            CalibrationError: fewer than two images would remain.
        """
        super().__init__(span.count, group_size, regularization)
        self._span = span
        self._vectors = span.vectors
        # With B = S / nu + floor I, X B^-1 X^T has the eigenvectors of X X^T, and so has its difference from
        # nu (I - 11^T / n): in terms of the eigenvalues the difference is free of cancellation.
        self._floor = regularization.floor
        eigenvalues = span.values / self.nu + self._floor
        self._inner = span.values / eigenvalues
        self._gap = self.nu * self._floor / eigenvalues

    def squared_distances(self, members: Sequence[int]) -> Doubles:
        """Return the squared distances of a group's members to the Gaussians without the whole group.

        Args:
            members: rows of the span's ``x``; with k = 1 each row is a group of its own.

        Returns:
            float64 ``(len(members), p)``.
        """
        rows = self._vectors[:, list(members)]
        if self.group_size == 1:
            squares = np.square(rows)
            q, gap = (np.einsum("pnj,pj->np", squares, weights) for weights in (self._inner, self._gap))
            return self._alone(q, gap)
        if len(members) != self.group_size:
            raise ValueError(f"a group has {self.group_size} members, got {len(members)}")
        columns = rows.transpose(0, 2, 1)
        return self._together((rows * self._inner[:, None]) @ columns, (rows * self._gap[:, None]) @ columns)

    def squared_distances_of(self, members: Sequence[int], y: Floats) -> Doubles:
        """Compute :meth:`LeaveOut.squared_distances_of` for members given as rows of the span's ``x``.

        The computation uses the coordinates of the span, each in units of B. The component of a vector
        outside the span is independent of the normal images, and so of the group.
        """
        if self.group_size > 1 and len(members) != self.group_size:
            raise ValueError(f"a group has {self.group_size} members, got {len(members)}")
        span, (count, several, positions, features) = self._span, y.shape
        root = 1 / np.sqrt(span.values / self.nu + self._floor)
        basis = span.basis()[0]
        vectors = y.reshape(count * several, positions, features).transpose(1, 0, 2) - span.mean[:, None]
        inside = vectors @ basis
        outside = vectors - inside @ basis.transpose(0, 2, 1)
        beyond = np.einsum("pnd,pnd->pn", outside, outside) / self._floor
        rows = self._vectors[:, list(members)]
        whitened = rows * (np.sqrt(span.values) * root)[:, None]
        inside *= root[:, None]
        own = inside.reshape(positions, count, several, -1)
        if self.group_size == 1:
            gap = np.einsum("pnj,pj->pn", np.square(rows), self._gap)
            own += whitened[:, :, None] / self._remaining
            cross = np.einsum("pnmj,pnj->pnm", own, whitened)
            squared = np.einsum("pnmj,pnmj->pnm", own, own) + np.square(cross) / gap[:, :, None]
            result = squared.transpose(1, 2, 0)
        else:
            own += (whitened.sum(axis=1) / self._remaining)[:, None, None]
            gap = (rows * self._gap[:, None]) @ rows.transpose(0, 2, 1)
            result = _with_cross_term(own, whitened, gap)
        return np.asarray(result + beyond.reshape(positions, count, several).transpose(1, 2, 0))

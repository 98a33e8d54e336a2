"""The fitted Gaussians in the form used for scoring: one factor of the inverse covariance for each position.

There are two forms. *Triangular*: the inverse of the covariance's Cholesky factor, when there are enough
normal images to span the space. *Low rank*: with few normal images the covariance is a matrix of rank n - 1
plus a multiple of the identity, and it is enough to store an orthonormal basis of the subspace in which the
normal images vary (Woodbury's identity in the form without cancellation). For d = 550 and 200 normal images
that takes half the memory, and a quarter in 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from padim.network.nodes import FLOAT, Piece, constants, op, tensor

FactorKind = Literal["triangular", "low_rank"]

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

# A larger basis is stored in 16 bits, if that changes no distance by a thousandth; see
# padim/methods/padim.py.
NARROW_ABOVE_BYTES = 512 * 2**20

_LARGEST_16 = np.iinfo(np.int16).max

# The arrays of a factor in a bundle: file name, permitted dtypes and number of dimensions.
FILES: dict[str, tuple[tuple[type[np.number], ...], int]] = {
    "left.npy": ((np.float32,), 3),
    "right.npy": ((np.float32,), 3),
    "basis.npy": ((np.float32, np.int16), 3),
    "scale.npy": ((np.float32,), 2),
    "step.npy": ((np.float32,), 2),
}


def split(features: int) -> int:
    """Return the number of columns in the left part of a triangular factor.

    About half, rounded to a multiple of 16 so that the parts fill whole vector registers.
    """
    half = features // 2
    return half // 16 * 16 if half >= 16 else max(half, 1)


@dataclass(frozen=True)
class Triangular:
    """Triangular factors ``V = L^-T`` of covariances ``A = L L^T``.

    ``|delta V|^2`` is the squared Mahalanobis distance.

    Attributes:
        left: float32 ``(p, k, k)``, the first k columns of V without the rows that are zero.
        right: float32 ``(p, d, d - k)``, the other columns; k = :func:`split`.
    """

    left: Singles
    right: Singles

    kind: ClassVar[FactorKind] = "triangular"

    @classmethod
    def empty(cls, positions: int, features: int) -> Triangular:
        """Allocate uninitialized factors for a number of positions."""
        k = split(features)
        return cls(
            np.empty((positions, k, k), np.float32), np.empty((positions, features, features - k), np.float32)
        )

    @classmethod
    def of(cls, whitener: Floats) -> Triangular:
        """Build the factors from full upper triangular matrices ``(p, d, d)``."""
        result = cls.empty(*whitener.shape[:2])
        result.put(slice(None), whitener)
        return result

    def put(self, positions: slice, whitener: Floats) -> None:
        """Store the factors of some positions."""
        k = self.left.shape[1]
        self.left[positions] = whitener[:, :k, :k]
        self.right[positions] = whitener[:, :, k:]

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(p, d)``: the number of positions and of channels."""
        return self.right.shape[0], self.right.shape[1]

    def whitener(self, positions: npt.NDArray[np.int64] | slice = slice(None)) -> Singles:
        """Return the full matrices V of k positions, float32 ``(k, d, d)``."""
        left, right = self.left[positions], self.right[positions]
        k = left.shape[1]
        result = np.zeros((len(left), right.shape[1], right.shape[1]), np.float32)
        result[:, :k, :k] = left
        result[:, :, k:] = right
        return result

    def covariance(self, positions: npt.NDArray[np.int64]) -> Doubles:
        """Return the regularized covariance A at k positions: float64 ``(k, d, d)``, symmetric."""
        lower = np.linalg.inv(self.whitener(positions).astype(np.float64)).transpose(0, 2, 1)
        return lower @ lower.transpose(0, 2, 1)

    def squared_distances(self, delta: Doubles, positions: slice = slice(None)) -> Doubles:
        """Return the squared distances, float64 ``(n, p)``, of deviations from the mean, ``(n, p, d)``."""
        white = np.matmul(delta.transpose(1, 0, 2), self.whitener(positions).astype(np.float64))
        return np.einsum("pnd,pnd->np", white, white)

    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs of the graph by name; views, not copies."""
        inputs = {"left": self.left[:, None]}
        if self.right.shape[2]:
            inputs["right"] = self.right[:, None]
        return inputs

    def files(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays as stored in the bundle, by file name."""
        return {"left.npy": self.left, "right.npy": self.right}

    def piece(self) -> Piece:
        """Return the nodes from ``delta``, float32 ``(p, n, m, d)``, to ``squared``, ``(p, n, m)``.

        They compute ``|delta V|^2``. The columns are in two parts: the left one omits the rows that are zero,
        so that a quarter less is read from memory. Finer divisions gain nothing.
        """
        features, left = self.shape[1], self.left.shape[1]
        nodes = [
            op("Slice", ["delta", "zero", "left_rows", "three"], ["delta_left"]),
            op("MatMul", ["delta_left", "left"], ["white_left"]),
            op("ReduceSumSquare", ["white_left"], ["squared_left"], axes=[3], keepdims=0),
        ]
        inputs = [tensor("left", FLOAT, ["p", 1, left, left])]
        fixed = constants(zero=np.array([0]), left_rows=np.array([left]), three=np.array([3]))
        if left == features:
            nodes.append(op("Identity", ["squared_left"], ["squared"]))
            return Piece(nodes, fixed, inputs)
        nodes += [
            op("MatMul", ["delta", "right"], ["white_right"]),
            op("ReduceSumSquare", ["white_right"], ["squared_right"], axes=[3], keepdims=0),
            op("Add", ["squared_left", "squared_right"], ["squared"]),
        ]
        inputs.append(tensor("right", FLOAT, ["p", 1, features, features - left]))
        return Piece(nodes, fixed, inputs)


@dataclass(frozen=True)
class LowRank:
    """Low-rank factors: an orthonormal basis Q and the variance along each of its columns.

    The squared distance is ``d^2 = |delta - Q c|^2 / floor + |scale * c|^2`` with ``c = Q^T delta``.

    Attributes:
        basis: float32 ``(p, d, r)``, Q; columns beyond a position's rank are zero.
        scale: float32 ``(p, r)``, ``1 / sqrt(eigenvalue + floor)``.
        floor: the variance in all directions outside the span of the basis.
        step: float32 ``(p, r)``; every number of ``basis`` is a 16-bit integer times its column's step. None
            where the basis is stored in 32 bits.
    """

    basis: Singles
    scale: Singles
    floor: float
    step: Singles | None

    kind: ClassVar[FactorKind] = "low_rank"

    @classmethod
    def empty(cls, positions: int, features: int, rank: int, floor: float) -> LowRank:
        """Allocate uninitialized factors for a number of positions."""
        narrow = 4 * positions * features * rank > NARROW_ABOVE_BYTES
        basis = np.empty((positions, features, rank), np.float32)
        columns = (positions, rank)
        return cls(
            basis, np.empty(columns, np.float32), floor, np.empty(columns, np.float32) if narrow else None
        )

    def put(self, positions: slice, basis: Doubles, scale: Doubles) -> None:
        """Store the factors of some positions."""
        self.scale[positions] = scale
        if self.step is None:
            self.basis[positions] = basis
            return
        largest = np.abs(basis).max(axis=1) / _LARGEST_16
        # A column of zeros determines no step; any step represents it.
        self.step[positions] = np.where(largest > 0, largest, 1)
        step = self.step[positions, None]
        self.basis[positions] = np.rint(basis / step).astype(np.float32) * step

    @property
    def narrow(self) -> bool:
        """Whether the numbers of the basis fit in 16 bits."""
        return self.step is not None

    def integers(self) -> npt.NDArray[np.int16]:
        """Return the basis in units of ``step``, int16 ``(p, d, r)``; the factor must be ``narrow``."""
        assert self.step is not None
        result = np.empty(self.basis.shape, np.int16)
        for position, (basis, step) in enumerate(zip(self.basis, self.step, strict=True)):
            result[position] = np.rint(basis / step)
        return result

    @property
    def shape(self) -> tuple[int, int]:
        """Return ``(p, d)``: the number of positions and of channels."""
        return self.basis.shape[0], self.basis.shape[1]

    def covariance(self, positions: npt.NDArray[np.int64]) -> Doubles:
        """Return the regularized covariance A at k positions: float64 ``(k, d, d)``, symmetric."""
        q = self.basis[positions].astype(np.float64)
        variance = 1.0 / np.square(self.scale[positions].astype(np.float64)) - self.floor
        return (q * variance[:, None]) @ q.transpose(0, 2, 1) + self.floor * np.eye(q.shape[1])

    def squared_distances(self, delta: Doubles, positions: slice = slice(None)) -> Doubles:
        """Return the squared distances, float64 ``(n, p)``, of deviations from the mean, ``(n, p, d)``."""
        q, scale = self.basis[positions].astype(np.float64), self.scale[positions].astype(np.float64)
        rows = delta.transpose(1, 0, 2)
        inside = rows @ q
        outside = rows - inside @ q.transpose(0, 2, 1)
        inside *= scale[:, None]
        squared = np.einsum("pnd,pnd->np", outside, outside) / self.floor
        return np.asarray(squared + np.einsum("pnr,pnr->np", inside, inside))

    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """Return the inputs of the graph by name; views, not copies."""
        return {
            "basis": self.basis[:, None],
            "basis_scale": self.scale[:, None, None],
            "floor": np.array(self.floor, np.float32),
        }

    def files(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays as stored in the bundle, by file name."""
        if self.step is None:
            return {"basis.npy": self.basis, "scale.npy": self.scale}
        return {"basis.npy": self.integers(), "scale.npy": self.scale, "step.npy": self.step}

    def piece(self) -> Piece:
        """Return the nodes from ``delta``, float32 ``(p, n, m, d)``, to ``squared``, ``(p, n, m)``.

        They compute ``|delta - Q c|^2 / floor + |scale * c|^2`` with ``c = Q^T delta``. The part outside the
        span is computed as a vector before it is squared: the difference of two squares would suffer from
        cancellation, and the rounding of a 16-bit Q would become visible.
        """
        nodes = [
            op("MatMul", ["delta", "basis"], ["inside_span"]),
            op("Transpose", ["inside_span"], ["inside_column"], perm=[0, 1, 3, 2]),
            op("MatMul", ["basis", "inside_column"], ["projection"]),
            op("Transpose", ["projection"], ["projection_row"], perm=[0, 1, 3, 2]),
            op("Sub", ["delta", "projection_row"], ["outside"]),
            op("ReduceSumSquare", ["outside"], ["squared_outside"], axes=[3], keepdims=0),
            op("Div", ["squared_outside", "floor"], ["outside_term"]),
            op("Mul", ["inside_span", "basis_scale"], ["inside_scaled"]),
            op("ReduceSumSquare", ["inside_scaled"], ["inside_term"], axes=[3], keepdims=0),
            op("Add", ["outside_term", "inside_term"], ["squared"]),
        ]
        inputs = [
            tensor("basis", FLOAT, ["p", 1, self.shape[1], "r"]),
            tensor("basis_scale", FLOAT, ["p", 1, 1, "r"]),
            tensor("floor", FLOAT, []),
        ]
        return Piece(nodes, [], inputs)


Factor = Triangular | LowRank


def is_low_rank(count: int, features: int) -> bool:
    """Whether n normal images in d dimensions are so few that a basis is smaller than a triangular factor."""
    return 0 < 2 * (count - 1) < features


def from_files(files: Mapping[str, npt.NDArray[Any]], floor: float, shape: tuple[int, int]) -> Factor:
    """Build the factor from the arrays of a bundle.

    Args:
        files: the arrays by file name, see :data:`FILES`.
        floor: the value added to the diagonal of the covariances.
        shape: ``(p, d)``.

    Raises:
        ValueError: the arrays are not a factor of that shape.
    """
    p, d = shape
    wanted = ({"basis.npy", "scale.npy"}, {"left.npy", "right.npy"})
    if not any(names <= set(files) for names in wanted):
        raise ValueError("the arrays of the covariances are missing")
    if "basis.npy" in files:
        basis, scale = files["basis.npy"], files["scale.npy"]
        rank = scale.shape[1]
        if basis.shape != (p, d, rank) or scale.shape != (p, rank) or not (scale > 0).all():
            raise ValueError("the arrays do not fit the configuration")
        step = files.get("step.npy")
        if (step is None) != (basis.dtype == np.float32) or (step is not None and step.shape != scale.shape):
            raise ValueError("the arrays do not fit the configuration")
        if step is not None:
            basis = basis.astype(np.float32)
            basis *= step[:, None]
        return LowRank(basis, scale, floor, step)
    left, right = files["left.npy"], files["right.npy"]
    k = split(d)
    if left.shape != (p, k, k) or right.shape != (p, d, d - k):
        raise ValueError("the arrays do not fit the configuration")
    return Triangular(left, right)

"""The fitted Gaussians in the form that scoring reads: one factor a position.

Two forms. *Triangular*: the inverse of the covariance's Cholesky factor, when there are normals enough to
fill the space. *Low rank*: with few normals the covariance is of rank n - 1 plus a multiple of the identity;
an orthonormal basis of what the normals vary in is then all there is to keep (Woodbury's identity in the form
that does not cancel). For d = 550 and 200 normals that is half the memory, a quarter in 16 bits.
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

# A basis larger than this is kept in 16 bits, if that moves no distance by a thousandth; see
# padim/methods/padim.py.
NARROW_ABOVE_BYTES = 512 * 2**20

_LARGEST_16 = np.iinfo(np.int16).max

# What a bundle may hold of them: name, type of number and dimensions.
FILES: dict[str, tuple[tuple[type[np.number], ...], int]] = {
    "left.npy": ((np.float32,), 3),
    "right.npy": ((np.float32,), 3),
    "basis.npy": ((np.float32, np.int16), 3),
    "scale.npy": ((np.float32,), 2),
    "step.npy": ((np.float32,), 2),
}


def split(features: int) -> int:
    """Columns in the left part of a triangular factor: about half, in whole vector registers."""
    half = features // 2
    return half // 16 * 16 if half >= 16 else max(half, 1)


@dataclass(frozen=True)
class Triangular:
    """``V = L^-T`` with ``A = L L^T``: ``|delta V|^2`` is the squared Mahalanobis distance.

    Attributes:
        left: float32 ``(p, k, k)``, the first k columns of V without the rows that are zero.
        right: float32 ``(p, d, d - k)``, the other columns; k = :func:`split`.
    """

    left: Singles
    right: Singles

    kind: ClassVar[FactorKind] = "triangular"

    @classmethod
    def empty(cls, positions: int, features: int) -> Triangular:
        """Room for the factors of that many positions."""
        k = split(features)
        return cls(
            np.empty((positions, k, k), np.float32), np.empty((positions, features, features - k), np.float32)
        )

    @classmethod
    def of(cls, whitener: Floats) -> Triangular:
        """From whole upper triangular matrices ``(p, d, d)``."""
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
        """``(p, d)``."""
        return self.right.shape[0], self.right.shape[1]

    def whitener(self, positions: npt.NDArray[np.int64] | slice = slice(None)) -> Singles:
        """Whole matrices, ``(k, d, d)``."""
        left, right = self.left[positions], self.right[positions]
        k = left.shape[1]
        result = np.zeros((len(left), right.shape[1], right.shape[1]), np.float32)
        result[:, :k, :k] = left
        result[:, :, k:] = right
        return result

    def covariance(self, positions: npt.NDArray[np.int64]) -> Doubles:
        """The regularised covariance A at some positions: float64 ``(k, d, d)``, symmetric."""
        lower = np.linalg.inv(self.whitener(positions).astype(np.float64)).transpose(0, 2, 1)
        return lower @ lower.transpose(0, 2, 1)

    def squared_distances(self, delta: Doubles, positions: slice = slice(None)) -> Doubles:
        """Of deviations ``(n, p, d)`` from the mean: float64 ``(n, p)``."""
        white = np.matmul(delta.transpose(1, 0, 2), self.whitener(positions).astype(np.float64))
        return np.einsum("pnd,pnd->np", white, white)

    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """The graph's inputs; views, not copies."""
        inputs = {"left": self.left[:, None]}
        if self.right.shape[2]:
            inputs["right"] = self.right[:, None]
        return inputs

    def files(self) -> dict[str, npt.NDArray[Any]]:
        """As stored in the bundle."""
        return {"left.npy": self.left, "right.npy": self.right}

    def piece(self) -> Piece:
        """``delta``, float32 ``(p, n, m, d)``, to ``squared``, ``(p, n, m)``: ``|delta V|^2``.

        In two parts of columns: the left one without the rows that are zero, a quarter less to stream. Finer
        cuts gain nothing.
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
    """``d^2 = |delta - Q c|^2 / floor + |scale * c|^2``, ``c = Q^T delta``, Q orthonormal.

    Attributes:
        basis: float32 ``(p, d, r)``, Q; columns beyond a position's rank are zero.
        scale: float32 ``(p, r)``, ``1 / sqrt(eigenvalue + floor)``.
        floor: what the covariance is outside the span.
        step: float32 ``(p, r)``; every number of ``basis`` is a 16-bit integer times its column's step. None
            where the basis is kept in 32 bits.
    """

    basis: Singles
    scale: Singles
    floor: float
    step: Singles | None

    kind: ClassVar[FactorKind] = "low_rank"

    @classmethod
    def empty(cls, positions: int, features: int, rank: int, floor: float) -> LowRank:
        """Room for the factors of that many positions."""
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
        # An empty column has no step of its own; any will do.
        self.step[positions] = np.where(largest > 0, largest, 1)
        step = self.step[positions, None]
        self.basis[positions] = np.rint(basis / step).astype(np.float32) * step

    @property
    def narrow(self) -> bool:
        """Whether 16 bits hold every number of the basis."""
        return self.step is not None

    def integers(self) -> npt.NDArray[np.int16]:
        """The basis in units of ``step``, ``(p, d, r)``; only of a narrow one."""
        assert self.step is not None
        result = np.empty(self.basis.shape, np.int16)
        for position, (basis, step) in enumerate(zip(self.basis, self.step, strict=True)):
            result[position] = np.rint(basis / step)
        return result

    @property
    def shape(self) -> tuple[int, int]:
        """``(p, d)``."""
        return self.basis.shape[0], self.basis.shape[1]

    def covariance(self, positions: npt.NDArray[np.int64]) -> Doubles:
        """The regularised covariance A at some positions: float64 ``(k, d, d)``, symmetric."""
        q = self.basis[positions].astype(np.float64)
        variance = 1.0 / np.square(self.scale[positions].astype(np.float64)) - self.floor
        return (q * variance[:, None]) @ q.transpose(0, 2, 1) + self.floor * np.eye(q.shape[1])

    def squared_distances(self, delta: Doubles, positions: slice = slice(None)) -> Doubles:
        """Of deviations ``(n, p, d)`` from the mean: float64 ``(n, p)``."""
        q, scale = self.basis[positions].astype(np.float64), self.scale[positions].astype(np.float64)
        rows = delta.transpose(1, 0, 2)
        inside = rows @ q
        outside = rows - inside @ q.transpose(0, 2, 1)
        inside *= scale[:, None]
        squared = np.einsum("pnd,pnd->np", outside, outside) / self.floor
        return np.asarray(squared + np.einsum("pnr,pnr->np", inside, inside))

    def inputs(self) -> dict[str, npt.NDArray[Any]]:
        """The graph's inputs; views, not copies."""
        return {
            "basis": self.basis[:, None],
            "basis_scale": self.scale[:, None, None],
            "floor": np.array(self.floor, np.float32),
        }

    def files(self) -> dict[str, npt.NDArray[Any]]:
        """As stored in the bundle."""
        if self.step is None:
            return {"basis.npy": self.basis, "scale.npy": self.scale}
        return {"basis.npy": self.integers(), "scale.npy": self.scale, "step.npy": self.step}

    def piece(self) -> Piece:
        """``delta``, float32 ``(p, n, m, d)``, to ``squared``, ``(p, n, m)``:
        ``|delta - Q c|^2 / floor + |scale * c|^2`` with ``c = Q^T delta``.

        The part outside the span is formed as a vector before it is squared: as a difference of two squares
        it would cancel, and a 16-bit Q would show.
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
    """Whether n normals leave so much of d dimensions empty that a basis is smaller than a triangle."""
    return 0 < 2 * (count - 1) < features


def from_files(files: Mapping[str, npt.NDArray[Any]], floor: float, shape: tuple[int, int]) -> Factor:
    """The factor out of a bundle's arrays.

    Raises:
        ValueError: they are not a factor of that shape ``(p, d)``.
    """
    p, d = shape
    wanted = ({"basis.npy", "scale.npy"}, {"left.npy", "right.npy"})
    if not any(names <= set(files) for names in wanted):
        raise ValueError("the covariances are missing")
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

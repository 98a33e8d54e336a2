"""The ``shared`` method: one Gaussian for all positions.

An image is treated as P patches of one population. The statistics of all T = N P patches are d x d for any
grid size, and so is the model. Held-out distances are exact: the contribution of a part's images to the
statistics is removed, all their patches at once, by the inverse of the update of Chan, Golub and LeVeque,

    S_-i = S - S_i - T P / (T - P) (xbar_i - m)(xbar_i - m)^T,    m_-i = (T m - P xbar_i) / (T - P),

with the covariance ``w S_-i / (T - P - 1) + floor I``: one d x d factor for each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from padim.config import PadimConfig
from padim.methods.base import FitResult, Task, in_windows
from padim.methods.gaussian import Regularization
from padim.methods.padim import regularization
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, Piece, constants, op, tensor
from padim.network.threads import in_threads

Doubles = npt.NDArray[np.float64]

# Images read at once.
WINDOW = 8


@dataclass(frozen=True)
class Moments:
    """The statistics of a set of patches: count, mean ``(d,)`` and scatter ``(d, d)``, float64."""

    count: int
    mean: Doubles
    scatter: Doubles

    @classmethod
    def of(cls, patches: npt.NDArray[np.floating]) -> Moments:
        """Compute the statistics of patches ``(k, d)``."""
        x = patches.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        return cls(len(x), mean, x.T @ x)

    def merged(self, other: Moments) -> Moments:
        """Return the statistics of these patches together with other, disjoint ones."""
        total = self.count + other.count
        delta = other.mean - self.mean
        between = (self.count * other.count / total) * np.outer(delta, delta)
        return Moments(
            total, self.mean + delta * (other.count / total), self.scatter + other.scatter + between
        )

    def without(self, other: Moments) -> Moments:
        """Return the statistics after removal of patches that are included in them."""
        left = self.count - other.count
        delta = other.mean - self.mean
        between = (self.count * other.count / left) * np.outer(delta, delta)
        return Moments(left, self.mean - delta * (other.count / left), self.scatter - other.scatter - between)

    def whitener(self, regularization: Regularization) -> Doubles:
        """Return ``V = L^-T`` of the regularized covariance; ``|delta V|^2`` is the squared distance."""
        covariance = self.scatter * (regularization.weight / max(self.count - 1, 1))
        covariance[np.diag_indices(len(covariance))] += regularization.floor
        lower = np.linalg.cholesky(covariance)
        return np.asarray(solve_triangular(lower, np.eye(len(lower)), lower=True).T)


@dataclass(frozen=True)
class SharedGaussian(EmbeddingDetector):
    """A detector of Mahalanobis distances to one Gaussian for all positions.

    Attributes:
        mean: float32 ``(d,)``.
        whitener: float32 ``(d, d)``, upper triangular.
        positions: p.
    """

    mean: npt.NDArray[np.float32]
    whitener: npt.NDArray[np.float32]
    positions: int

    method: ClassVar[str] = "shared"

    @property
    def form(self) -> str:
        return "shared"

    @property
    def shape(self) -> tuple[int, int]:
        return self.positions, len(self.mean)

    def piece(self, features: int) -> Piece:
        nodes = [
            op("Reshape", ["embedding", "as_columns"], ["columns_of"]),
            op("Sub", ["columns_of", "mean"], ["delta"]),
            op("MatMul", ["whitener", "delta"], ["white"]),
            op("ReduceSumSquare", ["white"], ["squared"], axes=[1], keepdims=0),
            op("Sqrt", ["squared"], ["unchecked"]),
        ]
        inputs = [tensor("mean", FLOAT, [features, 1]), tensor("whitener", FLOAT, [features, features])]
        return Piece(nodes, constants(as_columns=np.array([0, features, -1])), inputs)

    def inputs(self) -> dict[str, Array]:
        # In the graph the positions are the last axis, as in the network's output, so the
        # factor is on the left.
        return {"mean": self.mean[:, None], "whitener": np.ascontiguousarray(self.whitener.T)}

    def files(self) -> dict[str, Array]:
        return {"mean.npy": self.mean, "whitener.npy": self.whitener}

    @classmethod
    def load(cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]) -> SharedGaussian:
        mean, whitener = saved.array("mean.npy", np.float32, 1), saved.array("whitener.npy", np.float32, 2)
        positions, features = shape
        if mean.shape != (features,) or whitener.shape != (features, features):
            raise ValueError(MISFIT)
        return cls(mean, whitener, positions)

    def distances(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        return _distances(x, self.mean.astype(np.float64), self.whitener.astype(np.float64))


def _distances(x: npt.NDArray[np.floating], mean: Doubles, whitener: Doubles) -> Doubles:
    white = (x.astype(np.float64) - mean) @ whitener
    return np.asarray(np.sqrt(np.einsum("npd,npd->np", white, white)))


def fit_detector(task: Task) -> FitResult:
    """Fit in two passes over the features on disk: one for the statistics, one for held-out distances."""
    reg, total = regularization(task.config), len(task.normals)
    everything: Moments | None = None
    parts = list(task.parts.values())
    stage = "Learning what is normal"
    task.watch.step(0, total, stage)
    for done, moments in enumerate(in_threads(lambda rows: _moments(task, rows), parts), start=1):
        everything = moments if everything is None else everything.merged(moments)
        task.watch.step(done * total // (2 * len(parts)), total, stage)
    assert everything is not None  # the task was checked to have images in the fit
    whitener = everything.whitener(reg)
    detector = SharedGaussian(everything.mean.astype(np.float32), whitener.astype(np.float32), task.positions)
    held_out = np.zeros((total, task.positions), np.float32)
    for rows, x in _read(task, task.out_rows):
        held_out[rows] = _distances(x, everything.mean, whitener)
    if task.calibrated:
        all_parts = everything

        def left_out(rows: list[int]) -> list[int]:
            others = all_parts.without(_moments(task, rows))
            without = others.whitener(reg)
            for some, x in _read(task, rows):
                held_out[some] = _distances(x, others.mean, without)
            return rows

        for number, _ in enumerate(in_threads(left_out, parts), start=1):
            task.watch.step(total // 2 + number * (total - total // 2) // len(parts), total, stage)
    return FitResult(detector, held_out)


def _read(task: Task, rows: list[int]) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
    for some in in_windows(rows, WINDOW):
        yield some, task.read(some)


def _moments(task: Task, rows: list[int]) -> Moments:
    """Return the statistics of all patches of some images."""
    result: Moments | None = None
    for _, x in _read(task, rows):
        own = Moments.of(x.reshape(-1, task.features))
        result = own if result is None else result.merged(own)
    assert result is not None
    return result


DETECTOR = SharedGaussian

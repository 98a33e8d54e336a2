"""The ``patchcore`` method: the distance to the nearest patch of a memory bank (Roth et al., 2022).

The memory bank is a coreset of the locally aware patch features of the normal images, which are averages
over 3 x 3 positions (arXiv 2106.08265). The paper multiplies the largest distance of an image by a
weight (equation 7), which is lower where the memory bank is sparse around the nearest patch. The weight
applies to the score of the image only; here score and mask are both read from one map, and a weight on
the whole map gained nothing on four real data sets. So there is no weight. Models saved by earlier
versions have it, and keep it.

The held-out distances of a normal image are those to the memory bank without the patches of its part,
completed by the patches that these had made superfluous (:func:`padim.methods.coreset.refills`). That is
close to selecting a memory bank without the part, and costs little, but it is not an exact leave-one-out.
``benchmarks/accuracy.py --method patchcore`` compares the promised with the observed false-reject rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx
from scipy.special import softmax

from padim.config import PadimConfig
from padim.methods import local_nearest
from padim.methods.base import FitResult, Task, in_windows
from padim.methods.coreset import k_center, projection, refills
from padim.methods.local_nearest import LocalNearest
from padim.network.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.network.nodes import FLOAT, INT64, Piece, constants, op, tensor

Singles = npt.NDArray[np.float32]

# The number of patches around the nearest one, itself included, that the weight depends on (the paper's b).
NEIGHBORS = 9
# The smallest memory bank, however small a share is configured. With fewer patches the ranking and the
# held-out scores of few parts suffer; this many cost as much in scoring as one percent of two hundred images.
FEWEST = 2048
_WINDOW = 16


@dataclass(frozen=True)
class PatchCore(EmbeddingDetector):
    """A detector of distances to the nearest patch of a memory bank.

    Attributes:
        bank: float32 ``(m, d)``, the memory bank, minus ``center``.
        center: float32 ``(d,)``, subtracted from all patches: squares of small numbers lose fewer digits.
        grid: rows and columns of the grid of positions.
        around: int64 ``(m, b)``, the b patches of the bank nearest to each one, itself first, in a model
            saved by an earlier version with weighted maps; else None.
    """

    bank: Singles
    center: Singles
    grid: tuple[int, int]
    around: npt.NDArray[np.int64] | None = None

    method: ClassVar[str] = "patchcore"

    @classmethod
    def of(cls, patches: Singles, grid: tuple[int, int]) -> PatchCore:
        """Build a detector whose memory bank consists of the given patches, ``(m, d)``."""
        center = patches.mean(axis=0)
        bank = np.ascontiguousarray(patches - center)
        return cls(bank, center, grid)

    @property
    def form(self) -> str:
        return "patchcore-unweighted" if self._weighting is None else "patchcore"

    @property
    def _weighting(self) -> npt.NDArray[np.int64] | None:
        """Return :attr:`around`; None for a memory bank of a single patch, which determines no weight."""
        return None if self.around is None or self.around.shape[1] == 1 else self.around

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid[0] * self.grid[1], self.bank.shape[1]

    @property
    def half_squares(self) -> Singles:
        """Return half the squared length of every patch in the memory bank, float32 ``(m,)``."""
        return _half_squares(self.bank)

    def piece(self, features: int) -> Piece:
        """Return the nodes that compute the distances to the memory bank.

        They use ``|x - b|^2 / 2 = |x|^2 / 2 + (|b|^2 / 2 - b x)``, with one matrix product for each image, so
        that its distances do not depend on the batch.
        """
        nodes = [
            op(
                "AveragePool",
                ["embedding"],
                ["pooled"],
                kernel_shape=[3, 3],
                pads=[1, 1, 1, 1],
                count_include_pad=0,
            ),
            op("Reshape", ["pooled", "as_columns"], ["columns_of"]),
            op("Sub", ["columns_of", "centre"], ["x"]),
            op("MatMul", ["bank", "x"], ["product"]),
            op("Sub", ["bank_half", "product"], ["beside_x"]),
            op("ReduceMin", ["beside_x"], ["least"], axes=[1], keepdims=0),
            op("ReduceSumSquare", ["x"], ["x_squared"], axes=[1], keepdims=0),
            *_distance("least", "x_squared", "plain"),
        ]
        fixed = constants(as_columns=np.array([0, features, -1]), two=np.float32(2), nought=np.float32(0))
        inputs = [
            tensor("bank", FLOAT, ["m", features]),
            tensor("bank_half", FLOAT, ["m", 1]),
            tensor("centre", FLOAT, [features, 1]),
        ]
        if self._weighting is None:
            return Piece([*nodes, op("Identity", ["plain"], ["unchecked"])], fixed, inputs)
        nodes += [
            # The patch farthest from the memory bank, and the patch of the bank nearest to it.
            op("ArgMax", ["plain"], ["farthest_at"], axis=1, keepdims=1),
            op("Transpose", ["x"], ["x_rows"], perm=[0, 2, 1]),
            op("GatherND", ["x_rows", "farthest_at"], ["star"], batch_dims=1),
            op("MatMul", ["star", "bank_columns"], ["star_product"]),
            op("Sub", ["bank_half_row", "star_product"], ["star_beside"]),
            op("ArgMin", ["star_beside"], ["star_nearest"], axis=1, keepdims=0),
            op("Gather", ["around", "star_nearest"], ["star_around"], axis=0),
            op("GatherElements", ["star_beside", "star_around"], ["near_beside"], axis=1),
            op("ReduceSumSquare", ["star"], ["star_squared"], axes=[1], keepdims=1),
            *_distance("near_beside", "star_squared", "near"),
            op("Softmax", ["near"], ["shares"], axis=1),
            op("Slice", ["shares", "first", "second", "second"], ["own_share"]),
            op("Sub", ["one", "own_share"], ["weight"]),
            op("Mul", ["plain", "weight"], ["unchecked"]),
        ]
        fixed += constants(first=np.array([0]), second=np.array([1]), one=np.float32(1))
        inputs += [
            tensor("bank_columns", FLOAT, [features, "m"]),
            tensor("bank_half_row", FLOAT, [1, "m"]),
            tensor("around", INT64, ["m", "b"]),
        ]
        return Piece(nodes, fixed, inputs)

    def inputs(self) -> dict[str, Array]:
        half = self.half_squares
        inputs: dict[str, Array] = {
            "bank": self.bank,
            "bank_half": half[:, None],
            "centre": self.center[:, None],
        }
        if self._weighting is not None:
            inputs |= {
                "bank_columns": np.ascontiguousarray(self.bank.T),
                "bank_half_row": half[None],
                "around": self._weighting,
            }
        return inputs

    def files(self) -> dict[str, Array]:
        files: dict[str, Array] = {"bank.npy": self.bank, "centre.npy": self.center}
        return files if self.around is None else {**files, "around.npy": self.around}

    @classmethod
    def load(  # type: ignore[override]
        cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]
    ) -> PatchCore | LocalNearest:
        if config.neighborhood:
            return LocalNearest.load(saved, config, shape)
        bank = saved.array("bank.npy", np.float32, 2)
        center = saved.array("centre.npy", np.float32, 1)
        around = saved.arrays({"around.npy": ((np.int64,), 2)}).get("around.npy")
        features = shape[1]
        count = len(bank)
        if count == 0 or bank.shape[1] != features or center.shape != (features,):
            raise ValueError(MISFIT)
        if around is not None and (
            around.shape != (count, min(NEIGHBORS, count)) or around.min() < 0 or around.max() >= count
        ):
            raise ValueError(MISFIT)
        return cls(bank, center, config.grid_shape, around)

    def distances(self, x: Singles) -> Singles:
        half = self.half_squares
        return np.stack([self._of_image(one, self.bank, half) for one in pooled(x, self.grid)])

    def distances_without(
        self, patches: Singles, left_out: npt.NDArray[np.bool_], refill: Singles
    ) -> Singles:
        """Return the distances of one image to a memory bank with some patches removed and others added.

        Args:
            patches: float32 ``(p, d)``, the locally aware patches of the image.
            left_out: bool ``(m,)``, the patches of the bank to remove.
            refill: float32 ``(k, d)``, the patches to add.
        """
        bank = np.concatenate([self.bank[~left_out], refill - self.center])
        return self._of_image(patches, bank, _half_squares(bank))

    def _of_image(self, patches: Singles, bank: Singles, half: Singles) -> Singles:
        """Return the distances of an image's pooled patches ``(p, d)`` to a centered memory bank."""
        x = patches - self.center
        squared = np.einsum("pd,pd->p", x, x)
        beside = half - x @ bank.T
        plain = np.sqrt(np.maximum(2 * beside.min(axis=1) + squared, 0))
        if self._weighting is None:
            return np.asarray(plain, np.float32)
        star = int(plain.argmax())
        nearest = int(beside[star].argmin())
        near = np.sqrt(np.maximum(2 * beside[star, self._weighting[nearest]] + squared[star], 0))
        return np.asarray(plain * (1 - softmax(near.astype(np.float64))[0]), np.float32)

    def scoring_bytes(self) -> int:
        # The matrix product and the distances computed from it.
        return 2 * 4 * len(self.bank) * self.shape[0]


def _distance(beside: str, squared: str, name: str) -> list[onnx.NodeProto]:
    """Return nodes for ``sqrt(max(0, 2 beside + squared))``; rounding may make a zero square negative."""
    return [
        op("Mul", [beside, "two"], [f"{name}_twice"]),
        op("Add", [f"{name}_twice", squared], [f"{name}_sum"]),
        op("Max", [f"{name}_sum", "nought"], [f"{name}_squared"]),
        op("Sqrt", [f"{name}_squared"], [name]),
    ]


def _half_squares(bank: Singles) -> Singles:
    return np.asarray(0.5 * np.einsum("md,md->m", bank, bank), np.float32)


def pooled(x: Singles, grid_shape: tuple[int, int]) -> Singles:
    """Return locally aware features ``(n, p, d)``: means over the 3 x 3 positions inside the grid.

    Args:
        x: embeddings, float32 ``(n, p, d)``.
        grid_shape: rows and columns of the grid.
    """
    count, positions, features = x.shape
    grid = x.reshape(count, *grid_shape, features)
    for axis in (1, 2):
        total = grid.copy()
        ahead = [slice(None)] * 4
        behind = [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(ahead)] += grid[tuple(behind)]
        total[tuple(behind)] += grid[tuple(ahead)]
        side = grid.shape[axis]
        divisor = np.full(side, 3.0, np.float32)
        divisor[0] -= 1
        divisor[-1] -= 1
        shape = [1, 1, 1, 1]
        shape[axis] = side
        grid = total / divisor.reshape(shape)
    return grid.reshape(count, positions, features)


def fit_detector(task: Task) -> FitResult:
    """Select the memory bank from all patches of the images in the fit, and compute held-out distances."""
    if task.config.neighborhood:
        return local_nearest.fit_detector(task)
    rows, total = task.fit_rows, len(task.normals)
    points = _narrow_patches(task)
    count = memory_size(len(points), task.config.coreset_percent)
    chosen = k_center(
        points,
        count,
        task.config.seed,
        lambda picked: task.watch.step(picked * total // count, total, f"Choosing {count:,} patches"),
    )
    # The part number of every image in the fit.
    part_of = {row: part for part, members in enumerate(task.parts.values()) for row in members}
    part = np.array([part_of[row] for row in rows])
    refilled: list[npt.NDArray[np.int64]] = []
    if task.calibrated:
        refilled = refills(
            points,
            chosen,
            np.repeat(part, task.positions),
            lambda done, parts: task.watch.step(done * total // parts, total, "Preparing held-out scores"),
        )
    del points
    patches = _Patches(task, np.concatenate([chosen, *refilled]))
    detector = PatchCore.of(patches(chosen), task.grid_shape)

    owner = part[chosen // task.positions]
    held_out = np.zeros((total, task.positions), np.float32)
    measured = (*task.out_rows, *(rows if task.calibrated else ()))
    for done, row in enumerate(measured, start=1):
        own = task.read([row])
        if row in part_of:
            others = owner == part_of[row], patches(refilled[part_of[row]])
            held_out[row] = detector.distances_without(pooled(own, task.grid_shape)[0], *others)
        else:
            held_out[row] = detector.distances(own)[0]
        task.watch.step(done, total, "Holding the good parts against it")
    return FitResult(detector, held_out)


class _Patches:
    """A cache of selected patches of the images in the fit; reads each image once."""

    def __init__(self, task: Task, wanted: npt.NDArray[np.int64]) -> None:
        self._rows = np.unique(wanted)
        self._patches = np.empty((len(self._rows), task.features), np.float32)
        image, place = np.divmod(self._rows, task.positions)
        for number in np.unique(image):
            own = image == number
            self._patches[own] = pooled(task.read([task.fit_rows[number]]), task.grid_shape)[0, place[own]]

    def __call__(self, wanted: npt.NDArray[np.int64]) -> Singles:
        """Return patches by their indices in :func:`_narrow_patches`: float32 ``(k, d)``."""
        return self._patches[np.searchsorted(self._rows, wanted)]


def memory_size(patches: int, percent: float) -> int:
    """Return the size of the memory bank.

    Args:
        patches: the number of patches to select from.
        percent: the share of them to keep.
    """
    return min(patches, max(FEWEST, round(patches * percent / 100)))


def _narrow_patches(task: Task) -> Singles:
    """Return the projected patches to select the memory bank from: float32 ``(n p, at most 64)``.

    Their order is image by image in the fit, and position by position in an image.
    """
    rows, positions, total = task.fit_rows, task.positions, len(task.normals)
    project = projection(task.features, task.config.seed)
    narrow = task.features if project is None else project.shape[1]
    points = np.empty((len(rows) * positions, narrow), np.float32)
    done = 0
    for some in in_windows(rows, _WINDOW):
        patches = pooled(task.read(some), task.grid_shape).reshape(-1, task.features)
        points[done * positions : (done + len(some)) * positions] = (
            patches if project is None else patches @ project
        )
        done += len(some)
        task.watch.step(done, total, "Reading patches")
    # The selection depends on distances only; a common offset would only cost digits.
    points -= points.mean(axis=0)
    return points


DETECTOR = PatchCore

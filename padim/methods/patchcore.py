"""``patchcore``: the distance to the nearest patch of a memory (Roth et al., 2022, arXiv 2106.08265).

The memory is a coreset of the normals' locally aware patch features, their averages over 3 x 3 positions. The
paper multiplies the largest distance of a picture by a weight (equation 7): less where the memory is sparse,
too, around the patch it is nearest to. Here the whole map is multiplied, so that score and mask agree.

A normal's held-out distances are those to the memory without the patches of its part. That is no exact
leave-one-out: the patches of the others that its own ones made superfluous are not in the memory, and the
gap left is larger than a memory made without the part would leave. So the scores are too high rather than too
low, and fewer good parts are rejected than promised; ``benchmarks/accuracy.py --method patchcore`` says by
how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnx
from scipy.special import softmax

from padim.config import PadimConfig
from padim.coreset import k_centre, projection
from padim.detector import MISFIT, Array, EmbeddingDetector, Saved
from padim.methods import local_nearest
from padim.methods.local_nearest import LocalNearest
from padim.piece import FLOAT, INT64, Piece, constants, op, tensor
from padim.task import Learnt, Task, in_windows

Singles = npt.NDArray[np.float32]

# Patches of the memory around the nearest one that the weight looks at, itself among them (the paper's b).
NEIGHBOURS = 9
# However small a share is asked for.
_FEWEST = 64
_WINDOW = 16


@dataclass(frozen=True)
class PatchCore(EmbeddingDetector):
    """Distances to a memory.

    Attributes:
        bank: float32 ``(m, d)``, the memory, less ``centre``.
        centre: float32 ``(d,)``, taken off all patches: what is small loses nothing when it is squared.
        around: int64 ``(m, b)``, the b patches of the memory nearest to each, itself first.
        positions: p.
    """

    bank: Singles
    centre: Singles
    around: npt.NDArray[np.int64]
    positions: int

    method: ClassVar[str] = "patchcore"

    @classmethod
    def of(cls, patches: Singles, positions: int) -> PatchCore:
        """With a memory of these patches, ``(m, d)``."""
        centre = patches.mean(axis=0)
        bank = np.ascontiguousarray(patches - centre)
        return cls(bank, centre, _neighbours(bank), positions)

    @property
    def form(self) -> str:
        return "patchcore" if self.around.shape[1] > 1 else "patchcore-unweighted"

    @property
    def shape(self) -> tuple[int, int]:
        return self.positions, self.bank.shape[1]

    @property
    def half_squares(self) -> Singles:
        """float32 ``(m,)``: half the squared length of every patch of the memory."""
        return 0.5 * np.einsum("md,md->m", self.bank, self.bank)

    def piece(self, features: int) -> Piece:
        """``|x - b|^2 / 2 = |x|^2 / 2 + (|b|^2 / 2 - b x)``: one product a picture, so that its distances do
        not depend on the batch."""
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
        if self.around.shape[1] == 1:
            return Piece([*nodes, op("Identity", ["plain"], ["unchecked"])], fixed, inputs)
        nodes += [
            # The patch that is farthest from the memory, and what it is nearest to there.
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
            "centre": self.centre[:, None],
        }
        if self.around.shape[1] > 1:
            inputs |= {
                "bank_columns": np.ascontiguousarray(self.bank.T),
                "bank_half_row": half[None],
                "around": self.around,
            }
        return inputs

    def files(self) -> dict[str, Array]:
        return {"bank.npy": self.bank, "centre.npy": self.centre, "around.npy": self.around}

    @classmethod
    def load(  # type: ignore[override]
        cls, saved: Saved, config: PadimConfig, shape: tuple[int, int]
    ) -> PatchCore | LocalNearest:
        if config.neighborhood:
            return LocalNearest.load(saved, config, shape)
        bank = saved.array("bank.npy", np.float32, 2)
        centre, around = saved.array("centre.npy", np.float32, 1), saved.array("around.npy", np.int64, 2)
        positions, features = shape
        count = len(bank)
        if (
            count == 0
            or bank.shape[1] != features
            or centre.shape != (features,)
            or around.shape != (count, min(NEIGHBOURS, count))
            or around.min() < 0
            or around.max() >= count
        ):
            raise ValueError(MISFIT)
        return cls(bank, centre, around, positions)

    def distances(self, x: Singles) -> Singles:
        return np.stack([self._picture(one, self.half_squares) for one in pooled(x)])

    def _picture(self, patches: Singles, half: Singles, own: npt.NDArray[np.bool_] | None = None) -> Singles:
        """Distances of one picture's pooled patches ``(p, d)``.

        Args:
            half: float32 ``(m,)``, :attr:`half_squares`.
            own: bool ``(m,)``, what of the memory is left out.
        """
        x = patches - self.centre
        squared = np.einsum("pd,pd->p", x, x)
        beside = half - x @ self.bank.T
        if own is not None:
            beside[:, own] = np.inf
        plain = np.sqrt(np.maximum(2 * beside.min(axis=1) + squared, 0))
        if self.around.shape[1] == 1:
            return plain
        star = int(plain.argmax())
        nearest = int(beside[star].argmin())
        around = self.around[nearest] if own is None else self._around(nearest, half, own)
        near = np.sqrt(np.maximum(2 * beside[star, around] + squared[star], 0))
        return np.asarray(plain * (1 - softmax(near.astype(np.float64))[0]), np.float32)

    def _around(self, patch: int, half: Singles, own: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """The neighbours of a patch of the memory where part of it is left out."""
        beside = half - self.bank @ self.bank[patch]
        beside[own] = np.inf
        beside[patch] = -np.inf
        count = min(NEIGHBOURS, int((~own).sum()))
        return np.argsort(beside, kind="stable")[:count]

    def scoring_bytes(self) -> int:
        # The product and what comes of it.
        return 2 * 4 * len(self.bank) * self.positions


def _distance(beside: str, squared: str, name: str) -> list[onnx.NodeProto]:
    """``sqrt(max(0, 2 beside + squared))``; rounding may make a square of nothing negative."""
    return [
        op("Mul", [beside, "two"], [f"{name}_twice"]),
        op("Add", [f"{name}_twice", squared], [f"{name}_sum"]),
        op("Max", [f"{name}_sum", "nought"], [f"{name}_squared"]),
        op("Sqrt", [f"{name}_squared"], [name]),
    ]


def pooled(x: Singles) -> Singles:
    """Locally aware features ``(n, p, d)``: means over 3 x 3 positions, those beyond the grid not counted."""
    count, positions, features = x.shape
    side = int(np.sqrt(positions) + 0.5)
    grid = x.reshape(count, side, side, features)
    for axis in (1, 2):
        total = grid.copy()
        ahead = [slice(None)] * 4
        behind = [slice(None)] * 4
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        total[tuple(ahead)] += grid[tuple(behind)]
        total[tuple(behind)] += grid[tuple(ahead)]
        heard = np.full(side, 3.0, np.float32)
        heard[0] -= 1
        heard[-1] -= 1
        shape = [1, 1, 1, 1]
        shape[axis] = side
        grid = total / heard.reshape(shape)
    return grid.reshape(count, positions, features)


def _neighbours(bank: Singles) -> npt.NDArray[np.int64]:
    """int64 ``(m, b)``: the nearest of a memory to each of it, itself first."""
    count = len(bank)
    b = min(NEIGHBOURS, count)
    half = 0.5 * np.einsum("md,md->m", bank, bank)
    result = np.empty((count, b), np.int64)
    for start in range(0, count, 1024):
        block = slice(start, min(start + 1024, count))
        beside = half - bank[block] @ bank.T
        # Another patch may be the very same.
        beside[np.arange(block.stop - start), np.arange(start, block.stop)] = -np.inf
        near = np.argpartition(beside, b - 1, axis=1)[:, :b]
        order = np.argsort(np.take_along_axis(beside, near, axis=1), axis=1, kind="stable")
        result[block] = np.take_along_axis(near, order, axis=1)
    return result


def learn(task: Task) -> Learnt:
    """Choose the memory among all patches of the normals in the fit, and hold it against each of them."""
    if task.config.neighborhood:
        return local_nearest.learn(task)
    rows, positions = task.fit_rows, task.positions
    chosen = _choose(task)
    picture, place = np.divmod(chosen, positions)
    patches = np.empty((len(chosen), task.features), np.float32)
    for number in np.unique(picture):
        mine = picture == number
        patches[mine] = pooled(task.read([rows[number]]))[0, place[mine]]
    detector = PatchCore.of(patches, positions)

    part_of = {row: part for part, members in task.parts.items() for row in members}
    owner = np.array([part_of[rows[number]] for number in picture])
    half = detector.half_squares
    held_out = np.zeros((len(task.normals), positions), np.float32)
    total = len(task.normals)
    for done, row in enumerate((*task.out_rows, *(rows if task.calibrated else ())), start=1):
        own = owner == part_of[row] if row in part_of else None
        held_out[row] = detector._picture(pooled(task.read([row]))[0], half, own)
        task.watch.step(done, total, "Holding the good parts against it")
    return Learnt(detector, held_out)


def memory_size(patches: int, percent: float) -> int:
    """How many of so many patches are remembered."""
    return min(patches, max(_FEWEST, round(patches * percent / 100)))


def _choose(task: Task) -> npt.NDArray[np.int64]:
    """Which patches are remembered: int64, counted through the pictures in the fit, position by position."""
    rows, positions, total = task.fit_rows, task.positions, len(task.normals)
    project = projection(task.features, task.config.seed)
    narrow = task.features if project is None else project.shape[1]
    points = np.empty((len(rows) * positions, narrow), np.float32)
    done = 0
    for some in in_windows(rows, _WINDOW):
        patches = pooled(task.read(some)).reshape(-1, task.features)
        points[done * positions : (done + len(some)) * positions] = (
            patches if project is None else patches @ project
        )
        done += len(some)
        task.watch.step(done, total, "Reading patches")
    # A memory is measured by what it leaves far away; a common shift only costs digits.
    points -= points.mean(axis=0)
    count = memory_size(len(points), task.config.coreset_percent)
    chosen = k_centre(
        points,
        count,
        task.config.seed,
        lambda taken: task.watch.step(taken * total // count, total, f"Choosing {count:,} patches"),
    )
    # Whoever is left out must leave something to be held against.
    part_of = {row: part for part, members in task.parts.items() for row in members}
    parts = [part_of[row] for row in rows]
    present = {parts[number] for number in np.unique(chosen // positions)}
    if len(present) == 1 and len(task.parts) > 1:
        other = next(number for number, part in enumerate(parts) if part not in present)
        chosen = np.append(chosen, other * positions + positions // 2)
    return chosen


DETECTOR = PatchCore
